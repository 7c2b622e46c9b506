"""The data flow, in one place: records in, finished events out.

    record -> stream -> (parse, classify) -> action -> event -> enrichers -> identity -> out

Everything here is synchronous and free of I/O: what has to happen outside (mute a connection
in the kernel, look a process up) is a function that the caller gives. `Monitor` feeds it
from the kernel, `replay` from a file, and both get the same events.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from busted import events
from busted.agent.behaviour import Behaviour
from busted.agent.budgets import Budgets
from busted.agent.clock import Clock
from busted.agent.coverage import Ledger, Row, Stack
from busted.agent.embedding import Embed
from busted.agent.file_access import Files, Mode
from busted.agent.flows import Asks, Flows, Network, with_addresses
from busted.agent.foresight import Foreseen, Foresight
from busted.agent.loops import Loops, LoopTerms
from busted.agent.names import Names
from busted.agent.process_tree import Agent, ProcessTree, text
from busted.agent.tls_ends import TlsEnds
from busted.agent.told import Told
from busted.classifier.connection import ConnectionReader, Observed
from busted.classifier.direction import Direction
from busted.classifier.mcp_memory import Memory
from busted.classifier.options import DEFAULT_OPTIONS, Options
from busted.classifier.stdio import StdioReader
from busted.enrich.agents import Agents
from busted.enrich.agents_table import AGENTS
from busted.enrich.sensitive import SensitiveFiles
from busted.enrich.sensitive_table import SENSITIVE
from busted.events import Event
from busted.identity.resolver import Shelf
from busted.identity.tracker import IdentityTracker
from busted.records import (
    ClientHello,
    ConnectionKey,
    DnsMessage,
    FileAccess,
    FileBytes,
    FileData,
    Flow,
    ProcessExec,
    ProcessExit,
    ProcessFork,
    ProcessKey,
    QuicInitial,
    Record,
    TlsClose,
    TlsData,
    TlsHold,
    TlsName,
    TlsOpen,
    TlsPeer,
    TlsRandom,
    TlsRecord,
    TlsSocket,
    Traffic,
)
from busted.streams import MAX_EARLY_NS, Connection, Connections

log = logging.getLogger(__name__)

Enricher = Callable[[Event], Event]
"""Adds to an event what one source knows; returns it unchanged when it knows nothing."""

_DIRECTIONS = (Direction.WRITE, Direction.READ)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Origin(msgspec.Struct, frozen=True):
    """Where events come from; the same origin and records give the same events."""

    host: str
    clock: Clock
    seed: Annotated[bytes, msgspec.Meta(max_length=hashlib.blake2b.MAX_KEY_SIZE)]
    """Makes event ids and hashes of credentials differ between runs."""


class Outside(msgspec.Struct, frozen=True):
    """What the pipeline asks for and cannot do itself."""

    mute: Callable[[ConnectionKey], None] = lambda key: None
    """Tells the kernel to report this connection no more."""

    wanted: Callable[[TlsOpen | ProcessExec | Flow | FileAccess], bool] = lambda record: True
    """Whether this process is one the operator asked for."""

    started: Callable[[ProcessKey, str], None] = lambda process, start_time: None
    """A process was seen that may be new; the text is its start time as events tell it."""

    library: Callable[[int], str | None] = lambda cookie: None
    """Which TLS library an attach cookie stands for."""

    want: Callable[[ConnectionKey], None] = lambda key: None
    """Tells the kernel that this connection is AI, so that none of it is held back."""

    ended: Callable[[ProcessKey, str], None] = lambda process, start_time: None
    """A process ended; the text is its start time as events tell it."""

    agent: Callable[[ProcessKey], None] = lambda process: None
    """Tells the kernel that a process is an AI agent."""

    no_agent: Callable[[ProcessKey, int], None] = lambda process, executed_ns: None
    """Tells the kernel that a process belongs to no AI agent, as it is since it ran its program at
    that time; 0: since it began."""

    stack: Callable[[ProcessKey], Stack | None] = lambda process: None
    """Which TLS stack a process has, as it runs, where nothing is read of it."""

    network: Network = "none"
    """Which flows become events."""

    flows: Asks = Asks()
    """What is asked of the kernel side of flows."""

    files: Mode = "sensitive"
    """Which files of agents become events."""

    foresees: bool = False
    """Whether connections that agents may make are asked for with `take_foreseen`."""


Reader = ConnectionReader | StdioReader
"""Turns the bytes of one connection into actions."""

Follower = Callable[[Any], Iterable[Told]]
"""Takes the records of one kind, in order, and says what they tell. It may raise."""


class Pipeline:
    """Turns records into events. One broken part never blinds it: failures are counted."""

    def __init__(
        self,
        origin: Origin,
        enrichers: Mapping[str, Enricher],
        outside: Outside = Outside(),  # noqa: B008  (frozen)
        connections: Connections | None = None,
        options: Options = DEFAULT_OPTIONS,
        agents: Agents = Agents(AGENTS),  # noqa: B008  (never changed)
        shelf: Shelf | None = None,
        sensitive: SensitiveFiles = SensitiveFiles(SENSITIVE),  # noqa: B008  (never changed)
        embed: Embed | None = None,
        behaviour: Behaviour | None = None,
        loops: LoopTerms = LoopTerms(),  # noqa: B008  (frozen)
    ) -> None:
        """Enrichers run in their order; their names appear in `failures`.

        `shelf` has the identities of earlier runs, `embed` says what system prompts mean,
        `behaviour` what connections are like that nobody can read.
        """
        self.budgets = Budgets(keeps=shelf is not None)
        self._loops = Loops(loops)
        clean = partial(options.scanner.redact, key=origin.seed, cut=False)
        self.identities = IdentityTracker(agents.recognise, agents.names, shelf, clean, embed=embed)
        self._origin, self._enrichers, self._outside = origin, enrichers, outside
        self._ahead: list[Event] = []
        self._options = msgspec.structs.replace(options, credential_key=origin.seed)
        self._connections = Connections() if connections is None else connections
        self._readers: dict[ConnectionKey, Reader] = {}
        self._mcp = Memory()
        # In the order of their last use; the others have nothing that could expire.
        self._waiting: dict[ConnectionKey, Connection] = {}
        # Where reads wait for the bytes of a write call that was under way.
        self._disordered: dict[ConnectionKey, Connection] = {}
        self._muted: set[ConnectionKey] = set()
        self._wanted: set[ConnectionKey] = set()
        self._counts: Counter[ConnectionKey] = Counter()
        self.tree = ProcessTree(agents.recognise)
        self._told = 0
        self._ends = TlsEnds()
        self.names = Names()
        self._flows = Flows(
            outside.network,
            self.names,
            options.providers,
            origin.clock,
            outside.flows,
            selected=outside.wanted,
            started=outside.started,
            of_agent=self._of_agent,
        )
        self._behaviour = behaviour
        self._ledger = Ledger(self.names, outside.stack)
        self._foresight = Foresight(self._provider_of, self.names.of_address)
        self._foreseen: list[tuple[Event, int]] = []
        self._files = Files(outside.files, sensitive, self._of_agent, origin.clock)
        self._followers: dict[type[Record], Follower] = {
            Flow: self._flows.feed,
            Traffic: self._traffic,
            ClientHello: self._hello,
            QuicInitial: self._quic_initial,
            DnsMessage: self._dns_message,
            ProcessExec: self._executed,
            ProcessFork: self._forked,
            FileAccess: self._accessed,
            FileData: self._files.data,
            FileBytes: self._files.total,
        }
        self.failures: Counter[str] = Counter()

    @property
    def lost(self) -> dict[str, int]:
        """What was dropped here, by place, where it is not zero."""
        lost = {f"failed_{name}": count for name, count in self.failures.items()}
        if self._connections.forgotten:
            lost["connections_forgotten"] = self._connections.forgotten
        if self._flows.forgotten:
            lost["flows_forgotten"] = self._flows.forgotten
        if self._ledger.forgotten:
            lost["coverage_forgotten"] = self._ledger.forgotten
        if self.tree.forgotten:
            lost["processes_forgotten"] = self.tree.forgotten
        if self.identities.lost:
            lost["identity_changes"] = self.identities.lost
        if self.budgets.forgotten:
            lost["budgets"] = self.budgets.forgotten
        if self._files.forgotten:
            lost["files_forgotten"] = self._files.forgotten
        return lost | self.names.lost

    def learn(self, options: Options, agents: Agents, sensitive: SensitiveFiles) -> None:
        """Know from now on what these tables say; connections that are open know what they knew.

        Of what is secret all know it at once, whoever has the scanner that this was made with.
        """
        scanner = self._options.scanner
        scanner.take_rules(options.scanner)
        self._options = msgspec.structs.replace(
            options,
            credential_key=self._origin.seed,
            scanner=scanner,
            judges_ahead=self._options.judges_ahead,
        )
        self.tree.learn(agents.recognise)
        self.identities.learn(agents.recognise, agents.names)
        self._flows.learn(options.providers)
        self._files.learn(sensitive)

    def feed(self, record: Record) -> Iterator[Event]:
        """Take one record, yield the events that it completes."""
        if follower := self._followers.get(type(record)):
            yield from self._follow(type(record).__name__, partial(follower, record))
            return
        if isinstance(record, ProcessExit):
            for connection in self._connections.of_process(record.key):
                yield from self._close(connection.key, record.time_ns)
            ended = partial(self._files.ended, record.key, record.time_ns)
            yield from self._follow("files", ended)
            self.tree.exit(record)
            start_time = self._origin.clock.start_time(record.key.start_ns)
            self._outside.ended(record.key, start_time)
            self._foresight.ended(record.key)
        elif isinstance(record, TlsRecord):
            yield from self._feed_tls(record)
        yield from self._follow("flows", self._flows.drain)

    def _feed_tls(self, record: TlsRecord) -> Iterator[Event]:
        if isinstance(record, TlsClose):
            yield from self._close(record.key, record.time_ns)
            return
        connection, forgotten = self._connections.find(record.key)
        if forgotten is not None:
            yield from self._finish(forgotten, record.time_ns)
        if isinstance(record, TlsOpen):
            self._opened(connection, record)
        elif isinstance(record, TlsRandom):
            connection.random = record.random
            if at := self._ends.holds(record.random, record.key.process):
                self.identities.accepted(at, _session(record.key.process))
            self._name_from_wire(connection, record.random)
            self._tie(record.key, self._flows.socket_of(record.random), by_random=True)
        elif isinstance(record, TlsSocket):
            connection.socket = record.cookie
            self._tie(record.key, record.cookie)
        elif isinstance(record, TlsPeer):
            connection.peer = record
            self._name_server(connection, record)
        elif not isinstance(record, TlsHold) and record.key not in self._muted:
            reader = self._reader(connection)
            if isinstance(record, TlsName):
                connection.name = record.name
                self._ledger.name(record.key, record.name)
                self._ask(record.key, partial(_name, reader, record.name))
            else:
                yield from self._ordered(connection, reader, connection.in_order(record))
                self._keep_waiting(connection)
            self._judge(connection, reader)

    def expire(self, now_ns: int) -> Iterator[Event]:
        """Yield what has waited too long for its end; `now_ns` is on the records' clock."""
        self.tree.expire(now_ns)
        for connection in list(self._disordered.values()):
            if now_ns - (connection.waits_since_ns or 0) > MAX_EARLY_NS:
                yield from self._release(connection)
        for key, connection in list(self._waiting.items()):
            reader = self._readers.get(key)
            if reader is not None:
                observed = self._ask(key, partial(reader.expire, now_ns))
                if not reader.is_waiting:
                    self._waiting.pop(key, None)
                yield from self._events(connection, reader, observed)
        yield from self._follow("flows", partial(self._flows.expire, now_ns))
        yield from self._follow("coverage", partial(self._ledger.expire, now_ns))

    def close(self, now_ns: int) -> Iterator[Event]:
        """Yield what is unfinished, as truncated: the monitor stops."""
        for connection in self._connections:
            yield from self._close(connection.key, now_ns)
        yield from self._follow("flows", self._flows.drain)
        yield from self._follow("files", partial(self._files.close, now_ns))
        yield from self._follow("coverage", partial(self._ledger.close, now_ns))

    def take_ahead(self) -> list[Event]:
        """Return what records before this said ahead of a request, once; see `Options`."""
        taken, self._ahead = self._ahead, []
        return taken

    def take_foreseen(self) -> list[tuple[Event, int]]:
        """Return the connections that may come, once: none has happened. Beside each stands the
        cookie of the network namespace that it would be in.
        """
        taken, self._foreseen = self._foreseen, []
        return taken

    def foresee(self, now_ns: int) -> None:
        """Have all connections that may come told by `take_foreseen`, also those told before."""
        self._expect(self._foresight.all(now_ns))

    def is_between(self, key: ConnectionKey) -> bool:
        """Tell whether all that a connection wrote up to now are whole requests."""
        reader = self._readers.get(key)
        return reader is None or reader.is_between

    def flow(self, cookie: int) -> Flow | None:
        """Return a connection as it was last told, by the cookie of its socket."""
        return self._flows.known(cookie)

    def ledger(self) -> list[Row]:
        """Return how much was read of each connection, those that ended first."""
        return [self._with_behavior(row) for row in self._ledger.rows()]

    def _with_behavior(self, row: Row) -> Row:
        if self._behaviour is None:
            return row
        behavior = self._behaviour.of_connection(int(row.connection), row.coverage.provider)
        return msgspec.structs.replace(row, behavior=behavior)

    def coverage(self, action: events.Coverage, process: events.Process, wall_ns: int) -> Event:
        """Return an event about the monitor itself."""
        key = ConnectionKey(process.pid, 0, 0, wall_ns)
        return Event(
            schema=events.SCHEMA,
            id=event_id(wall_ns, self._origin.seed, key, 0),
            time=self._origin.clock.time(wall_ns - self._origin.clock.monotonic_offset_ns),
            host=self._origin.host,
            process=process,
            action=action,
        )

    def _hello(self, record: ClientHello) -> Iterable[Told]:
        self._ledger.hello(record)
        hello = self.names.hello(record)
        return self._flows.hello(hello) if hello else ()

    def _quic_initial(self, record: QuicInitial) -> Iterable[Told]:
        hello = self.names.quic_hello(record)
        if not self.names.is_quic(record.flow.cookie):
            return ()
        told = self._flows.feed(record.flow)
        return [*told, *self._flows.hello(hello)] if hello else told

    def _dns_message(self, record: DnsMessage) -> Iterable[Told]:
        for name, address in self.names.feed_dns(record):
            self._flows.learned_address(record.netns, name, address)
            self._expect(self._foresight.learned(record.netns, name, address, record.time_ns))
        return ()

    def _traffic(self, record: Traffic) -> Iterable[Told]:
        if self._behaviour is None:
            return ()
        found = self._behaviour.feed(record)
        if not self._behaviour.is_novel(record.cookie, found):
            return ()
        return self._flows.novel(record.cookie)

    def _label(self, connection: Connection, *, is_llm: bool) -> None:
        """Teach what a connection is whose plaintext was read."""
        cookie = connection.socket
        if cookie is None and connection.random is not None:
            cookie = self._flows.cookie_of(connection.random)
        if self._behaviour and cookie is not None:
            self._behaviour.label(cookie, is_llm)

    def _follow(self, name: str, tell: Callable[[], Iterable[Told]]) -> Iterator[Event]:
        try:
            told = list(tell())
        except Exception:
            # What follows one kind of records must not blind those that follow others.
            self._failed(name)
            return
        for one in told:
            self._to_ledger(one)
            for action in self._examined(one.action):
                event = self._told_event(msgspec.structs.replace(one, action=action))
                yield self._enriched(event)

    def _to_ledger(self, told: Told) -> None:
        agent = self.tree.agent_of(told.key)
        try:
            self._ledger.network(told, agent.name if agent else None)
        except Exception:
            self._failed("coverage")

    def _tie(self, key: ConnectionKey, cookie: int | None, *, by_random: bool = False) -> None:
        if cookie is not None:
            self._ledger.tie(key, cookie, by_random=by_random)

    def _examined(self, action: events.Action) -> tuple[events.Action, ...]:
        if not isinstance(action, events.FileData):
            return (action,)
        try:
            return self._options.scanner.examine(action, Direction(action.direction))
        except Exception:
            self._failed("classifier")
            return (action,)

    def _executed(self, record: ProcessExec) -> Iterable[Told]:
        agent = self.tree.exec(record)
        if agent is None:
            if record.agent:
                self._outside.no_agent(record.key, record.time_ns)
            return
        if agent.process == record.key:
            self._outside.agent(record.key)
            process = _executed_process(record, self._origin.clock)
            self._expect(self._foresight.began(record.key, process, record.time_ns))
        elif self._outside.wanted(record):
            yield _exec(record, agent, self.tree.parents(record.key), self._origin.clock)

    def _forked(self, record: ProcessFork) -> Iterable[Told]:
        if self.tree.fork(record) is None:
            self._outside.no_agent(record.key, 0)
        return ()

    def _accessed(self, record: FileAccess) -> Iterable[Told]:
        if not self._outside.wanted(record):
            return
        told = list(self._files.access(record))
        if told:
            start_time = self._origin.clock.start_time(record.key.start_ns)
            self._outside.started(record.key, start_time)
        yield from told

    def _of_agent(self, process: ProcessKey) -> bool:
        return self.tree.agent_of(process) is not None

    def _provider_of(self, name: str) -> str | None:
        provider = self._options.providers.find(name)
        return provider.id if provider else None

    def _expect(self, foreseen: Iterable[Foreseen]) -> None:
        """Keep the events that would come, as they would be told."""
        if not self._outside.foresees or self._outside.network == "none":
            return
        for one in foreseen:
            # Its number is none of those that events have: they are the same in a replay.
            event = self._described(self._event_of(one.told, ""))
            match = self.identities.whose(event)
            identity = match.told() if match else None
            event = msgspec.structs.replace(event, identity=identity)
            self._foreseen.append((event, one.netns))

    def _told_event(self, told: Told) -> Event:
        self._told += 1
        clock, key = self._origin.clock, ConnectionKey(*told.key, 0, told.time_ns)
        wall_ns = clock.wall_ns(told.time_ns)
        return self._event_of(told, event_id(wall_ns, self._origin.seed, key, self._told))

    def _event_of(self, told: Told, id: str) -> Event:
        provider = told.action.provider if isinstance(told.action, events.Network) else None
        return Event(
            schema=events.SCHEMA,
            id=id,
            time=self._origin.clock.time(told.time_ns),
            host=self._origin.host,
            process=_with_agent(told.process, self.tree.agent_of(told.key)),
            connection=told.connection,
            session_id=_session(told.key),
            behavior=self._behavior(told.connection, provider),
            action=told.action,
        )

    def _behavior(
        self, connection: events.Connection | None, provider: str | None
    ) -> events.Behavior | None:
        if self._behaviour is None or connection is None or connection.socket is None:
            return None
        return self._behaviour.of_connection(int(connection.socket), provider)

    def _opened(self, connection: Connection, record: TlsOpen) -> None:
        connection.opened = record
        if record.is_plain:
            connection.socket = record.key.connection
            self._tie(record.key, connection.socket)
        start_time = self._origin.clock.start_time(record.key.start_ns)
        self._outside.started(record.key.process, start_time)
        if not self._outside.wanted(record):
            self._mute(record.key)

    def _name_from_wire(self, connection: Connection, random: bytes) -> None:
        hello = self._flows.hello_of(random)
        # With ECH the name on the wire may be that of the front alone (RFC 9849).
        if connection.name or hello is None or not hello.sni or hello.ech:
            return
        # A server on this host holds the same random: it asks nobody of that name anything.
        if hello.key.pid not in (0, connection.key.pid):
            return
        connection.name = hello.sni
        if connection.key not in self._muted:
            self._ask(connection.key, partial(_name, self._reader(connection), hello.sni))

    def _name_server(self, connection: Connection, record: TlsPeer) -> None:
        self._outside.started(record.peer, self._origin.clock.start_time(record.peer.start_ns))
        if record.key not in self._muted:
            server = " ".join(map(text, record.argv)) or text(record.comm)
            self._ask(record.key, partial(_name, self._reader(connection), server))

    def _data(self, connection: Connection, reader: Reader, record: TlsData) -> Iterator[Event]:
        self._waiting.pop(record.key, None)
        missing, data = connection.streams[record.direction].take(record)
        if not connection.is_stdio:
            self._ledger.read(record, missing, len(data))
        observed = self._ask(record.key, partial(_read, reader, record, missing, data))
        if reader.is_waiting and record.key in self._readers:
            self._waiting[record.key] = connection
        yield from self._events(connection, reader, observed)

    def _ordered(
        self, connection: Connection, reader: Reader, records: list[TlsData]
    ) -> Iterator[Event]:
        for record in records:
            if record.key not in self._muted:
                yield from self._data(connection, reader, record)

    def _keep_waiting(self, connection: Connection) -> None:
        if connection.waits_since_ns is None:
            self._disordered.pop(connection.key, None)
        else:
            self._disordered[connection.key] = connection

    def _release(self, connection: Connection) -> Iterator[Event]:
        self._disordered.pop(connection.key, None)
        if reader := self._readers.get(connection.key):
            yield from self._ordered(connection, reader, connection.release())

    def _judge(self, connection: Connection, reader: Reader) -> None:
        key = connection.key
        if reader.verdict == "not_ai" and key not in self._muted:
            self._label(connection, is_llm=False)
            self._mute(key)
        elif reader.verdict == "ai" and key not in self._wanted and key not in self._muted:
            self._wanted.add(key)
            if not connection.is_stdio:
                self._ledger.ai(key)
            self._outside.want(key)

    def _ask(self, key: ConnectionKey, ask: Callable[[], list[Observed]]) -> list[Observed]:
        try:
            return ask()
        except Exception:
            # A reader that raised is in no known state: give this connection up, keep the others.
            self._failed("classifier")
            self._mute(key)
            return []

    def _reader(self, connection: Connection) -> Reader:
        reader = self._readers.get(connection.key)
        if reader is None:
            kind = StdioReader if connection.is_stdio else ConnectionReader
            reader = kind(options=self._options, memory=self._mcp)
            self._readers[connection.key] = reader
        return reader

    def _mute(self, key: ConnectionKey) -> None:
        self._muted.add(key)
        self._readers.pop(key, None)
        self._waiting.pop(key, None)
        self._disordered.pop(key, None)
        self._ledger.muted(key)
        self._outside.mute(key)

    def _close(self, key: ConnectionKey, now_ns: int) -> Iterator[Event]:
        connection = self._connections.close(key)
        if connection is not None:
            yield from self._finish(connection, now_ns)

    def _finish(self, connection: Connection, now_ns: int) -> Iterator[Event]:
        yield from self._release(connection)
        self._waiting.pop(connection.key, None)
        reader = self._readers.pop(connection.key, None)
        if reader is not None:
            observed = self._ask(connection.key, partial(reader.close, now_ns))
            yield from self._events(connection, reader, observed)
        self._muted.discard(connection.key)
        self._wanted.discard(connection.key)
        self._counts.pop(connection.key, None)

    def _events(
        self, connection: Connection, reader: Reader, observed: list[Observed]
    ) -> Iterator[Event]:
        if reader.role == "server":
            return  # the other side of what a client says: its own host reports that
        for one in observed:
            self._name_agent(connection, one.action)
            if isinstance(one.action, events.Response) and one.action.stream:
                self._label(connection, is_llm=True)
            event = self._event(connection, one)
            if isinstance(one.action, events.A2aRequest):
                self._name_answerer(connection, event)
            event = self._with_budget(self._enriched(event), one)
            if one.is_ahead:
                self._ahead.append(event)
                continue
            yield event
            if loop := self._loop(event, one):
                yield self._enriched(self._event(connection, loop))

    def _with_budget(self, event: Event, observed: Observed) -> Event:
        wall_ns = self._origin.clock.wall_ns(observed.time_ns)
        try:
            return self.budgets.count(event, wall_ns, again=observed.is_ahead)
        except Exception:
            self._failed("budgets")
            return event

    def _loop(self, event: Event, observed: Observed) -> Observed | None:
        try:
            loop = self._loops.follow(event, self._origin.clock.wall_ns(observed.time_ns))
        except Exception:
            self._failed("loops")
            return None
        return msgspec.structs.replace(observed, action=loop) if loop else None

    def _name_agent(self, connection: Connection, action: events.Action) -> None:
        if not isinstance(action, events.Prompt) or not action.agent:
            return
        process, opened = connection.key.process, connection.opened
        if self.tree.name(process, action.agent.name, text(opened.comm) if opened else ""):
            self._outside.agent(process)

    def _name_answerer(self, connection: Connection, event: Event) -> None:
        if connection.random is None or event.connection is None:
            return
        process = connection.key.process
        answerer = self._ends.asks(connection.random, process, event.connection)
        if answerer is not None:
            self.identities.accepted(event.connection, _session(answerer))

    def _event(self, connection: Connection, observed: Observed) -> Event:
        key, clock = connection.key, self._origin.clock
        self._counts[key] += 1
        connection_id = f"{key.pid}-{key.since_ns:x}-{key.connection:x}"
        opened = connection.opened
        told = self._with_flow(
            connection,
            events.Connection(
                id=connection_id,
                sni=connection.name,
                transport="pipe" if connection.is_stdio else "tcp",
                source=_source(connection),
                tls_library=self._library_of(opened),
                http_version=observed.http_version,
                stream_id=observed.stream_id,
                peer=_peer(connection, clock),
            ),
        )
        return Event(
            schema=events.SCHEMA,
            id=event_id(clock.wall_ns(observed.time_ns), self._origin.seed, key, self._counts[key]),
            time=clock.time(observed.time_ns),
            host=self._origin.host,
            process=_with_agent(_process(key, opened, clock), self.tree.agent_of(key.process)),
            connection=told,
            session_id=_session(key.process),
            exchange_id=f"{connection_id}-{observed.exchange}",
            behavior=self._behavior(told, None),
            action=observed.action,
        )

    def _library_of(self, opened: TlsOpen | None) -> str | None:
        if opened is None or opened.is_plain or opened.is_stdio:
            return None
        return self._outside.library(opened.library)

    def _with_flow(self, connection: Connection, told: events.Connection) -> events.Connection:
        if connection.is_stdio:
            return told
        if connection.socket is not None:
            # Of its own: by the random the other end finds it, too, if that is on this host.
            flow = self._flows.at_socket(connection.socket, connection.name)
        elif connection.random is None:
            flow = self._flows.carrying_alone(connection.key.process, connection.name)
        else:
            flow = self._flows.carrying(connection.random, connection.name)
        if flow is None:
            return told
        return msgspec.structs.replace(
            with_addresses(told, flow),
            bytes_sent=flow.bytes_sent,
            bytes_received=flow.bytes_received,
        )

    def _described(self, event: Event) -> Event:
        for name, enrich in self._enrichers.items():
            try:
                event = enrich(event)
            except Exception:
                # One broken source must not blind the monitor: count it, go on.
                self._failed(name)
        return event

    def _enriched(self, event: Event) -> Event:
        event = self._described(event)
        try:
            match = self.identities.observe(event)
        except Exception:
            self._failed("identity")
            return event
        return msgspec.structs.replace(event, identity=match.told()) if match else event

    def _failed(self, name: str) -> None:
        self.failures[name] += 1
        if self.failures[name] == 1:
            log.exception("%s failed; further failures are counted, not logged", name)


def _name(reader: Reader, name: str) -> list[Observed]:
    reader.name(name)
    return []


def _read(reader: Reader, record: TlsData, missing: int, data: bytes) -> list[Observed]:
    direction = _DIRECTIONS[record.direction]
    observed = reader.gap(direction, missing, record.time_ns) if missing else []
    return observed + reader.feed(direction, data, record.time_ns)


def _source(connection: Connection) -> Literal["tls", "plain", "stdio"]:
    if connection.is_stdio:
        return "stdio"
    return "plain" if connection.is_plain else "tls"


def _peer(connection: Connection, clock: Clock) -> events.Peer | None:
    if connection.peer is None:
        return None
    return events.Peer(
        pid=connection.peer.peer.pid,
        name=text(connection.peer.comm),
        start_time=clock.start_time(connection.peer.peer.start_ns),
        argv=tuple(map(text, connection.peer.argv)),
    )


def _session(process: ProcessKey) -> str:
    return f"{process.pid}-{process.start_ns:x}"


def _process(key: ConnectionKey, opened: TlsOpen | None, clock: Clock) -> events.Process:
    start_time = clock.start_time(key.start_ns)
    if opened is None:
        return events.Process(pid=key.pid, name="", start_time=start_time)
    return events.Process(
        pid=key.pid,
        name=opened.comm.decode("utf-8", "replace"),
        tid=opened.tid,
        ppid=opened.ppid,
        uid=opened.uid,
        gid=opened.gid,
        start_time=start_time,
        cgroup_id=str(opened.cgroup_id),
    )


def _with_agent(process: events.Process, agent: Agent | None) -> events.Process:
    return msgspec.structs.replace(process, agent=agent.name) if agent else process


def _executed_process(record: ProcessExec, clock: Clock) -> events.Process:
    return events.Process(
        pid=record.key.pid,
        name=text(record.comm),
        ppid=record.parent.pid,
        uid=record.uid,
        gid=record.gid,
        exe=text(record.path),
        argv=tuple(map(text, record.argv)),
        start_time=clock.start_time(record.key.start_ns),
        cgroup_id=str(record.cgroup_id),
    )


def _exec(record: ProcessExec, agent: Agent, parents: tuple[str, ...], clock: Clock) -> Told:
    process = _executed_process(record, clock)
    action = events.ProcessExec(
        exe=text(record.path),
        argv=process.argv,
        agent=agent.name,
        agent_pid=agent.process.pid,
        parents=parents,
        truncated=record.truncated,
    )
    return Told(record.time_ns, record.key, process, action)


def event_id(wall_ns: int, seed: bytes, key: ConnectionKey, number: int) -> str:
    """Return a ULID (github.com/ulid/spec): 48 bits of milliseconds, then 80 that tell events
    of one millisecond apart, here a hash instead of chance, so that a replay gives the same.
    """
    digest = hashlib.blake2b(struct.pack("<5Q", *key, number), digest_size=10, key=seed).digest()
    value = (wall_ns // 1_000_000 << 80) | int.from_bytes(digest, "big")
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -5, -5))
