"""The coverage ledger: of each connection, what went over the wire and what of it was read.

The wire's side are the kernel's counts of a socket's payload, as `Network` events tell them. The
other side is the plaintext that came from TLS libraries. Both meet by the socket's cookie, which a
library tells or the random of the ClientHello leads to; where neither is known, by a TLS connection
of the same process, for the same host, whose bytes fit.

Never are the two equal, for TLS adds: so much of the wire as TLS may add is explained, per
direction, and what is beyond was not read (`unexplained`). How a connection stands is said when it
ended, or when it is open for long.

Of QUIC nothing is read: the handshake's keys are in the process, and what is encrypted with them is
no stream of a library's calls. So its connections are opaque, whatever else is known of them.

Left out: connections that were accepted (what they carry is told where it is asked), UDP of
anything else, and what a process received and never read itself, which looks the same as what we
did not read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from busted import events
from busted.agent.names import Names
from busted.agent.told import Told
from busted.events import ConnectionCoverage
from busted.records import ClientHello, ConnectionKey, Direction, ProcessKey, TlsData

# What a server sends beside its data: certificates (the largest chains of public hosts have some
# 8 KB; RFC 8446 section 4.4.2) and tickets. Of a client whose hello was not seen: its hello, with
# keys of many kinds, and certificates of its own. A client's hello is sent twice at most (RFC 8446
# section 4.1.4).
HANDSHAKE_BYTES = 16384
# A record's header (5, RFC 8446 section 5.1), initialisation vector (16), HMAC (48) and padding
# (16) of CBC suites (RFC 5246 section 6.2.3.2), which add the most; AEAD suites add 22 or 29.
RECORD_BYTES = 85
# What a record holds at most (RFC 8446 section 5.1).
MAX_PLAINTEXT = 16384
# What a client may still send behind its hello when it says nothing: change_cipher_spec (6),
# Finished of SHA-384 (74), close_notify (24), or a key exchange and Finished of TLS 1.2 (126).
# The shortest request of HTTP makes it more.
SILENT_BYTES = 128

# HTTP/3 in the ClientHello (RFC 9114 section 3.1).
_HTTP3 = "h3"

Reason = Literal[
    "not_ai",
    "nothing_said",
    "lost_records",
    "over_limit",
    "joined_late",
    "unread",
    "not_tied",
    "no_hook",
    "not_probed",
    "hook_silent",
    "unknown_stack",
    "not_tls",
    "quic",
]
"""Why a connection is not read as a whole, or need not be; docs/events.md says what each means."""

State = Literal["decoded", "partial", "opaque"]


class Limits(msgspec.Struct, frozen=True):
    """What is remembered at most, and when is told what; the oldest makes room."""

    # Connections of agents and to AI hosts that are open, or ended just now.
    connections: int = 8192
    # Those that ended before.
    ended: int = 4096
    # TLS connections that were not muted; those of everybody are, after their first bytes.
    reads: int = 4096
    hellos: int = 4096
    processes: int = 1024
    # What a probe saw comes a poll or two behind the end of its socket.
    settle_ns: int = 1_000_000_000
    # An answer has begun by then, and an agent's work has not ended.
    patience_ns: int = 30 * 1_000_000_000


class Stack(msgspec.Struct, frozen=True):
    """Which TLS stack a process has that nothing is read of, as far as that can be found out.

    `reason` is why nothing is read; `path` is the file that has the stack.
    """

    process: ProcessKey
    reason: Reason
    stack: str | None = None
    path: str | None = None


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one connection stands: a line of the ledger."""

    pid: int
    process: str
    connection: str
    coverage: ConnectionCoverage
    agent: str | None = None
    open: bool = False
    behavior: events.Behavior | None = None


class _Read:
    """What was read of one TLS connection, by direction."""

    def __init__(self, key: ConnectionKey) -> None:
        self.key = key
        self.name: str | None = None
        self.muted = self.is_ai = False
        self.bytes, self.missing, self.calls = [0, 0], [0, 0], [0, 0]
        self.over_limit = 0


class _Entry:
    """One connection on the wire."""

    def __init__(self, told: Told, connection: events.Connection, agent: str | None) -> None:
        self.told, self.connection, self.agent = told, connection, agent
        self.network: events.Network | None = None
        self.first_bytes = (0, 0)
        self.reads: list[_Read] = []
        self.look_ns = told.time_ns
        self.ended_ns: int | None = None
        self.is_told = False
        self.coverage: ConnectionCoverage | None = None  # once it is over

    @property
    def wire(self) -> tuple[int, int]:
        network = self.network
        return (network.bytes_sent, network.bytes_received) if network else (0, 0)

    @property
    def is_ai(self) -> bool:
        """Whether it is an agent's, to a provider, or AI was seen on it."""
        provider = self.network.provider if self.network else None
        return bool(self.agent or provider or any(read.is_ai for read in self.reads))


Look = Callable[[ProcessKey], Stack | None]
"""Says which stack a process has."""

K = TypeVar("K")
V = TypeVar("V")


class Ledger:
    """The connections known. It never raises on what records hold; times are of their clock."""

    def __init__(
        self,
        names: Names,
        stack: Look = lambda process: None,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        """`stack` looks at a process while it runs; None when it is gone, or cannot be asked."""
        self._names, self._stack, self._limits = names, stack, limits
        # In the order of their begin.
        self._open: dict[str, _Entry] = {}
        # In the order of their end.
        self._ended: dict[str, _Entry] = {}
        self._reads: dict[ConnectionKey, _Read] = {}
        # Those of them that no socket is known of.
        self._untied: dict[ProcessKey, dict[ConnectionKey, _Read]] = {}
        # By the socket they are on, for sockets that are told later.
        self._on_socket: dict[str, _Read] = {}
        self._hellos: dict[int, int] = {}
        self._stacks: dict[ProcessKey, Stack] = {}
        self.forgotten = 0
        """Connections that were dropped before it was said how they stand."""

    # The wire

    def hello(self, record: ClientHello) -> None:
        """Take how long the first bytes of a TLS client are."""
        sent = record.position + len(record.data)
        _keep(self._hellos, record.cookie, sent, self._limits.hellos)

    def network(self, told: Told, agent: str | None) -> None:
        """Take what is told of a connection; `agent` is whose it is, if it is an agent's."""
        network, connection = told.action, told.connection
        if not isinstance(network, events.Network) or connection is None:
            return
        if connection.id in self._ended:
            return
        entry = self._open.get(connection.id)
        if entry is None:
            if network.error or not (network.operation == "connect" or network.joined_late):
                return
            entry = _Entry(told, connection, agent)
            entry.first_bytes = (network.bytes_sent, network.bytes_received)
            entry.look_ns += self._limits.patience_ns
            # Now, for it may be gone when it matters.
            if (agent or network.provider) and told.key not in self._stacks:
                self._look(told.key)
            if read := self._on_socket.get(connection.id):
                self._tie(read, entry)
            if _keep(self._open, connection.id, entry, self._limits.connections):
                self.forgotten += 1
        entry.network, entry.connection = network, connection
        entry.agent = entry.agent or agent
        if network.operation == "close":
            entry.ended_ns = told.time_ns

    # TLS

    def read(self, record: TlsData, missing: int, new: int) -> None:
        """Take a piece of plaintext: how many bytes are missing before it, how many it adds."""
        read, way = self._read(record.key), record.direction
        read.bytes[way] += new
        read.missing[way] += missing
        read.calls[way] += record.call_offset == 0
        # The kernel side leaves out the middle of a call over its limit, and tells its end.
        if missing and record.call_offset >= missing and _is_end(record):
            read.over_limit += missing

    def name(self, key: ConnectionKey, name: str) -> None:
        """Take the host that a TLS connection is for."""
        self._read(key).name = name

    def tie(self, key: ConnectionKey, cookie: int, *, by_random: bool = False) -> None:
        """Take which socket carries a TLS connection.

        By the random both ends of a connection find the client's socket: a server on this host is
        told from the client by its process.
        """
        if by_random:
            hello = self._names.of_socket(cookie)
            if hello is None or hello.key.pid not in (0, key.pid):
                return
        read, entry = self._read(key), self._open.get(str(cookie))
        _keep(self._on_socket, str(cookie), read, self._limits.reads)
        if entry is not None:
            self._tie(read, entry)

    def muted(self, key: ConnectionKey) -> None:
        """Take that a TLS connection is of no interest, so that no more of it is told."""
        self._read(key).muted = True

    def ai(self, key: ConnectionKey) -> None:
        """Take that a TLS connection carries AI, whatever its host is."""
        self._read(key).is_ai = True

    def _read(self, key: ConnectionKey) -> _Read:
        read = self._reads.get(key)
        if read is None:
            read = _Read(key)
            self._untied.setdefault(key.process, {})[key] = read
        forgotten = _keep(self._reads, key, read, self._limits.reads)
        if forgotten is not None:
            self._not_untied(forgotten)
        return read

    def _tie(self, read: _Read, entry: _Entry) -> None:
        self._not_untied(read)
        if read not in entry.reads:
            entry.reads.append(read)

    def _not_untied(self, read: _Read) -> None:
        untied = self._untied.get(read.key.process, {})
        untied.pop(read.key, None)
        if not untied:
            self._untied.pop(read.key.process, None)

    # What it says

    def expire(self, now_ns: int) -> list[Told]:
        """Return what is to be said of connections that ended a while ago or are open for long."""
        told = []
        for entry in list(self._open.values()):
            if entry.ended_ns is not None:
                if now_ns - entry.ended_ns >= self._limits.settle_ns:
                    told += self._finish(entry, now_ns)
            elif now_ns >= entry.look_ns:
                entry.look_ns = now_ns + self._limits.patience_ns
                look = self._look if entry.is_ai else self._stacks.get
                coverage = self._coverage(entry, look)
                # What is on its way from the socket to the process is not read yet.
                if not entry.is_told and coverage.reason != "unread":
                    told += self._tell(entry, coverage, now_ns)
        return told

    def close(self, now_ns: int) -> list[Told]:
        """Return what is to be said of those that are left: the monitor stops."""
        return [told for entry in list(self._open.values()) for told in self._finish(entry, now_ns)]

    def rows(self) -> list[Row]:
        """Return how all connections stand that are known, those that ended first."""
        return [
            Row(
                pid=entry.told.key.pid,
                process=entry.told.process.name,
                connection=entry.connection.id,
                coverage=entry.coverage or self._coverage(entry, self._stacks.get),
                agent=entry.agent,
                open=entry.ended_ns is None,
            )
            for entry in (*self._ended.values(), *self._open.values())
        ]

    def _finish(self, entry: _Entry, now_ns: int) -> list[Told]:
        del self._open[entry.connection.id]
        _keep(self._ended, entry.connection.id, entry, self._limits.ended)
        coverage = self._coverage(entry, self._look if entry.is_ai else self._stacks.get)
        told = [] if entry.is_told else self._tell(entry, coverage, now_ns)
        entry.coverage = coverage
        for read in entry.reads:
            self._reads.pop(read.key, None)
        entry.reads.clear()
        self._on_socket.pop(entry.connection.id, None)
        self._hellos.pop(int(entry.connection.id), None)
        return told

    def _tell(self, entry: _Entry, coverage: ConnectionCoverage, now_ns: int) -> list[Told]:
        if coverage.state == "decoded" or not entry.is_ai:
            return []
        if entry.wire == entry.first_bytes and not entry.reads:
            return []  # nothing moved while we looked
        if coverage.reason == "quic" and not coverage.wire_received:
            return []  # nobody answered: clients try, and go on over TCP
        entry.is_told = True
        action = events.Coverage(connection=coverage)
        at_ns = now_ns if entry.ended_ns is None else entry.ended_ns
        return [Told(at_ns, entry.told.key, entry.told.process, action, entry.connection)]

    def _coverage(self, entry: _Entry, look: Look) -> ConnectionCoverage:
        network, hello = entry.network, self._names.of_socket(int(entry.connection.id))
        if not entry.reads and hello is not None:
            self._fit(entry)
        state, reason, stack = self._state(entry, hello is not None, look)
        sent, received = entry.wire
        return ConnectionCoverage(
            state=state,
            reason=reason,
            stack=stack.stack if stack else None,
            library=stack.path if stack else None,
            name=network.name if network else None,
            provider=network.provider if network else None,
            ech=hello is not None and hello.ech,
            wire_sent=sent,
            wire_received=received,
            decoded_sent=sum(read.bytes[Direction.WRITE] for read in entry.reads),
            decoded_received=sum(read.bytes[Direction.READ] for read in entry.reads),
            missing=sum(sum(read.missing) for read in entry.reads),
        )

    def _state(
        self, entry: _Entry, is_tls: bool, look: Look
    ) -> tuple[State, Reason | None, Stack | None]:
        if entry.connection.transport == "udp":
            return "opaque", "quic", self._quic_stack(entry)
        is_late = entry.network is not None and entry.network.joined_late
        if not entry.reads:
            return self._unread(entry, is_tls, is_late, look)
        if any(read.muted for read in entry.reads):
            return "decoded", "not_ai", None
        if is_late:
            return "partial", "joined_late", None
        missing = sum(sum(read.missing) for read in entry.reads)
        if missing:
            over_limit = sum(read.over_limit for read in entry.reads)
            return "partial", "over_limit" if over_limit == missing else "lost_records", None
        return (
            ("decoded", None, None)
            if self._fits(entry, entry.reads)
            else ("partial", "unread", None)
        )

    def _quic_stack(self, entry: _Entry) -> Stack | None:
        hello = self._names.of_socket(int(entry.connection.id))
        is_http3 = hello is not None and _HTTP3 in hello.alpn
        return Stack(entry.told.key, "quic", "http3") if is_http3 else None

    def _unread(
        self, entry: _Entry, is_tls: bool, is_late: bool, look: Look
    ) -> tuple[State, Reason | None, Stack | None]:
        if not is_tls and not is_late:
            return "opaque", "not_tls", None
        hello_bytes = self._hellos.get(int(entry.connection.id))
        if hello_bytes is not None and entry.wire[Direction.WRITE] - hello_bytes <= SILENT_BYTES:
            return "decoded", "nothing_said", None
        if candidates := self._candidates(entry):
            if all(read.muted for read in candidates):
                return "decoded", "not_ai", None
            return "partial", "not_tied", None
        stack = look(entry.told.key)
        if stack is None or (is_late and stack.reason in ("hook_silent", "unknown_stack")):
            return "opaque", "joined_late" if is_late else "unknown_stack", stack
        return "opaque", stack.reason, stack

    def _candidates(self, entry: _Entry) -> list[_Read]:
        """Return what may have been read of a connection, where no library told its socket."""
        hello = self._names.of_socket(int(entry.connection.id))
        names = (None, hello.sni if hello else None)
        untied = self._untied.get(entry.told.key, {})
        return [read for read in untied.values() if any(read.bytes) and read.name in names]

    def _fit(self, entry: _Entry) -> None:
        """Tie the one TLS connection of the process whose bytes fit."""
        fitting = [read for read in self._candidates(entry) if self._fits(entry, [read])]
        if len(fitting) == 1 and entry.ended_ns is not None:
            self._tie(fitting[0], entry)

    def _fits(self, entry: _Entry, reads: list[_Read]) -> bool:
        hello_bytes = self._hellos.get(int(entry.connection.id))
        # A hello is sent again where the server asks for another key.
        before = HANDSHAKE_BYTES if hello_bytes is None else 2 * hello_bytes + SILENT_BYTES
        for way, handshake in ((Direction.WRITE, before), (Direction.READ, HANDSHAKE_BYTES)):
            plaintext = sum(read.bytes[way] + read.missing[way] for read in reads)
            calls = sum(read.calls[way] for read in reads)
            wire = entry.wire[way]
            if unexplained(wire, plaintext, calls, handshake):
                return False
            # Of one that is open, the wire's side is told behind the other.
            if plaintext > wire and entry.ended_ns is not None:
                return False
        return True

    def _look(self, process: ProcessKey) -> Stack | None:
        """Return what is known of a process's stack; it may have loaded it since the last look."""
        stack = self._stack(process)
        if stack is not None:
            _keep(self._stacks, process, stack, self._limits.processes)
        return self._stacks.get(process)


def unexplained(wire: int, plaintext: int, calls: int, handshake: int = HANDSHAKE_BYTES) -> int:
    """Return how many bytes of one direction are more than TLS makes of so much plaintext.

    A record holds what one call wrote, or 16 KiB of it; one call reads no more than one record.
    """
    records = calls + plaintext // MAX_PLAINTEXT + 1
    return max(0, wire - plaintext - handshake - records * RECORD_BYTES)


def _is_end(record: TlsData) -> bool:
    return record.call_offset + len(record.data) >= record.call_bytes


def _keep(table: dict[K, V], key: K, value: V, room: int) -> V | None:
    """Put an entry last; return the first, if that had to make room for it."""
    table.pop(key, None)
    table[key] = value
    return table.pop(next(iter(table))) if len(table) > room else None
