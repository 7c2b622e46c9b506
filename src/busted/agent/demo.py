"""A monitor without a kernel: it plays recordings that are shipped, as if they happened now.

It has what a monitor has, a socket and a history, and fills them the same way; so the dashboard
shows it by the same code, and needs no root and no agent. What is played was recorded from real
clients.

Each time an event is played it gets a new id and the time of now, and its process, exchange and
session are those of that round: else a second round would be taken for the first.
"""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from types import TracebackType

import msgspec

from busted import __version__
from busted.agent import recording
from busted.agent.clock import Clock
from busted.agent.config import DEFAULT_TABLES
from busted.agent.content import ContentFilter, Level
from busted.agent.identities import tell_asked
from busted.agent.pipeline import event_id
from busted.agent.replay import Replay
from busted.agent.socket_messages import SOCKET_NAME, Asker, IdentitiesRequest
from busted.agent.socket_server import SocketServer
from busted.agent.status import KernelStatus, Status
from busted.events import Coverage, Event, to_json
from busted.identity.tracker import IdentityTracker
from busted.records import ConnectionKey
from busted.sinks.history import History
from busted.sinks.recent import Recent

RECORDINGS = Path(__file__).parent / "demo_recordings"
# As many as a developer's agents do, so that one can read along.
EVENTS_A_SECOND = 2.0
LEVEL: Level = "redacted"
# Everything is played once at the start, spread over this time before now.
PAST_SECONDS = 3600.0

_time = Clock(0, 0).time


class Demo:
    """Plays from entering until leaving; `socket` and `history` are in the directory."""

    def __init__(self, directory: Path, events_a_second: float = EVENTS_A_SECOND) -> None:
        """Load the recordings; the directory must be there. Raises RecordingError."""
        self.socket, self.history = directory / SOCKET_NAME, directory / "history.db"
        self._pause = 1.0 / events_a_second
        self._scenes = [_events(path) for path in sorted(RECORDINGS.glob("*.rec"))]
        self._started = _time(time.time_ns())
        self._seed, self._round, self._number = secrets.token_bytes(16), 0, 0
        self._tracker = IdentityTracker(
            DEFAULT_TABLES.agents.recognise, DEFAULT_TABLES.agents.names
        )
        self._show = ContentFilter(LEVEL, self._seed)
        self._recent = Recent()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="busted-demo", daemon=True)

    def __enter__(self) -> Demo:
        """Play all of it once into the past, and begin."""
        self._history = History(self.history)
        self._play_past()
        self._server = SocketServer(
            self.socket,
            self._recent,
            self,
            lambda call: call(),
            lambda level: ContentFilter(level, self._seed),
            LEVEL,
            history=self.history,
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, and close what was opened."""
        self._stopped.set()
        self._thread.join()
        self._server.close()
        self._history.close()

    # What is asked of a monitor

    def status(self) -> bytes:
        """Return the status as JSON."""
        told = Status(
            version=__version__,
            host="demo",
            started=self._started,
            libraries=(),
            unreadable={},
            left_out={"everything": "this is a demonstration: nothing is watched"},
            lost={},
            kernel=KernelStatus(release="demo", way="none", buffer="none", fill=None, features={}),
            programs=(),
            identities=len(self._tracker),
            content=LEVEL,
        )
        return msgspec.json.encode(told)

    def reveal(self, event: str, asker: Asker) -> bytes:
        """Reveal nothing: a demonstration has no audit log."""
        raise PermissionError("a demonstration keeps nothing that it redacts")

    def identities(self, request: IdentitiesRequest) -> list[bytes]:
        """Return identities as lines of JSON. Raises ValueError where there is no such one."""
        with self._lock:
            return [msgspec.json.encode(told) for told in tell_asked(self._tracker, request)]

    def coverage(self) -> list[bytes]:
        """Return no line of the coverage ledger: nothing is watched."""
        return []

    # The play

    def _run(self) -> None:
        while True:
            for event in self._next_round():
                if self._stopped.wait(self._pause):
                    return
                self._emit([self._now(event, time.time_ns())])

    def _play_past(self) -> None:
        events = self._next_round()
        begin = time.time_ns() - int(PAST_SECONDS * 1e9)
        step = int(PAST_SECONDS * 1e9) // max(1, len(events))
        self._emit([self._now(event, begin + at * step) for at, event in enumerate(events)])

    def _next_round(self) -> list[Event]:
        self._round += 1
        return [event for scene in self._scenes for event in scene]

    def _now(self, event: Event, wall_ns: int) -> Event:
        self._number += 1
        pid = event.process.pid + self._round
        key = ConnectionKey(pid, 0, 0, wall_ns)
        played = msgspec.structs.replace(
            event,
            id=event_id(wall_ns, self._seed, key, self._number),
            time=_time(wall_ns),
            host="demo",
            process=msgspec.structs.replace(event.process, pid=pid),
            session_id=event.session_id and f"{event.session_id}-{self._round}",
            exchange_id=event.exchange_id and f"{event.exchange_id}-{self._round}",
        )
        with self._lock:
            match = self._tracker.observe(played)
        return msgspec.structs.replace(played, identity=match.told() if match else None)

    def _emit(self, events: list[Event]) -> None:
        shown = [self._show(event) for event in events]
        self._history.add(shown)
        for event in shown:
            self._recent.put(event.id, to_json(event))


def _events(path: Path) -> list[Event]:
    header, frames = recording.read(path)
    return [
        event
        for event in Replay(header).events(frames)
        if not isinstance(event.action, Coverage) or not event.action.of_busted
    ]
