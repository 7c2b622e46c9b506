"""Records to ordered bytes: one stream for each direction of each connection.

The kernel numbers the bytes of a stream, so a gap is known to the byte whatever caused it: a
full ring, unreadable memory, a call over the limit. Records come in order; one that repeats
bytes already seen (a recording played twice, say) gives only what is new.

Nothing is buffered here, but what one thread read while another was in a write call: an answer
must not be told before its request. Without TLS records are packets, which may come in another
order than their bytes: what came ahead waits for what is missing. Connections are kept in the order
of their use, and the one unused for longest makes room for a new one.
"""

from __future__ import annotations

from collections.abc import Iterator

from busted.records import ConnectionKey, Direction, ProcessKey, TlsData, TlsOpen, TlsPeer

# As many as the kernel side remembers (the `connections` map of bpf/tls.bpf.c).
MAX_CONNECTIONS = 16384
# What waits for the end of a write call, or for a packet. A write may block for as long as the
# other side likes, while that side goes on sending.
MAX_EARLY_BYTES = 1 << 20
MAX_EARLY_NS = 500_000_000


class Stream:
    """One direction of one connection."""

    def __init__(self) -> None:
        """A stream is followed from its first byte on."""
        self._next = 0

    def is_ahead(self, record: TlsData) -> bool:
        """Tell whether bytes are missing before this piece."""
        return record.position > self._next

    def take(self, record: TlsData) -> tuple[int, bytes]:
        """Return how many bytes are missing before this piece, and what of it is new."""
        missing = max(0, record.position - self._next)
        repeated = max(0, self._next - record.position)
        self._next = max(self._next, record.position + len(record.data))
        return missing, record.data[repeated:] if repeated else record.data


class Connection:
    """A connection as the kernel told it: who opened it, its name, its random, its two streams."""

    def __init__(self, key: ConnectionKey) -> None:
        """`opened` stays None when the record of its opening was lost."""
        self.key = key
        self.opened: TlsOpen | None = None
        self.name: str | None = None
        self.random: bytes | None = None
        self.socket: int | None = None  # its cookie, where the library reads from one by itself
        self.peer: TlsPeer | None = None  # of standard I/O
        self.streams = (Stream(), Stream())
        self._early: list[TlsData] = []
        self._early_bytes = 0

    @property
    def is_plain(self) -> bool:
        """Whether there is no TLS."""
        return self.opened is not None and self.opened.is_plain

    @property
    def is_stdio(self) -> bool:
        """Whether it is the standard input and output of a process that this one started."""
        return self.opened is not None and self.opened.is_stdio

    def in_order(self, record: TlsData) -> list[TlsData]:
        """Return the records to be taken now, in the order in which their bytes moved."""
        if self.is_plain:
            return self._in_sequence(record)
        if record.during_write and self._early_bytes + len(record.data) <= MAX_EARLY_BYTES:
            self._early.append(record)
            self._early_bytes += len(record.data)
            return []
        if record.direction is Direction.READ:  # so the write moved nothing, or was lost
            return [*self.release(), record]
        is_whole = record.call_offset + len(record.data) >= record.call_bytes
        return [record, *self.release()] if is_whole else [record]

    def _in_sequence(self, record: TlsData) -> list[TlsData]:
        is_ahead = self.streams[record.direction].is_ahead(record)
        if is_ahead and self._early_bytes + len(record.data) <= MAX_EARLY_BYTES:
            self._early.append(record)
            self._early_bytes += len(record.data)
            return []
        waited = self.release()
        if is_ahead:
            return sorted([*waited, record], key=_position)
        taken, end = [record], record.position + len(record.data)
        for early in waited:
            if early.direction != record.direction or early.position > end:
                self._early.append(early)
                self._early_bytes += len(early.data)
            else:
                taken.append(early)
                end = max(end, early.position + len(early.data))
        return taken

    @property
    def waits_since_ns(self) -> int | None:
        """When the first piece came that still waits, None when none does."""
        return min((early.time_ns for early in self._early), default=None)

    def release(self) -> list[TlsData]:
        """Return what waits, and let it wait no longer."""
        early, self._early, self._early_bytes = self._early, [], 0
        return sorted(early, key=_position) if self.is_plain else early


def _position(record: TlsData) -> int:
    return record.position


class Connections:
    """The open connections, bounded."""

    def __init__(self, max_connections: int = MAX_CONNECTIONS) -> None:
        """`forgotten` counts connections that were dropped unfinished to make room."""
        self._max = max_connections
        self._open: dict[ConnectionKey, Connection] = {}
        self.forgotten = 0

    def find(self, key: ConnectionKey) -> tuple[Connection, Connection | None]:
        """Return the connection, and the one that had to make room for it, if any."""
        connection = self._open.pop(key, None) or Connection(key)
        self._open[key] = connection  # last in order: used just now
        if len(self._open) <= self._max:
            return connection, None
        self.forgotten += 1
        return connection, self._open.pop(next(iter(self._open)))

    def close(self, key: ConnectionKey) -> Connection | None:
        """Remove and return a connection, None when it is not known."""
        return self._open.pop(key, None)

    def of_process(self, process: ProcessKey) -> list[Connection]:
        """Return the open connections of a process."""
        return [c for key, c in self._open.items() if key.process == process]

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over a snapshot, the one unused for longest first."""
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        """Count the open connections."""
        return len(self._open)
