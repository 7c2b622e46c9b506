"""What the kernel tells us: the Python side of bpf/records.h.

Each `Layout` spells one C struct, field by field, padding included. A test reads the
compiled programs' BTF and fails when the two sides differ by a byte. Decoding is the
hot path of the monitor, so it does one `unpack_from` and one copy, and leaves text
undecoded until somebody asks for it.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import NamedTuple

import msgspec

VERSION = 1
MAX_DATA = 16384
# In a random_path: this offset is not followed.
NO_OFFSET = 0x7FFFFFFF
# In place of a library: the bytes are those of a socket, without TLS.
PLAIN_SOCKET = 0xFFFFFFFFFFFFFFFF
# ... or those that a process reads from its standard input and writes to its standard output.
STANDARD_IO = 0xFFFFFFFFFFFFFFFE
MAX_PATH = 256
WORD_FACTOR = 31


class Type(enum.IntEnum):
    """`enum record_type`."""

    TLS_OPEN = 1
    TLS_NAME = 2
    TLS_DATA = 3
    TLS_CLOSE = 4
    PROCESS_EXIT = 5
    TLS_RANDOM = 6
    TLS_SOCKET = 7
    TLS_PEER = 8

    FLOW = 10
    TRAFFIC = 11

    DNS_MESSAGE = 20
    CLIENT_HELLO = 21
    QUIC_INITIAL = 22

    PROCESS_EXEC = 30
    PROCESS_FORK = 31
    PROCESS_PROGRAM = 32

    FILE_ACCESS = 40
    FILE_DATA = 41
    FILE_BYTES = 42
    STDIO_BEGUN = 43
    TLS_HOLD = 50


class Direction(enum.IntEnum):
    """`enum direction`: what the process did with the bytes."""

    WRITE = 0
    READ = 1


class Verdict(enum.IntEnum):
    """`enum verdict`: what the kernel is told about a connection."""

    MUTED = 1
    WANTED = 2


class FlowOperation(enum.IntEnum):
    """`enum flow_operation`: what happened to a flow."""

    CONNECT = 1
    ACCEPT = 2
    CLOSE = 3
    LOOK = 4
    LOOK_CLOSED = 5
    REFUSED = 6


class FlowOwner(enum.IntEnum):
    """`enum flow_owner`: how the process of a flow is known."""

    UNKNOWN = 0
    OPENER = 1
    LISTENER = 2
    HOLDER = 3


class LostPlace(enum.IntEnum):
    """`enum lost_place`: where the kernel side counts what it could not tell us."""

    RING_FULL = 0
    UNREADABLE = 1
    OVER_CALL_LIMIT = 2
    CALL_TABLE = 3
    CONNECTION_TABLE = 4
    RECORDS = 5
    SOCKET_TABLE = 6
    HELD_BACK = 7
    SPARED = 8
    PROCESS_TABLE = 9
    FILE_DATA = 10
    FILE_RECORDS = 11
    UNHELD = 12
    STDIO_TABLE = 13


class FileOperation(enum.IntEnum):
    """`enum file_operation`: what was done with a name."""

    OPEN = 0
    UNLINK = 1
    RENAME = 2
    RENAMED_TO = 3


class Layout:
    """A C struct as "name code" pairs, codes as in `struct`; `pad` fields are skipped."""

    def __init__(self, c_name: str, fields: str) -> None:
        words = fields.split()
        self.c_name = c_name
        self.names, codes = words[::2], words[1::2]
        self._struct = struct.Struct("<" + "".join(codes))
        self.unpack_from = self._struct.unpack_from
        self.iter_unpack = self._struct.iter_unpack
        self.pack = self._struct.pack
        self.size = self._struct.size
        self.offsets = {
            name: struct.calcsize("<" + "".join(codes[:i])) for i, name in enumerate(self.names)
        }


# `x` codes are padding: they take space and give no value, hence they stand last.
_RECORD = "type B version B pad 2x pid I time_ns Q start_ns Q "
_TLS = _RECORD + "connection Q since_ns Q "
TLS_OPEN = Layout("tls_open", _TLS + "cgroup_id Q library Q tid I ppid I uid I gid I comm 16s")
TLS_NAME = Layout("tls_name", _TLS + "name 256s")
TLS_DATA = Layout(
    "tls_data",
    _TLS
    + "position Q call_bytes Q call_offset Q tid I length I direction B during_write B unused 6x",
)
TLS_CLOSE = Layout("tls_close", _TLS)
TLS_PEER = Layout("tls_peer", _TLS + "peer_start_ns Q peer I length I comm 16s")
PROCESS_EXIT = Layout("process_exit", _RECORD)
STDIO_BEGUN = Layout("stdio_begun", _RECORD)
STDIO_SETTINGS = Layout("stdio_settings", "max_call_bytes Q monitor_pid I all I")
_FLOW = (
    _RECORD + "cookie Q netns Q cgroup_id Q opened_ns Q established_ns Q "
    "bytes_sent Q bytes_received Q retransmits I tid I ppid I uid I gid I "
    "local_port H remote_port H local 16s remote 16s "
    "comm 16s error H operation B role B owner B agent B transport B unused x "
)
FLOW = Layout("flow", _FLOW)
TLS_RANDOM = Layout("tls_random", _TLS + "random 32s")
TLS_SOCKET = Layout("tls_socket", _TLS + "cookie Q")
_WIRE = _RECORD + "cookie Q netns Q position I length I "
DNS_MESSAGE = Layout("dns_message", _WIRE + "total I direction B over_tcp B unused 2x")
CLIENT_HELLO = Layout("client_hello", _WIRE + "total I unused 4x")
QUIC_INITIAL = Layout("quic_initial", _FLOW + "length I total I")
QUIC_KEY = Layout("quic_key", "cookie Q remote 16s remote_port H unused 6x")
PROCESS_EXEC = Layout(
    "process_exec",
    _RECORD + "parent_start_ns Q cgroup_id Q inode Q ppid I agent I uid I gid I "
    "argv_bytes I length I comm 16s path 256s",
)
PROCESS_PROGRAM = Layout("process_program", _RECORD + "inode Q length I unused 4x path 256s")
PROCESS_FORK = Layout("process_fork", _RECORD + "parent_start_ns Q ppid I agent I")
RUNNING_PROCESS = Layout("running_process", "start_ns Q parent_start_ns Q pid I ppid I comm 16s")
SETTINGS = Layout(
    "settings", "max_call_bytes Q undecided_bytes Q hold_ns Q monitor_pid I spare_filtered I"
)
RANDOM_PATH = Layout("random_path", "zero I pointer I offset I bio I")
_FILE = _RECORD + "file Q since_ns Q "
FILE_ACCESS = Layout(
    "file_access",
    _FILE + "cgroup_id Q tid I ppid I uid I gid I result i flags I parts_length I operation B "
    "complete B inherited B unused x comm 16s name 256s parts 1280s",
)
FILE_DATA = Layout(
    "file_data",
    _FILE + "offset Q call_bytes Q length I direction B unused 3x comm 16s",
)
# `bytes` is an array of two; its second half has no name of its own in C.
FILE_BYTES = Layout("file_bytes", _FILE + "bytes 16s last I unused 4x comm 16s")
FILE_SETTINGS = Layout("file_settings", "max_file_bytes Q all I monitor_pid I")
DIRECTORY = Layout("directory", "inode Q device I unused 4x")
CONNECTION_ID = Layout("connection_id", "connection Q pid I pad 4x")
JUDGEMENT = Layout("judgement", "since_ns Q verdict Q")
_SOCKET = "cookie Q local_port H remote_port H unused 4x local 16s remote 16s "
TLS_HOLD = Layout("tls_hold", _TLS + _SOCKET)
HOLD = Layout("hold", "position Q deadline_ns Q dropped Q passed Q " + _SOCKET + "pid I pad 4x")
PERMISSION = Layout("permission", "position Q denied Q")
HELD_NAME = Layout("held_name", "first Q end Q")
HOLD_SETTINGS = Layout("hold_settings", "fails_open Q")
WANTED_ADDRESS = Layout("wanted_address", "netns Q address 16s")
FLOW_SETTINGS = Layout("flow_settings", "monitor_pid I all B cookies B accepts B traffic B")
# The slices stand last, and only `count` of them are there.
TRAFFIC = Layout(
    "traffic",
    _RECORD + "cookie Q began_ns Q window I count B unused x remote_port H remote 16s slices 512s",
)
TRAFFIC_SLICE = Layout(
    "traffic_slice", "at_ms I sent I received I segments_sent H segments_received H"
)
CONNECT_KEY = Layout("connect_key", "netns Q address 16s process I port H unused 2x")
CONNECT_VERDICT = Layout(
    "connect_verdict", "until_ns Q start_ns Q refused Q told_ns Q error I unused 4x"
)
ENFORCE_SETTINGS = Layout("enforce_settings", "monitor_pid I link_local B any_error B unused 2x")
AGENT = Layout("agent", "start_ns Q root I unused 4x executed_ns Q")
LAYOUTS = (
    TLS_OPEN,
    TLS_NAME,
    TLS_DATA,
    TLS_CLOSE,
    PROCESS_EXIT,
    FLOW,
    DNS_MESSAGE,
    CLIENT_HELLO,
    QUIC_INITIAL,
    QUIC_KEY,
    TLS_RANDOM,
    TLS_SOCKET,
    TLS_PEER,
    STDIO_BEGUN,
    STDIO_SETTINGS,
    PROCESS_EXEC,
    PROCESS_PROGRAM,
    PROCESS_FORK,
    RUNNING_PROCESS,
    FILE_ACCESS,
    FILE_DATA,
    FILE_BYTES,
    FILE_SETTINGS,
    SETTINGS,
    RANDOM_PATH,
    CONNECTION_ID,
    JUDGEMENT,
    WANTED_ADDRESS,
    FLOW_SETTINGS,
    TRAFFIC,
    TRAFFIC_SLICE,
    CONNECT_KEY,
    CONNECT_VERDICT,
    ENFORCE_SETTINGS,
    AGENT,
    TLS_HOLD,
    HOLD,
    PERMISSION,
    HELD_NAME,
    HOLD_SETTINGS,
)

# Where every record has the time at which it was begun.
TIME_OFFSET = PROCESS_EXIT.offsets["time_ns"]


class ProcessKey(NamedTuple):
    """One process: a pid is recycled, a pid with its start time is not."""

    pid: int
    start_ns: int


class ConnectionKey(NamedTuple):
    """One TLS connection of one process, for as long as the library keeps its object."""

    pid: int
    start_ns: int
    connection: int
    since_ns: int

    @property
    def process(self) -> ProcessKey:
        """The process it belongs to."""
        return ProcessKey(self.pid, self.start_ns)


class TlsOpen(msgspec.Struct, frozen=True):
    """First sight of a connection, with who uses it."""

    key: ConnectionKey
    time_ns: int
    tid: int
    ppid: int
    uid: int
    gid: int
    cgroup_id: int
    library: int
    comm: bytes

    @property
    def is_plain(self) -> bool:
        """Whether there is no TLS: the connection is a socket, by its cookie."""
        return self.library == PLAIN_SOCKET

    @property
    def is_stdio(self) -> bool:
        """Whether it is what a process that this one started reads and writes."""
        return self.library == STANDARD_IO


class TlsName(msgspec.Struct, frozen=True):
    """The host name that the client asked for (server_name, RFC 6066 section 3)."""

    key: ConnectionKey
    time_ns: int
    name: str


class TlsData(msgspec.Struct, frozen=True):
    """A piece of plaintext that one call of the TLS library wrote or read.

    `position` counts all bytes of this direction since the connection was first seen, so
    a reader knows exactly how many it missed. `call_bytes` is what the call moved in all.
    `during_write` tells that another thread was in a write call: its bytes left before these
    came, and are told after them.
    """

    key: ConnectionKey
    time_ns: int
    direction: Direction
    position: int
    call_bytes: int
    call_offset: int
    tid: int
    data: bytes
    during_write: bool = False


class TlsClose(msgspec.Struct, frozen=True):
    """The TLS library freed the connection object."""

    key: ConnectionKey
    time_ns: int


class TlsRandom(msgspec.Struct, frozen=True):
    """The random of the connection's ClientHello (RFC 8446 section 4.1.2), as the library has it.

    It is told once, with the first plaintext; the hello on the wire has the same 32 bytes.
    """

    key: ConnectionKey
    time_ns: int
    random: bytes


class TlsSocket(msgspec.Struct, frozen=True):
    """The socket under the connection, where the TLS library itself reads from one.

    It is told once, behind the random; `cookie` is as in `Flow`.
    """

    key: ConnectionKey
    time_ns: int
    cookie: int


class TlsPeer(msgspec.Struct, frozen=True):
    """The process at the other end of a connection of standard I/O, and what it was started with.

    It is told once, behind the opening; `argv` may be cut.
    """

    key: ConnectionKey
    time_ns: int
    peer: ProcessKey
    comm: bytes
    argv: tuple[bytes, ...]


class TlsHold(msgspec.Struct, frozen=True):
    """What a connection writes waits at its socket from now on, until it is allowed.

    It is told before the library has it. `cookie` is the socket's, and its ends are as in `Flow`.
    """

    key: ConnectionKey
    time_ns: int
    cookie: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int


class StdioBegun(msgspec.Struct, frozen=True):
    """A process was started whose standard input and output are to be looked at."""

    key: ProcessKey
    time_ns: int


class ProcessExit(msgspec.Struct, frozen=True):
    """The last thread of a process that earlier records told of ended."""

    key: ProcessKey
    time_ns: int


class Flow(msgspec.Struct, frozen=True):
    """A socket's connection, as it stood when something happened to it.

    `key` is the process that opened it, as far as `owner` says so. `local` and `remote` are 16
    bytes, IPv4 as IPv4-mapped IPv6. `opened_ns` is 0 where it was open before we watched, and
    `established_ns` then and as long as it is not. `role` is CONNECT, ACCEPT, or None where that
    is not known. Byte counts are of payload.
    """

    key: ProcessKey
    time_ns: int
    cookie: int
    netns: int
    cgroup_id: int
    opened_ns: int
    established_ns: int
    bytes_sent: int
    bytes_received: int
    retransmits: int
    tid: int
    ppid: int
    uid: int
    gid: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    comm: bytes
    error: int
    operation: FlowOperation
    role: FlowOperation | None
    owner: FlowOwner
    agent: bool
    transport: int


class TrafficSlice(NamedTuple):
    """What a connection moved since the slice before it, at most a few tenths of a second.

    `at_ms` counts from the window's `began_ns`. Bytes are payload; `segments_*` are the segments
    that carried it, as the kernel counts them: several may have been handed over at once.
    """

    at_ms: int
    sent: int
    received: int
    segments_sent: int
    segments_received: int


class Traffic(msgspec.Struct, frozen=True):
    """How a connection moved what it moved, in slices of time: one window of its life.

    `key` is the process that opened it, `cookie` and `remote` are as in `Flow`. Slices in which
    nothing moved are left out; there are up to 32. `window` counts those of this connection, from
    0; the first begins when the connection was asked for, others with their first slice.
    """

    key: ProcessKey
    time_ns: int
    cookie: int
    remote: bytes
    remote_port: int
    began_ns: int
    window: int
    slices: tuple[TrafficSlice, ...]


class DnsMessage(msgspec.Struct, frozen=True):
    """A datagram, or a piece of a stream, that a socket exchanged with a name server.

    `cookie` and `netns` are the cookies of the socket and of its network namespace, each
    unique until the host restarts; `key` is the process that connected the socket or asked.
    `total` is the datagram's length; `position` counts the bytes of a stream in one direction.
    """

    key: ProcessKey
    time_ns: int
    cookie: int
    netns: int
    direction: Direction
    over_tcp: bool
    position: int
    total: int
    data: bytes


class ClientHello(msgspec.Struct, frozen=True):
    """A piece of the first bytes that a TLS client sent over a TCP connection.

    Cookies as in `DnsMessage`; `key` is the process that connected. `position` is that of the
    piece in the stream, `total` how much of the stream is reported, as far as it is known.
    """

    key: ProcessKey
    time_ns: int
    cookie: int
    netns: int
    position: int
    total: int
    data: bytes


class QuicInitial(msgspec.Struct, frozen=True):
    """One of the first datagrams that a QUIC client sent to an address.

    `flow` is how it stands: it was opened when the first was sent, and is never told established.
    What a socket sends to one address is one flow; the cookie of its first is the socket's, that of
    another stands for it alone (`socket_cookie`). `data` is cut where it has less than `total`
    bytes.
    """

    flow: Flow
    total: int
    data: bytes

    @property
    def key(self) -> ProcessKey:
        """The process that sent it."""
        return self.flow.key

    @property
    def time_ns(self) -> int:
        """When it was sent."""
        return self.flow.time_ns


class ProcessExec(msgspec.Struct, frozen=True):
    """A process runs another program from now on.

    `path` is what was asked for; for a script `inode` is that of its interpreter. `argv` has the
    whole arguments that fitted, and `agent` the pid of the agent that the kernel side takes it to
    belong to, 0 for none.
    """

    key: ProcessKey
    time_ns: int
    parent: ProcessKey
    cgroup_id: int
    inode: int
    agent: int
    uid: int
    gid: int
    comm: bytes
    path: bytes
    argv: tuple[bytes, ...]
    truncated: bool


class ProcessProgram(msgspec.Struct, frozen=True):
    """What a process runs, told with its first connection.

    It says so itself, from memory that it can write to, but for `inode`, the executable's.
    """

    key: ProcessKey
    time_ns: int
    inode: int
    path: bytes
    argv: tuple[bytes, ...]


class ProcessFork(msgspec.Struct, frozen=True):
    """A process that belongs, or may belong, to an agent made another; `key` is the child."""

    key: ProcessKey
    time_ns: int
    parent: ProcessKey
    agent: int


class RunningProcess(msgspec.Struct, frozen=True):
    """A process that runs; not a record, but what the kernel says when it is asked."""

    key: ProcessKey
    parent: ProcessKey
    comm: bytes


class FileKey(NamedTuple):
    """One open file, however many descriptors lead to it; 0 and 0 where none is."""

    file: int
    since_ns: int


class FileAccess(msgspec.Struct, frozen=True):
    """A file was opened, unlinked or renamed, or that was refused: then `error` is the errno.

    `path` is absolute unless `truncated`, which says that parts at its beginning are missing. It
    may have `.`, `..` and links in it where the file itself was not there to ask.
    """

    key: ProcessKey
    time_ns: int
    file: FileKey
    operation: FileOperation
    path: bytes
    truncated: bool
    flags: int
    error: int
    inherited: bool
    tid: int
    ppid: int
    uid: int
    gid: int
    cgroup_id: int
    comm: bytes


class FileData(msgspec.Struct, frozen=True):
    """A piece of what one call read from a file or wrote to it.

    `call_bytes` are those that the call moved from its beginning on, up to the next piece.
    """

    key: ProcessKey
    time_ns: int
    file: FileKey
    direction: Direction
    offset: int
    call_bytes: int
    comm: bytes
    data: bytes


class FileBytes(msgspec.Struct, frozen=True):
    """How many bytes of a file were read and written so far, when a descriptor was closed.

    `last` says that no other descriptor led to it.
    """

    key: ProcessKey
    time_ns: int
    file: FileKey
    written: int
    read: int
    last: bool
    comm: bytes


TlsRecord = TlsOpen | TlsName | TlsData | TlsClose | TlsRandom | TlsSocket | TlsPeer | TlsHold
ProcessRecord = ProcessExec | ProcessProgram | ProcessFork | ProcessExit | StdioBegun
FileRecord = FileAccess | FileData | FileBytes
WireRecord = DnsMessage | ClientHello | QuicInitial
Record = TlsRecord | Flow | Traffic | WireRecord | ProcessRecord | FileRecord

_DIRECTIONS = (Direction.WRITE, Direction.READ)
_QUIC_LENGTHS = struct.Struct("<2I")
# Of what is counted in the upper bits, nothing (struct quic_initial of records.h).
_SOCKET_COOKIE = (1 << 48) - 1


def decode(raw: bytes) -> Record:
    """Read one record of the ring buffer. Raises ValueError when it is not one of ours."""
    try:
        if raw[1] == VERSION:
            return _DECODERS[raw[0]](raw)
    except (IndexError, KeyError, struct.error):
        pass
    raise ValueError(f"unknown record: {len(raw)} bytes, begins with {raw[:2].hex() or 'nothing'}")


def _tls_data(raw: bytes) -> TlsData:
    (
        _, _, pid, time_ns, start_ns, connection, since_ns,
        position, call_bytes, call_offset, tid, length, direction, during_write,
    ) = TLS_DATA.unpack_from(raw)  # fmt: skip
    data = _following(raw, TLS_DATA, length)
    return TlsData(
        ConnectionKey(pid, start_ns, connection, since_ns),
        time_ns,
        _DIRECTIONS[direction],
        position,
        call_bytes,
        call_offset,
        tid,
        data,
        bool(during_write),
    )


def _tls_open(raw: bytes) -> TlsOpen:
    (
        _, _, pid, time_ns, start_ns, connection, since_ns,
        cgroup_id, library, tid, ppid, uid, gid, comm,
    ) = TLS_OPEN.unpack_from(raw)  # fmt: skip
    key = ConnectionKey(pid, start_ns, connection, since_ns)
    return TlsOpen(key, time_ns, tid, ppid, uid, gid, cgroup_id, library, comm.split(b"\0", 1)[0])


def _tls_name(raw: bytes) -> TlsName:
    _, _, pid, time_ns, start_ns, connection, since_ns, name = TLS_NAME.unpack_from(raw)
    key = ConnectionKey(pid, start_ns, connection, since_ns)
    # Host names are ASCII (RFC 6066); a hostile one must not raise here.
    return TlsName(key, time_ns, name.split(b"\0", 1)[0].decode("ascii", "replace"))


def _tls_close(raw: bytes) -> TlsClose:
    _, _, pid, time_ns, start_ns, connection, since_ns = TLS_CLOSE.unpack_from(raw)
    return TlsClose(ConnectionKey(pid, start_ns, connection, since_ns), time_ns)


def _tls_random(raw: bytes) -> TlsRandom:
    _, _, pid, time_ns, start_ns, connection, since_ns, random = TLS_RANDOM.unpack_from(raw)
    return TlsRandom(ConnectionKey(pid, start_ns, connection, since_ns), time_ns, random)


def _tls_socket(raw: bytes) -> TlsSocket:
    _, _, pid, time_ns, start_ns, connection, since_ns, cookie = TLS_SOCKET.unpack_from(raw)
    return TlsSocket(ConnectionKey(pid, start_ns, connection, since_ns), time_ns, cookie)


def _tls_peer(raw: bytes) -> TlsPeer:
    (
        _, _, pid, time_ns, start_ns, connection, since_ns, peer_start_ns, peer, length, comm,
    ) = TLS_PEER.unpack_from(raw)  # fmt: skip
    key = ConnectionKey(pid, start_ns, connection, since_ns)
    argv = _arguments(_following(raw, TLS_PEER, length))
    return TlsPeer(key, time_ns, ProcessKey(peer, peer_start_ns), comm.split(b"\0", 1)[0], argv)


def _tls_hold(raw: bytes) -> TlsHold:
    (
        _, _, pid, time_ns, start_ns, connection, since_ns,
        cookie, local_port, remote_port, local, remote,
    ) = TLS_HOLD.unpack_from(raw)  # fmt: skip
    key = ConnectionKey(pid, start_ns, connection, since_ns)
    return TlsHold(key, time_ns, cookie, local, local_port, remote, remote_port)


def _process_exit(raw: bytes) -> ProcessExit:
    _, _, pid, time_ns, start_ns = PROCESS_EXIT.unpack_from(raw)
    return ProcessExit(ProcessKey(pid, start_ns), time_ns)


def _stdio_begun(raw: bytes) -> StdioBegun:
    _, _, pid, time_ns, start_ns = STDIO_BEGUN.unpack_from(raw)
    return StdioBegun(ProcessKey(pid, start_ns), time_ns)


def _flow(raw: bytes) -> Flow:
    (
        _, _, pid, time_ns, start_ns, cookie, netns, cgroup_id, opened_ns, established_ns,
        bytes_sent, bytes_received, retransmits, tid, ppid, uid, gid,
        local_port, remote_port, local, remote, comm,
        error, operation, role, owner, agent, transport,
    ) = FLOW.unpack_from(raw)  # fmt: skip
    return Flow(
        key=ProcessKey(pid, start_ns),
        time_ns=time_ns,
        cookie=cookie,
        netns=netns,
        cgroup_id=cgroup_id,
        opened_ns=opened_ns,
        established_ns=established_ns,
        bytes_sent=bytes_sent,
        bytes_received=bytes_received,
        retransmits=retransmits,
        tid=tid,
        ppid=ppid,
        uid=uid,
        gid=gid,
        local=local,
        local_port=local_port,
        remote=remote,
        remote_port=remote_port,
        comm=comm.split(b"\0", 1)[0],
        error=error,
        operation=FlowOperation(operation),
        role=FlowOperation(role) if role else None,
        owner=FlowOwner(owner),
        agent=bool(agent),
        transport=transport,
    )


def _traffic(raw: bytes) -> Traffic:
    (
        _, _, pid, time_ns, start_ns, cookie, began_ns, window, count,
        remote_port, remote, slices,
    ) = TRAFFIC.unpack_from(raw)  # fmt: skip
    used = slices[: count * TRAFFIC_SLICE.size]
    return Traffic(
        key=ProcessKey(pid, start_ns),
        time_ns=time_ns,
        cookie=cookie,
        remote=remote,
        remote_port=remote_port,
        began_ns=began_ns,
        window=window,
        slices=tuple(map(TrafficSlice._make, TRAFFIC_SLICE.iter_unpack(used))),
    )


def _dns_message(raw: bytes) -> DnsMessage:
    (
        _, _, pid, time_ns, start_ns, cookie, netns, position, length,
        total, direction, over_tcp,
    ) = DNS_MESSAGE.unpack_from(raw)  # fmt: skip
    data = _following(raw, DNS_MESSAGE, length)
    return DnsMessage(
        ProcessKey(pid, start_ns),
        time_ns,
        cookie,
        netns,
        _DIRECTIONS[direction],
        bool(over_tcp),
        position,
        total,
        data,
    )


def _client_hello(raw: bytes) -> ClientHello:
    (
        _, _, pid, time_ns, start_ns, cookie, netns, position, length, total,
    ) = CLIENT_HELLO.unpack_from(raw)  # fmt: skip
    data = _following(raw, CLIENT_HELLO, length)
    return ClientHello(ProcessKey(pid, start_ns), time_ns, cookie, netns, position, total, data)


def _quic_initial(raw: bytes) -> QuicInitial:
    length, total = _QUIC_LENGTHS.unpack_from(raw, FLOW.size)
    return QuicInitial(_flow(raw), total, _following(raw, QUIC_INITIAL, length))


def socket_cookie(cookie: int) -> int:
    """Return the cookie of the socket of a UDP flow, by the flow's."""
    return cookie & _SOCKET_COOKIE


def _following(raw: bytes, layout: Layout, length: int) -> bytes:
    """Return the bytes behind the fixed part, which says how many there are."""
    end = layout.size + length
    if end > len(raw):
        raise ValueError(f"cut record: {length} bytes said to follow, {len(raw)} bytes in all")
    return raw[layout.size : end]


def _process_exec(raw: bytes) -> ProcessExec:
    (
        _, _, pid, time_ns, start_ns, parent_start_ns, cgroup_id, inode, ppid, agent,
        uid, gid, argv_bytes, length, comm, path,
    ) = PROCESS_EXEC.unpack_from(raw)  # fmt: skip
    argv = _following(raw, PROCESS_EXEC, length)
    path, whole, _ = path.partition(b"\0")
    # The kernel side ends a path that is too long with a NUL, too.
    truncated = length < argv_bytes or not whole or len(path) == MAX_PATH - 1
    return ProcessExec(
        ProcessKey(pid, start_ns),
        time_ns,
        ProcessKey(ppid, parent_start_ns),
        cgroup_id,
        inode,
        agent,
        uid,
        gid,
        comm.split(b"\0", 1)[0],
        path,
        _arguments(argv),
        truncated,
    )


def _process_program(raw: bytes) -> ProcessProgram:
    _, _, pid, time_ns, start_ns, inode, length, path = PROCESS_PROGRAM.unpack_from(raw)
    argv = _arguments(_following(raw, PROCESS_PROGRAM, length))
    key = ProcessKey(pid, start_ns)
    return ProcessProgram(key, time_ns, inode, path.partition(b"\0")[0], argv)


def _arguments(argv: bytes) -> tuple[bytes, ...]:
    # What follows the last NUL is nothing, or an argument that was cut: half a key would not be
    # known for one.
    return tuple(argv.split(b"\0")[:-1])


def _process_fork(raw: bytes) -> ProcessFork:
    _, _, pid, time_ns, start_ns, parent_start_ns, ppid, agent = PROCESS_FORK.unpack_from(raw)
    return ProcessFork(ProcessKey(pid, start_ns), time_ns, ProcessKey(ppid, parent_start_ns), agent)


def _file_access(raw: bytes) -> FileAccess:
    (
        _, _, pid, time_ns, start_ns, file, since_ns, cgroup_id, tid, ppid, uid, gid,
        result, flags, parts_length, operation, complete, inherited, comm, name, parts,
    ) = FILE_ACCESS.unpack_from(raw)  # fmt: skip
    # From the last part to the first, each ended by NUL.
    path = b"/".join(reversed(parts[:parts_length].split(b"\0")[:-1]))
    name = name.split(b"\0", 1)[0]
    if complete:
        path = b"/" + path
    if name:
        # What follows a slash is absolute, as open(2) takes it.
        path = name if name.startswith(b"/") else path.rstrip(b"/") + b"/" + name
    return FileAccess(
        ProcessKey(pid, start_ns),
        time_ns,
        FileKey(file, since_ns),
        FileOperation(operation),
        path,
        not complete or len(name) == MAX_PATH - 1,
        flags,
        -min(result, 0),
        bool(inherited),
        tid,
        ppid,
        uid,
        gid,
        cgroup_id,
        comm.split(b"\0", 1)[0],
    )


def _file_data(raw: bytes) -> FileData:
    (
        _, _, pid, time_ns, start_ns, file, since_ns, offset, call_bytes, length, direction, comm,
    ) = FILE_DATA.unpack_from(raw)  # fmt: skip
    return FileData(
        ProcessKey(pid, start_ns),
        time_ns,
        FileKey(file, since_ns),
        _DIRECTIONS[direction],
        offset,
        call_bytes,
        comm.split(b"\0", 1)[0],
        _following(raw, FILE_DATA, length),
    )


def _file_bytes(raw: bytes) -> FileBytes:
    _, _, pid, time_ns, start_ns, file, since_ns, counts, last, comm = FILE_BYTES.unpack_from(raw)
    written, read = struct.unpack("<2Q", counts)
    return FileBytes(
        ProcessKey(pid, start_ns),
        time_ns,
        FileKey(file, since_ns),
        written,
        read,
        bool(last),
        comm.split(b"\0", 1)[0],
    )


def running_processes(raw: bytes) -> list[RunningProcess]:
    """Read what the iterator over all processes gives."""
    return [
        RunningProcess(
            ProcessKey(pid, start_ns), ProcessKey(ppid, parent_start_ns), comm.split(b"\0", 1)[0]
        )
        for start_ns, parent_start_ns, pid, ppid, comm in RUNNING_PROCESS.iter_unpack(raw)
    ]


def hash_word(word: bytes) -> int:
    """Return the hash of a word as the kernel side makes it; words are compared by it alone."""
    value = 0
    for byte in word:
        value = (value * WORD_FACTOR + byte) & 0xFFFFFFFFFFFFFFFF
    return value


_DECODERS: dict[int, Callable[[bytes], Record]] = {
    Type.TLS_OPEN: _tls_open,
    Type.TLS_NAME: _tls_name,
    Type.TLS_DATA: _tls_data,
    Type.TLS_CLOSE: _tls_close,
    Type.PROCESS_EXIT: _process_exit,
    Type.FLOW: _flow,
    Type.TRAFFIC: _traffic,
    Type.DNS_MESSAGE: _dns_message,
    Type.CLIENT_HELLO: _client_hello,
    Type.QUIC_INITIAL: _quic_initial,
    Type.TLS_RANDOM: _tls_random,
    Type.TLS_SOCKET: _tls_socket,
    Type.PROCESS_EXEC: _process_exec,
    Type.PROCESS_PROGRAM: _process_program,
    Type.PROCESS_FORK: _process_fork,
    Type.FILE_ACCESS: _file_access,
    Type.FILE_DATA: _file_data,
    Type.FILE_BYTES: _file_bytes,
    Type.TLS_PEER: _tls_peer,
    Type.STDIO_BEGUN: _stdio_begun,
    Type.TLS_HOLD: _tls_hold,
}
