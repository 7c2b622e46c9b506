"""Events from bytes that were captured earlier: a recording, or the two streams of a connection.

Both run the pipeline of the live monitor, so that what is found here is what it reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from busted.agent.behaviour import Behaviour, BehaviourSettings, open_behaviour
from busted.agent.config import DEFAULT_TABLES, Tables
from busted.agent.coverage import Row, Stack
from busted.agent.pipeline import Origin, Outside, Pipeline
from busted.agent.recording import AgentProcess, Frame, Header, LibraryFacts, RawRecord, Tick
from busted.classifier.options import DEFAULT_OPTIONS, Options
from busted.enrich.containers import CgroupFacts, Containers
from busted.enrich.pods import PodFacts
from busted.enrich.processes import Processes, ProcessFacts
from busted.enrich.runtime_files import ContainerFacts
from busted.enrich.users import UserFacts, Users
from busted.events import Event, Process, Response
from busted.records import ConnectionKey, Direction, ProcessKey, TlsClose, TlsData, TlsName, decode


class Replay:
    """The events of a recording, those that the monitor reported when it was made."""

    def __init__(
        self,
        header: Header,
        tables: Tables = DEFAULT_TABLES,
        behaviour: Behaviour | None = None,
    ) -> None:
        """Be ready for the frames behind `header`; `behaviour` knows what connections are like.

        By default that is the model that comes with Busted, which this host has taught nothing.
        """
        self._processes = Processes(lambda _: None)
        self._users, self._containers = Users(passwd=None), Containers()
        self._libraries: dict[int, str] = {}
        self._stacks: dict[ProcessKey, Stack] = {}
        self._counts: Counter[str] = Counter()
        self._pipeline = Pipeline(
            header.origin,
            {
                "processes": self._processes,
                "users": self._users,
                "containers": self._containers,
            },
            Outside(
                wanted=header.selection,
                library=self._libraries.get,
                stack=self._stacks.get,
                network=header.network,
                files=header.files,
                foresees=header.foresees,
                ended=lambda process, start_time: self._processes.ended(process.pid, start_time),
            ),
            options=tables.options,
            agents=tables.agents,
            sensitive=tables.sensitive,
            embed=tables.embed,
            behaviour=behaviour or open_behaviour(BehaviourSettings()),
            loops=header.loops,
        )

    @property
    def lost(self) -> dict[str, int]:
        """What this replay could not make use of, by place, where it is not zero."""
        return self._counts | self._pipeline.lost

    def ledger(self) -> list[Row]:
        """Return how much was read of each connection, those that ended first."""
        return self._pipeline.ledger()

    def events(self, frames: Iterable[Frame]) -> Iterator[Event]:
        """Yield the events of the frames in their order, and at the end what is unfinished."""
        now_ns = 0
        for frame in frames:
            match frame:
                case RawRecord():
                    try:
                        record = decode(frame.raw)
                    except ValueError:
                        self._counts["undecodable_records"] += 1
                        continue
                    now_ns = record.time_ns
                    yield from self._pipeline.feed(record)
                    # What would have come is nothing that was reported.
                    self._pipeline.take_foreseen()
                case ProcessFacts():
                    self._processes.learn(frame)
                case CgroupFacts() | ContainerFacts():
                    self._containers.learn(frame)
                case PodFacts():
                    self._containers.pods.learn(frame)
                case Stack():
                    self._stacks[frame.process] = frame
                case UserFacts():
                    self._users.learn(frame)
                case AgentProcess():
                    self._pipeline.tree.see(*msgspec.structs.astuple(frame))
                case LibraryFacts():
                    self._libraries[frame.cookie] = frame.library.path
                case Tick():
                    now_ns = frame.now_ns
                    look = self._pipeline.close if frame.last else self._pipeline.expire
                    yield from look(now_ns)
                case Event():
                    yield frame
        # A recording that was cut has no last tick.
        yield from self._pipeline.close(now_ns)


def connection_events(
    written: Iterable[bytes],
    read: Iterable[bytes],
    sni: str | None,
    origin: Origin,
    options: Options = DEFAULT_OPTIONS,
) -> Iterator[Event]:
    """Yield the events of one connection, given all bytes of its two directions.

    Nothing is known of its process, which has the pid 0, nor of when the bytes moved: every
    event has the time zero of the origin's clock, and responses have no latency.
    """
    key = ConnectionKey(0, 0, 0, 0)
    pipeline = Pipeline(origin, {}, options=options)
    records: list[Iterable[TlsName | TlsData | TlsClose]] = [
        [TlsName(key, 0, sni)] if sni else [],
        # Requests first: answers are then paired with them in order, pipelined or not.
        _stream(key, Direction.WRITE, written),
        _stream(key, Direction.READ, read),
        [TlsClose(key, 0)],
    ]
    for part in records:
        for record in part:
            for event in pipeline.feed(record):
                yield _without_guesses(event)


def _stream(key: ConnectionKey, direction: Direction, pieces: Iterable[bytes]) -> Iterator[TlsData]:
    position = 0
    for data in pieces:
        yield TlsData(key, 0, direction, position, len(data), 0, 0, data)
        position += len(data)


def _without_guesses(event: Event) -> Event:
    event = msgspec.structs.replace(event, process=Process(pid=0, name=""))
    if not isinstance(event.action, Response):
        return event
    action = msgspec.structs.replace(event.action, latency=None, time_to_first_token=None)
    return msgspec.structs.replace(event, action=action)
