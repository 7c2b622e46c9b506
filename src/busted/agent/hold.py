"""Hold then decide: a request leaves the host when policy has seen all of it and allowed it.

The kernel side keeps what AI connections write and tells it before the TLS library has it. Here it
is followed how far each connection has written and where its requests end. What is found is decided
at once, without a queue, since somebody waits. A request that is whole and allowed may pass; where
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
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from busted import events
from busted.events import Enforced, Event
from busted.kernel.destroy import Outcome, TcpConnection
from busted.kernel.hold import Held
from busted.kernel.libbpf import BpfError
from busted.records import ConnectionKey, Direction, ProcessExit, Record, TlsClose, TlsData, TlsHold

_SECOND_NS = 1_000_000_000
# The times of so many holds are remembered, for their median.
_MAX_TIMES = 1024
# Why something is given up, as its events tell it.
_GIVEN_UP = {
    "timed_out": "it was not seen whole in the time that a request may be held",
    "over_limit": "it is longer than what may be held of a request",
    "unseen": "a part of it was not seen",
    "stopped": "the monitor ended before it was seen whole",
}
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
    # Held from their first byte on, beside those of providers; see `classifier.providers`.
    hosts: tuple[str, ...] = ()


# A policy takes milliseconds; more than two minutes no client waits for.
MIN_HOLD_SECONDS, MAX_HOLD_SECONDS = 0.1, 120.0
# At least one record of TLS; a call reports 64 MiB at most (bpf/tls.bpf.c).
MIN_HOLD_BYTES, MAX_HOLD_BYTES = 16 << 10, 64 << 20


class _Connection:
    """A connection that is held; positions count what it wrote."""

    def __init__(self, hold: TlsHold) -> None:
        self.hold = hold
        self.position: int | None = None  # all that was written, once that is known
        self.allowed = 0
        self.since_ns: int | None = None  # when what waits was written first
        self.seen = Held(0, 0)  # when something was allowed last
        self.has_room = False
        self.was_given_up = False  # a part of what waits was sent undecided
        self.is_denied = False
        self.hindrance: str | None = None  # why it was denied without a decision
        self.is_ended = False


class Holds:
    """The connections that are held; records go in, in order."""

    def __init__(
        self,
        kernel: Kernel,
        sockets: Sockets,
        decide: Callable[[Iterable[Event]], Iterable[Event]],
        end: Callable[[TcpConnection, int], Outcome],
        make_room: Callable[[int, int, int], bool],
        terms: Terms = Terms(),  # noqa: B008  (frozen)
    ) -> None:
        """`decide` returns events with their decisions; `end` destroys a connection of a process.

        `make_room` is given a process, the cookie of its socket, and bytes.
        """
        self._kernel, self._sockets, self._decide = kernel, sockets, decide
        self._end, self._make_room, self._terms = end, make_room, terms
        self._connections: dict[ConnectionKey, _Connection] = {}
        self._waiting: dict[ConnectionKey, _Connection] = {}
        self._times: deque[float] = deque(maxlen=_MAX_TIMES)
        self._counts: Counter[str] = Counter()
        self._allowed = self._denied = 0

    @property
    def is_waiting(self) -> bool:
        """Whether anything is held now: only then has `expire` something to do."""
        return bool(self._waiting)

    @property
    def told(self) -> events.Held | None:
        """What was held so far and is decided, None where nothing was."""
        if not self._allowed + self._denied:
            return None
        median = statistics.median(self._times) * 1000 if self._times else None
        return events.Held(allowed=self._allowed, denied=self._denied, median_milliseconds=median)

    @property
    def lost(self) -> dict[str, int]:
        """What could not be held as it should, by place, where it is not zero."""
        return {f"hold_{why}": count for why, count in self._counts.items()}

    # Records

    def follow(
        self,
        record: Record,
        made: Sequence[Event],
        is_between: bool,
        now_ns: int,
        ahead: Sequence[Event] = (),
    ) -> Sequence[Event]:
        """Take a record and the events made of it; those of what is held come back decided.

        `is_between`: behind it the connection has written whole requests and nothing else.
        `ahead` is what it said ahead of a request, which would be too late to judge with that: of
        it only what is denied comes back.
        """
        if isinstance(record, TlsHold):
            self._connections.setdefault(record.key, _Connection(record))
        elif isinstance(record, ProcessExit):
            self._sockets.forget(record.key.pid)
            for key in [key for key in self._connections if key.process == record.key]:
                self._close(key, now_ns)
        elif isinstance(record, TlsData | TlsClose):
            connection = self._connections.get(record.key)
            if connection is None:
                return made
            if isinstance(record, TlsClose):
                made = self._decided(connection, made)
                self._close(record.key, now_ns)
            elif record.direction == Direction.WRITE:
                self._wrote(connection, record)
                made = self._decided(connection, made) + self._denied_of(connection, ahead)
                self._settle(connection, record, is_between, now_ns)
        return made

    def _wrote(self, connection: _Connection, record: TlsData) -> None:
        if connection.position is None:
            # What was written before it was held has left.
            connection.position = connection.allowed = record.position
        is_gap = record.position > connection.position
        connection.position = max(connection.position, record.position + len(record.data))
        if connection.is_denied:
            return
        if connection.since_ns is None:
            connection.since_ns = record.time_ns
            self._waiting[record.key] = connection
        if is_gap:
            self._give_up(connection, "unseen")

    def _decided(self, connection: _Connection, made: Sequence[Event]) -> list[Event]:
        decided = list(self._decide(made))
        for place, event in enumerate(decided):
            policy = event.policy
            if policy is None or (policy.decision != "deny" and connection.hindrance is None):
                continue
            self._deny(connection)
            was_sent = connection.was_given_up or self._has_passed(connection)
            enforced: Enforced = "interrupted" if was_sent else "prevented"
            decided[place] = replace(
                event,
                policy=replace(
                    policy, decision="deny", enforced=enforced, hindrance=connection.hindrance
                ),
            )
        return decided

    def _denied_of(self, connection: _Connection, ahead: Sequence[Event]) -> list[Event]:
        decided = self._decided(connection, ahead)
        return [event for event in decided if event.policy and event.policy.decision == "deny"]

    def _settle(
        self, connection: _Connection, record: TlsData, is_between: bool, now_ns: int
    ) -> None:
        if connection.is_denied or connection.position is None:
            return
        waits = connection.position - connection.allowed
        if is_between:
            self._allow_whole(connection, now_ns)
        elif waits > self._terms.bytes:
            self._give_up(connection, "over_limit")
        elif (
            waits > _USUAL_ROOM
            and not connection.has_room
            and record.call_offset + len(record.data) == record.call_bytes
        ):
            # It is written with several calls, and none may wait until the others are sent.
            connection.has_room = True
            hold = connection.hold
            # Twice what may wait: as ciphertext it is somewhat more.
            if not self._make_room(hold.key.pid, hold.cookie, 2 * self._terms.bytes):
                self._counts["without_room"] += 1

    def muted(self, key: ConnectionKey) -> None:
        """A connection is none of AI: what it writes is no longer told, and passes."""
        connection = self._connections.get(key)
        if connection is not None and not connection.is_denied:
            self._allow(connection, None)

    def _close(self, key: ConnectionKey, now_ns: int) -> None:
        """The library let go of it; its socket may still have something to send."""
        connection = self._connections.pop(key)
        if not connection.is_denied:
            self._allow_whole(connection, now_ns)
        if connection.is_ended or not connection.is_denied:
            self._kernel.forget(connection.hold.cookie)

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

    # What is done

    def _has_passed(self, connection: _Connection) -> bool:
        """Whether the kernel side let something pass undecided, or may have."""
        try:
            return self._kernel.look(connection.hold.cookie).passed > connection.seen.passed
        except BpfError:
            return True

    def _give_up(self, connection: _Connection, why: str) -> None:
        self._counts[why] += 1
        if self._terms.fails_open:
            connection.was_given_up = True
            self._allow(connection, connection.position)
        else:
            connection.hindrance = _GIVEN_UP[why]
            self._deny(connection)

    def _allow_whole(self, connection: _Connection, now_ns: int) -> None:
        if connection.since_ns is not None:
            self._times.append((now_ns - connection.since_ns) / _SECOND_NS)
        self._allowed += 1
        connection.was_given_up = False
        self._allow(connection, connection.position)

    def _allow(self, connection: _Connection, position: int | None) -> None:
        hold = connection.hold
        try:
            self._kernel.allow(hold.cookie, position)
            # After that: what is dropped up to here is seen, and what comes later passes.
            seen = self._kernel.look(hold.cookie)
        except BpfError:
            self._counts["not_released"] += 1
            return
        connection.allowed = connection.position or 0
        connection.since_ns = None
        self._waiting.pop(hold.key, None)
        if seen.dropped != connection.seen.dropped:
            self._sockets.flush(hold.key.pid, hold.cookie)
        connection.seen = seen

    def _deny(self, connection: _Connection) -> None:
        if connection.is_denied:
            return
        connection.is_denied = True
        hold = connection.hold
        self._waiting.pop(hold.key, None)
        self._denied += 1
        try:
            self._kernel.deny(hold.cookie)
        except BpfError:
            self._counts["not_denied"] += 1
        ends = TcpConnection(
            hold.local, hold.local_port, hold.remote, hold.remote_port, hold.cookie
        )
        connection.is_ended = self._end(ends, hold.key.pid).result != "not_possible"
        if not connection.is_ended:
            # Nothing of it passes all the same, and the program waits until its own time is over.
            self._counts["not_ended"] += 1
