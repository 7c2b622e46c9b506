"""Hold then decide: a request leaves the host when policy has seen all of it and allowed it.

The kernel side keeps what AI connections write and tells it before the TLS library has it. Here it
is followed how far each connection has written, where its requests end, and which events wait for
a decision. A request that is whole, and of which all that was found is decided, may pass; where
something is denied nothing of the connection passes any more, and the connection is ended: the
program goes on and sees an error of the network.

A connection is decided as one. Over HTTP/2 several requests are under way at once: they wait for
each other, and a denial ends them all.

What takes longer than it may, is more than it may be, or was not seen whole is sent or denied as
the operator chose. For the time the kernel side does the same by itself, should this process hang.
`prevented` is said only where the kernel side tells that nothing passed undecided.

Left out: connections that the kernel side cannot hold (see docs/hold.md); they are ended when they
are denied, after their request was sent.
"""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from busted.events import Enforced, Event
from busted.kernel.destroy import Outcome, TcpConnection
from busted.kernel.hold import Held
from busted.kernel.libbpf import BpfError
from busted.records import ConnectionKey, Direction, ProcessExit, Record, TlsClose, TlsData, TlsHold

# The times of so many holds are remembered, for their median.
_MAX_TIMES = 1024
# What a socket keeps without being told to, at least (tcp(7), tcp_wmem).
_USUAL_ROOM = 16 << 10


class Kernel(Protocol):
    """What `kernel.hold.HoldPrograms` does."""

    def allow(self, cookie: int, position: int | None = None) -> None:
        """Let pass what was written up to a position, by default all, for good."""

    def deny(self, cookie: int) -> None:
        """Let nothing pass any more."""

    def look(self, cookie: int) -> Held:
        """Return what became of what was sent meanwhile."""

    def forget(self, cookie: int) -> None:
        """Let a closed socket be."""


class Sockets(Protocol):
    """What `kernel.held_sockets.HeldSockets` does."""

    def flush(self, pid: int, cookie: int) -> bool:
        """Send now what a socket kept."""

    def forget(self, pid: int) -> None:
        """A process ended."""


class Terms(msgspec.Struct, frozen=True):
    """How long and how much is held, and what becomes of what is not decided by then."""

    # A policy decides within 50 ms; the rest is for programs that write a request slowly.
    seconds: float = 10.0
    # An agent's request is some 90 KB, one with attachments a few megabytes.
    bytes: int = 8 << 20
    fails_open: bool = False


# A policy takes milliseconds; more than two minutes no client waits for.
MIN_HOLD_SECONDS, MAX_HOLD_SECONDS = 0.1, 120.0
# At least one record of TLS; a call reports 64 MiB at most (bpf/tls.bpf.c).
MIN_HOLD_BYTES, MAX_HOLD_BYTES = 16 << 10, 64 << 20


class _Connection:
    """A connection that is held; positions count what it wrote."""

    def __init__(self, hold: TlsHold) -> None:
        self.hold = hold
        self.position = 0  # all that was written
        self.whole = 0  # where the last request that is whole ends
        self.allowed = 0
        self.since_ns: int | None = None  # when what waits was written first
        self.asked: set[str] = set()  # events that are not decided yet
        self.seen = Held(0, 0)  # when something was allowed last
        self.has_room = False
        self.is_denied = False
        self.is_ended = False
        self.is_closed = False


class Holds:
    """The connections that are held; records and decisions go in, in order."""

    def __init__(
        self,
        kernel: Kernel,
        sockets: Sockets,
        end: Callable[[TcpConnection, int], Outcome],
        make_room: Callable[[int, int, int], bool],
        terms: Terms = Terms(),  # noqa: B008  (frozen)
    ) -> None:
        """`end` destroys a connection of a process; `make_room` is given process, cookie, bytes."""
        self._kernel, self._sockets = kernel, sockets
        self._end, self._make_room, self._terms = end, make_room, terms
        self._connections: dict[ConnectionKey, _Connection] = {}
        self._asked: dict[str, tuple[_Connection, int]] = {}  # with the position behind it
        self._waiting: dict[ConnectionKey, _Connection] = {}
        self._times: deque[float] = deque(maxlen=_MAX_TIMES)
        self.counts: Counter[str] = Counter()
        """What was allowed and denied, and what of it for want of time or of room."""

    @property
    def is_waiting(self) -> bool:
        """Whether anything is held now: only then has `expire` something to do."""
        return bool(self._waiting)

    @property
    def median_seconds(self) -> float | None:
        """How long allowed requests were held, from the first write to the release."""
        return statistics.median(self._times) if self._times else None

    # Records

    def follow(
        self, record: Record, events: Sequence[Event], is_between: bool, now_ns: int
    ) -> None:
        """Take a record, and the events that it made, which are all to be passed to `judged`.

        `is_between`: behind it the connection has written whole requests and nothing else.
        """
        if isinstance(record, TlsHold):
            self._connections.setdefault(record.key, _Connection(record))
        elif isinstance(record, ProcessExit):
            self._sockets.forget(record.key.pid)
            for key in [key for key in self._connections if key.process == record.key]:
                self._closed(key, self._connections[key], now_ns)
        elif isinstance(record, TlsData | TlsClose):
            connection = self._connections.get(record.key)
            if connection is None:
                return
            if isinstance(record, TlsClose):
                self._ask(connection, events, connection.position)
                self._closed(record.key, connection, now_ns)
            elif record.direction == Direction.WRITE:
                self._ask(connection, events, record.position + len(record.data))
                self._wrote(connection, record, is_between, now_ns)

    def _ask(self, connection: _Connection, events: Sequence[Event], position: int) -> None:
        for event in events:
            connection.asked.add(event.id)
            self._asked[event.id] = connection, position

    def _wrote(
        self, connection: _Connection, record: TlsData, is_between: bool, now_ns: int
    ) -> None:
        if not connection.position:
            # What was written before it was held has left.
            connection.position = connection.allowed = connection.whole = record.position
        is_gap = record.position > connection.position
        connection.position = max(connection.position, record.position + len(record.data))
        if connection.is_denied:
            return
        if connection.since_ns is None:
            connection.since_ns = record.time_ns
            self._waiting[record.key] = connection
        if is_gap:
            self._give_up(connection, "unseen")
        elif is_between:
            connection.whole = connection.position
            self._settle(connection, now_ns)
        elif connection.position - connection.allowed > self._terms.bytes:
            self._give_up(connection, "over_limit")
        elif record.call_offset + len(record.data) == record.call_bytes:
            self._await_more(connection)

    def _await_more(self, connection: _Connection) -> None:
        """A request is written with several calls: none may wait until the others are sent."""
        waits = connection.position - connection.allowed
        if waits <= _USUAL_ROOM or connection.has_room:
            return
        connection.has_room = True
        hold = connection.hold
        # Twice what may wait: as ciphertext it is somewhat more.
        if not self._make_room(hold.key.pid, hold.cookie, 2 * self._terms.bytes):
            self.counts["without_room"] += 1

    def muted(self, key: ConnectionKey) -> None:
        """A connection is none of AI: what it writes is no longer told, and passes."""
        connection = self._connections.get(key)
        if connection is not None and not connection.is_denied:
            self._allow(connection, None)

    def _closed(self, key: ConnectionKey, connection: _Connection, now_ns: int) -> None:
        """The library let go of it; its socket may still have something to send."""
        del self._connections[key]
        connection.is_closed = True
        connection.whole = connection.position
        self._settle(connection, now_ns)

    # Decisions

    def judged(self, event: Event, now_ns: int) -> Event:
        """Take the decision on an event; the event comes back with what was done about it."""
        connection, position = self._asked.pop(event.id, (None, 0))
        if connection is None:
            return event
        connection.asked.discard(event.id)
        if event.policy is not None and event.policy.decision == "deny":
            self._deny(connection, "denied")
            was_sent = position <= connection.allowed or self._has_passed(connection)
            enforced: Enforced = "interrupted" if was_sent else "prevented"
            policy = msgspec.structs.replace(event.policy, enforced=enforced)
            return msgspec.structs.replace(event, policy=policy)
        self._settle(connection, now_ns)
        return event

    def expire(self, now_ns: int) -> None:
        """Give up what has waited for too long."""
        limit_ns = int(self._terms.seconds * 1_000_000_000)
        for connection in list(self._waiting.values()):
            if connection.since_ns is not None and now_ns - connection.since_ns > limit_ns:
                self._give_up(connection, "timed_out")

    def close(self) -> None:
        """Give up all that still waits: nobody will decide it."""
        for connection in list(self._waiting.values()):
            self._give_up(connection, "stopped")

    def _has_passed(self, connection: _Connection) -> bool:
        """Whether the kernel side let something pass undecided, or may have."""
        try:
            return self._kernel.look(connection.hold.cookie).passed > connection.seen.passed
        except BpfError:
            return True

    def _give_up(self, connection: _Connection, why: str) -> None:
        self.counts[why] += 1
        if self._terms.fails_open:
            self._allow(connection, connection.position)
        else:
            self._deny(connection, why)

    def _settle(self, connection: _Connection, now_ns: int) -> None:
        """Let pass what is whole, once all that it holds is decided."""
        if connection.is_denied or connection.asked:
            if connection.is_ended and connection.is_closed:
                self._kernel.forget(connection.hold.cookie)
            return
        if connection.whole > connection.allowed:
            if connection.since_ns is not None:
                self._times.append((now_ns - connection.since_ns) / 1e9)
            self.counts["allowed"] += 1
            self._allow(connection, connection.whole)
        if connection.is_closed:
            self._kernel.forget(connection.hold.cookie)

    def _allow(self, connection: _Connection, position: int | None) -> None:
        hold = connection.hold
        try:
            self._kernel.allow(hold.cookie, position)
            # After that: what is dropped up to here is seen, and what comes later passes.
            seen = self._kernel.look(hold.cookie)
        except BpfError:
            self.counts["not_released"] += 1
            return
        connection.allowed = connection.position if position is None else position
        if connection.allowed >= connection.position:
            connection.since_ns = None
            self._waiting.pop(hold.key, None)
        if seen.dropped != connection.seen.dropped:
            self._sockets.flush(hold.key.pid, hold.cookie)
        connection.seen = seen

    def _deny(self, connection: _Connection, why: str) -> None:
        if connection.is_denied:
            return
        connection.is_denied = True
        hold = connection.hold
        self._waiting.pop(hold.key, None)
        self.counts[why if why == "denied" else f"denied_{why}"] += 1
        try:
            self._kernel.deny(hold.cookie)
        except BpfError:
            self.counts["not_denied"] += 1
        ends = TcpConnection(
            hold.local, hold.local_port, hold.remote, hold.remote_port, hold.cookie
        )
        connection.is_ended = self._end(ends, hold.key.pid).result != "not_possible"
        if not connection.is_ended:
            # Nothing of it passes all the same, and the program waits until its own time is over.
            self.counts["not_ended"] += 1
