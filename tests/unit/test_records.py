"""Records are built here as the kernel lays them out, and decoded."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted import records
from busted.records import (
    ClientHello,
    ConnectionKey,
    Direction,
    DnsMessage,
    FileAccess,
    FileBytes,
    FileData,
    FileKey,
    FileOperation,
    Flow,
    FlowOperation,
    FlowOwner,
    Layout,
    ProcessExec,
    ProcessExit,
    ProcessFork,
    ProcessKey,
    ProcessProgram,
    QuicInitial,
    Record,
    RunningProcess,
    StdioBegun,
    TlsClose,
    TlsData,
    TlsHold,
    TlsName,
    TlsOpen,
    TlsPeer,
    TlsRandom,
    TlsSocket,
    Traffic,
    TrafficSlice,
    Type,
    decode,
)

U32 = st.integers(0, 2**32 - 1)
U16 = st.integers(0, 2**16 - 1)
U64 = st.integers(0, 2**64 - 1)
PROCESSES = st.builds(ProcessKey, U32, U64)
CONNECTIONS = st.builds(ConnectionKey, U32, U64, U64, U64)
WITHOUT_NUL = st.binary().filter(lambda text: b"\0" not in text)

PART = st.binary(min_size=1, max_size=40).filter(lambda text: not {0, 47} & set(text))

RECORDS = st.one_of(
    st.builds(
        Traffic,
        key=PROCESSES,
        time_ns=U64,
        cookie=U64,
        remote=st.binary(min_size=16, max_size=16),
        remote_port=U16,
        began_ns=U64,
        window=U32,
        slices=st.lists(st.builds(TrafficSlice, U32, U32, U32, U16, U16), max_size=32).map(tuple),
    ),
    st.builds(
        TlsOpen,
        key=CONNECTIONS,
        time_ns=U64,
        tid=U32,
        ppid=U32,
        uid=U32,
        gid=U32,
        cgroup_id=U64,
        library=U64,
        comm=WITHOUT_NUL.map(lambda text: text[:16]),
    ),
    st.builds(
        TlsName,
        key=CONNECTIONS,
        time_ns=U64,
        name=st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=256),
    ),
    st.builds(
        TlsData,
        key=CONNECTIONS,
        time_ns=U64,
        direction=st.sampled_from(Direction),
        position=U64,
        call_bytes=U64,
        call_offset=U64,
        tid=U32,
        data=st.binary(max_size=300),
    ),
    st.builds(TlsClose, key=CONNECTIONS, time_ns=U64),
    st.builds(ProcessExit, key=PROCESSES, time_ns=U64),
    st.builds(StdioBegun, key=PROCESSES, time_ns=U64),
    st.builds(
        TlsPeer,
        key=CONNECTIONS,
        time_ns=U64,
        peer=PROCESSES,
        comm=WITHOUT_NUL.map(lambda text: text[:16]),
        argv=st.lists(WITHOUT_NUL, max_size=4).map(tuple),
    ),
    st.builds(
        DnsMessage,
        key=PROCESSES,
        time_ns=U64,
        cookie=U64,
        netns=U64,
        direction=st.sampled_from(Direction),
        over_tcp=st.booleans(),
        position=U32,
        total=U32,
        data=st.binary(max_size=300),
    ),
    st.builds(
        ClientHello,
        key=PROCESSES,
        time_ns=U64,
        cookie=U64,
        netns=U64,
        position=U32,
        total=U32,
        data=st.binary(max_size=300),
    ),
    st.builds(
        Flow,
        key=PROCESSES,
        time_ns=U64,
        cookie=U64,
        netns=U64,
        cgroup_id=U64,
        opened_ns=U64,
        established_ns=U64,
        bytes_sent=U64,
        bytes_received=U64,
        retransmits=U32,
        tid=U32,
        ppid=U32,
        uid=U32,
        gid=U32,
        local=st.binary(min_size=16, max_size=16),
        local_port=st.integers(0, 65535),
        remote=st.binary(min_size=16, max_size=16),
        remote_port=st.integers(0, 65535),
        comm=WITHOUT_NUL.map(lambda text: text[:16]),
        error=st.integers(0, 65535),
        operation=st.sampled_from(FlowOperation),
        role=st.sampled_from([FlowOperation.CONNECT, FlowOperation.ACCEPT, None]),
        owner=st.sampled_from(FlowOwner),
        agent=st.booleans(),
        transport=st.integers(0, 255),
    ),
    st.builds(TlsRandom, key=CONNECTIONS, time_ns=U64, random=st.binary(min_size=32, max_size=32)),
    st.builds(TlsSocket, key=CONNECTIONS, time_ns=U64, cookie=U64),
    st.builds(
        TlsHold,
        key=CONNECTIONS,
        time_ns=U64,
        cookie=U64,
        local=st.binary(min_size=16, max_size=16),
        local_port=st.integers(0, 65535),
        remote=st.binary(min_size=16, max_size=16),
        remote_port=st.integers(0, 65535),
    ),
    st.builds(ProcessFork, key=PROCESSES, time_ns=U64, parent=PROCESSES, agent=U32),
    st.builds(
        ProcessExec,
        key=PROCESSES,
        time_ns=U64,
        parent=PROCESSES,
        cgroup_id=U64,
        inode=U64,
        agent=U32,
        uid=U32,
        gid=U32,
        comm=WITHOUT_NUL.map(lambda text: text[:16]),
        path=WITHOUT_NUL.map(lambda text: text[: records.MAX_PATH - 2]),
        argv=st.lists(WITHOUT_NUL, max_size=5).map(tuple),
        truncated=st.booleans(),
    ),
    st.builds(
        FileData,
        key=PROCESSES,
        time_ns=U64,
        file=st.builds(FileKey, U64, U64),
        direction=st.sampled_from(Direction),
        offset=U64,
        call_bytes=U64,
        comm=WITHOUT_NUL.map(lambda text: text[:16]),
        data=st.binary(max_size=300),
    ),
    st.builds(
        FileBytes,
        key=PROCESSES,
        time_ns=U64,
        file=st.builds(FileKey, U64, U64),
        written=U64,
        read=U64,
        last=st.booleans(),
        comm=WITHOUT_NUL.map(lambda text: text[:16]),
    ),
    st.builds(
        FileAccess,
        key=PROCESSES,
        time_ns=U64,
        file=st.builds(FileKey, U64, U64),
        operation=st.sampled_from(FileOperation),
        # From the root on, so that there is one way to spell it.
        path=st.lists(PART, max_size=8).map(lambda parts: b"/" + b"/".join(parts)),
        truncated=st.just(False),
        flags=U32,
        error=st.integers(0, 133),
        inherited=st.booleans(),
        tid=U32,
        ppid=U32,
        uid=U32,
        gid=U32,
        cgroup_id=U64,
        comm=WITHOUT_NUL.map(lambda text: text[:16]),
    ),
)

DATA = TlsData(
    key=ConnectionKey(7, 70, 0xABC, 700),
    time_ns=9,
    direction=Direction.READ,
    position=5,
    call_bytes=5,
    call_offset=0,
    tid=8,
    data=b"hello",
)
FLOW = Flow(
    key=DATA.key.process,
    time_ns=9,
    cookie=5,
    netns=6,
    cgroup_id=44,
    opened_ns=7,
    established_ns=8,
    bytes_sent=1,
    bytes_received=2,
    retransmits=3,
    tid=8,
    ppid=1,
    uid=1000,
    gid=100,
    local=bytes(range(16)),
    local_port=40000,
    remote=bytes(range(16, 32)),
    remote_port=443,
    comm=b"python3",
    error=0,
    operation=FlowOperation.CONNECT,
    role=FlowOperation.CONNECT,
    owner=FlowOwner.OPENER,
    agent=True,
    transport=6,
)
EXAMPLES: list[Record] = [
    TlsOpen(DATA.key, 9, 8, 1, 1000, 100, 44, 3, b"python3"),
    TlsName(DATA.key, 9, "api.openai.com"),
    DATA,
    TlsClose(DATA.key, 9),
    ProcessExit(DATA.key.process, 9),
    TlsRandom(DATA.key, 9, bytes(range(32))),
    FLOW,
    DnsMessage(DATA.key.process, 9, 5, 6, Direction.READ, True, 3, 4, b"name"),
    ClientHello(DATA.key.process, 9, 5, 6, 3, 517, b"\x16\x03\x01"),
    QuicInitial(msgspec.structs.replace(FLOW, transport=17), 1200, b"\xc0\0\0\0\1"),
    ProcessFork(DATA.key.process, 9, ProcessKey(6, 60), 5),
    ProcessProgram(DATA.key.process, 9, 4711, b"/bin/curl", (b"curl", b"", b"-v")),
    ProcessExec(
        DATA.key.process, 9, ProcessKey(6, 60), 44, 4711, 5, 1000, 100,
        b"ls", b"/bin/ls", (b"ls", b"-l", b""), False,
    ),
    FileAccess(
        DATA.key.process, 9, FileKey(4, 5), FileOperation.OPEN, b"/a/b", False, 0o102, 0, True,
        8, 1, 1000, 100, 44, b"cat",
    ),
    FileData(DATA.key.process, 9, FileKey(4, 5), Direction.WRITE, 3, 20, b"cat", b"text"),
    FileBytes(DATA.key.process, 9, FileKey(4, 5), 20, 0, True, b"cat"),
    TlsHold(DATA.key, 9, 4711, bytes(16), 40000, bytes(range(16)), 443),
    TlsSocket(DATA.key, 9, 77),
    Traffic(
        DATA.key.process, 9, 5, bytes(range(16, 32)), 443, 7, 2,
        (TrafficSlice(100, 700, 0, 1, 0), TrafficSlice(200, 0, 4000, 0, 3)),
    ),
]  # fmt: skip


def encode(record: Record, padding: bytes = b"") -> bytes:
    """The bytes that the kernel side sends for `record`; `padding` is room it left unused."""
    key, time_ns = record.key, record.time_ns
    version = records.VERSION
    if isinstance(record, ProcessExit):
        kind = Type.PROCESS_EXIT
        return records.PROCESS_EXIT.pack(kind, version, key.pid, time_ns, key.start_ns) + padding
    if isinstance(record, DnsMessage | ClientHello):
        return encode_wire(record) + padding
    if isinstance(record, Flow):
        return encode_flow(record) + padding
    if isinstance(record, QuicInitial):
        flow = bytes([Type.QUIC_INITIAL]) + encode_flow(record.flow)[1:]
        lengths = struct.pack("<2I", len(record.data), record.total)
        return flow + lengths + record.data + padding
    if isinstance(record, Traffic):
        slices = b"".join(records.TRAFFIC_SLICE.pack(*one) for one in record.slices)
        whose = (version, key.pid, time_ns, key.start_ns, record.cookie, record.began_ns)
        told = (record.window, len(record.slices), record.remote_port, record.remote)
        return records.TRAFFIC.pack(Type.TRAFFIC, *whose, *told, slices) + padding
    if isinstance(record, StdioBegun):
        kind = Type.STDIO_BEGUN
        return records.STDIO_BEGUN.pack(kind, version, key.pid, time_ns, key.start_ns) + padding
    if isinstance(record, ProcessExec | ProcessFork):
        return encode_process(record) + padding
    if isinstance(record, ProcessProgram):
        return encode_program(record) + padding
    if isinstance(record, FileAccess | FileData | FileBytes):
        return encode_file(record) + padding
    assert isinstance(key, ConnectionKey)
    head = (version, key.pid, time_ns, key.start_ns, key.connection, key.since_ns)
    r = record
    if isinstance(r, TlsOpen):
        ids = (r.cgroup_id, r.library, r.tid, r.ppid, r.uid, r.gid)
        return records.TLS_OPEN.pack(Type.TLS_OPEN, *head, *ids, r.comm) + padding
    if isinstance(r, TlsName):
        return records.TLS_NAME.pack(Type.TLS_NAME, *head, r.name.encode()) + padding
    if isinstance(r, TlsClose):
        return records.TLS_CLOSE.pack(Type.TLS_CLOSE, *head) + padding
    if isinstance(r, TlsHold):
        socket = r.cookie, r.local_port, r.remote_port, r.local, r.remote
        return records.TLS_HOLD.pack(Type.TLS_HOLD, *head, *socket) + padding
    if isinstance(r, TlsRandom):
        return records.TLS_RANDOM.pack(Type.TLS_RANDOM, *head, r.random) + padding
    if isinstance(r, TlsSocket):
        return records.TLS_SOCKET.pack(Type.TLS_SOCKET, *head, r.cookie) + padding
    if isinstance(r, TlsPeer):
        argv = b"".join(word + b"\0" for word in r.argv)
        peer = (r.peer.start_ns, r.peer.pid, len(argv), r.comm)
        return records.TLS_PEER.pack(Type.TLS_PEER, *head, *peer) + argv + padding
    counts = (r.position, r.call_bytes, r.call_offset, r.tid, len(r.data))
    order = (r.direction, r.during_write)
    return records.TLS_DATA.pack(Type.TLS_DATA, *head, *counts, *order) + r.data + padding


def encode_file(record: FileAccess | FileData | FileBytes) -> bytes:
    r, version = record, records.VERSION
    head = (version, r.key.pid, r.time_ns, r.key.start_ns, *r.file)
    if isinstance(r, FileBytes):
        totals = r.written.to_bytes(8, "little") + r.read.to_bytes(8, "little")
        return records.FILE_BYTES.pack(Type.FILE_BYTES, *head, totals, r.last, r.comm)
    if isinstance(r, FileData):
        counts = (r.offset, r.call_bytes, len(r.data), r.direction)
        return records.FILE_DATA.pack(Type.FILE_DATA, *head, *counts, r.comm) + r.data
    parts = b"".join(part + b"\0" for part in reversed(r.path.split(b"/")) if part)
    ids = (r.cgroup_id, r.tid, r.ppid, r.uid, r.gid)
    told = (-r.error, r.flags, len(parts), r.operation, True, r.inherited, r.comm, b"", parts)
    return records.FILE_ACCESS.pack(Type.FILE_ACCESS, *head, *ids, *told)


def encode_program(record: ProcessProgram) -> bytes:
    r, version = record, records.VERSION
    argv = b"".join(word + b"\0" for word in r.argv)
    told = (r.key.pid, r.time_ns, r.key.start_ns, r.inode, len(argv), r.path)
    return records.PROCESS_PROGRAM.pack(Type.PROCESS_PROGRAM, version, *told) + argv


def encode_process(record: ProcessExec | ProcessFork) -> bytes:
    r, version = record, records.VERSION
    head = (version, r.key.pid, r.time_ns, r.key.start_ns, r.parent.start_ns)
    if isinstance(r, ProcessFork):
        kind = Type.PROCESS_FORK
        return records.PROCESS_FORK.pack(kind, *head, r.parent.pid, r.agent)
    arguments = b"".join(word + b"\0" for word in r.argv)
    ids = (r.cgroup_id, r.inode, r.parent.pid, r.agent, r.uid, r.gid)
    lengths = (len(arguments) + r.truncated, len(arguments))
    kind = Type.PROCESS_EXEC
    return records.PROCESS_EXEC.pack(kind, *head, *ids, *lengths, r.comm, r.path) + arguments


def encode_wire(record: DnsMessage | ClientHello) -> bytes:
    r, version = record, records.VERSION
    times = (r.key.pid, r.time_ns, r.key.start_ns)
    wire = (*times, r.cookie, r.netns, r.position, len(r.data), r.total)
    if isinstance(r, ClientHello):
        return records.CLIENT_HELLO.pack(Type.CLIENT_HELLO, version, *wire) + r.data
    kind = Type.DNS_MESSAGE
    return records.DNS_MESSAGE.pack(kind, version, *wire, r.direction, r.over_tcp) + r.data


def encode_flow(flow: Flow) -> bytes:
    values = msgspec.structs.asdict(flow)
    values |= {"type": Type.FLOW, "version": records.VERSION, "role": flow.role or 0}
    values |= {"pid": flow.key.pid, "start_ns": flow.key.start_ns}
    return records.FLOW.pack(*(values[name] for name in records.FLOW.names if name in values))


def changed(raw: bytes, layout: Layout, field: str, value: bytes) -> bytes:
    at = layout.offsets[field]
    return raw[:at] + value + raw[at + len(value) :]


@given(RECORDS, st.binary(max_size=64))
def test_every_field_survives_and_unused_room_is_ignored(record: Record, padding: bytes) -> None:
    assert decode(encode(record, padding)) == record


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_each_record_is_refused_when_a_byte_is_missing(record: Record) -> None:
    raw = encode(record)
    for length in range(len(raw)):
        with pytest.raises(ValueError, match=r"unknown record|cut record"):
            decode(raw[:length])


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_of_another_version_is_refused(record: Record) -> None:
    raw = encode(record)
    for version in (0, records.VERSION + 1, 255):
        with pytest.raises(ValueError, match="unknown record"):
            decode(changed(raw, records.PROCESS_EXIT, "version", bytes([version])))


def test_a_record_of_unknown_type_is_refused() -> None:
    raw = encode(DATA)
    for kind in set(range(256)) - set(Type):
        with pytest.raises(ValueError, match="unknown record"):
            decode(changed(raw, records.TLS_DATA, "type", bytes([kind])))


@pytest.mark.parametrize(
    ("record", "layout"),
    [
        (DATA, records.TLS_DATA),
        (EXAMPLES[7], records.DNS_MESSAGE),
        (EXAMPLES[8], records.CLIENT_HELLO),
        (EXAMPLES[9], records.QUIC_INITIAL),
        (EXAMPLES[11], records.PROCESS_PROGRAM),
        (EXAMPLES[12], records.PROCESS_EXEC),
    ],
    ids=lambda value: type(value).__name__,
)
def test_more_bytes_than_the_record_has_are_refused_not_cut(record: Record, layout: Layout) -> None:
    for length in (17, 2**32 - 1):
        raw = changed(encode(record), layout, "length", length.to_bytes(4, "little"))
        with pytest.raises(ValueError, match="cut record"):
            decode(raw)


@pytest.mark.parametrize("field", ["operation", "owner"])
def test_a_flow_that_says_what_we_do_not_know_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="99"):
        decode(changed(encode(FLOW), records.FLOW, field, b"\x63"))


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown record"):
        decode(changed(encode(DATA), records.TLS_DATA, "direction", b"\2"))


def test_the_refusal_says_what_came() -> None:
    with pytest.raises(ValueError, match=r"^unknown record: 0 bytes, begins with nothing$"):
        decode(b"")
    with pytest.raises(ValueError, match=r"^unknown record: 3 bytes, begins with 6301$"):
        decode(b"c\1\0")


def test_a_host_name_that_is_not_ascii_is_told_with_replacements() -> None:
    raw = encode(TlsName(DATA.key, 9, ""))
    raw = changed(raw, records.TLS_NAME, "name", b"a\xff\n\0later")
    assert decode(raw) == TlsName(DATA.key, 9, "a\ufffd\n")


def test_a_name_that_fills_its_field_needs_no_end() -> None:
    assert decode(encode(TlsName(DATA.key, 9, "n" * 256))) == TlsName(DATA.key, 9, "n" * 256)


def test_a_process_name_ends_at_its_nul() -> None:
    raw = changed(encode(EXAMPLES[0]), records.TLS_OPEN, "comm", b"curl\0left over")
    opened = decode(raw)
    assert isinstance(opened, TlsOpen)
    assert opened.comm == b"curl"


@given(st.sampled_from(EXAMPLES), st.data())
def test_hostile_bytes_give_a_record_or_a_value_error(record: Record, data: st.DataObject) -> None:
    raw = bytearray(encode(record))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=8)):
        raw[place] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(raw))
    except ValueError:
        return
    assert isinstance(decoded, Record)


@given(st.binary(max_size=400))
def test_any_bytes_give_a_record_or_a_value_error(raw: bytes) -> None:
    try:
        decoded = decode(raw)
    except ValueError:
        return
    assert isinstance(decoded, Record)


def test_a_connection_knows_its_process() -> None:
    assert ConnectionKey(1, 2, 3, 4).process == ProcessKey(1, 2)


def test_an_argument_that_was_cut_is_left_out() -> None:
    """Half a key would pass for a harmless word."""
    whole = next(r for r in EXAMPLES if isinstance(r, ProcessExec))
    raw = bytearray(encode(whole) + b"--key=ab")
    sizes = records.PROCESS_EXEC.offsets
    raw[sizes["length"]] += 8
    raw[sizes["argv_bytes"]] += 20
    assert decode(bytes(raw)) == msgspec.structs.replace(whole, truncated=True)


def test_a_path_that_fills_its_room_is_told_as_truncated() -> None:
    whole = next(r for r in EXAMPLES if isinstance(r, ProcessExec))
    path = b"/" + b"d" * (records.MAX_PATH - 2)
    record = decode(encode(msgspec.structs.replace(whole, path=path)))
    assert isinstance(record, ProcessExec)
    assert record.path == path
    assert record.truncated


def test_the_array_of_an_iterator_gives_each_process() -> None:
    pack = records.RUNNING_PROCESS.pack
    raw = pack(70, 60, 7, 6, b"claude") + pack(80, 70, 8, 7, b"\xff" * 16)
    assert records.running_processes(raw) == [
        RunningProcess(ProcessKey(7, 70), ProcessKey(6, 60), b"claude"),
        RunningProcess(ProcessKey(8, 80), ProcessKey(7, 70), b"\xff" * 16),
    ]


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_words_have_different_hashes_and_end_matters(one: bytes, other: bytes) -> None:
    assert records.hash_word(one + b"a") != records.hash_word(one + b"b")
    assert records.hash_word(one) < 2**64
    assert (one != other) or records.hash_word(one) == records.hash_word(other)


def path_of(parts: bytes, name: bytes = b"", complete: bool = True) -> tuple[bytes, bool]:
    """What is told of a path: itself, and whether it was cut."""
    head = (Type.FILE_ACCESS, records.VERSION, 7, 9, 70, 0, 0)
    told = (0, 0, len(parts), FileOperation.UNLINK, complete, False, b"rm", name, parts)
    record = decode(records.FILE_ACCESS.pack(*head, 1, 7, 1, 0, 0, *told))
    assert isinstance(record, FileAccess)
    return record.path, record.truncated


def test_a_path_is_put_together_from_its_parts_and_what_the_process_gave() -> None:
    assert path_of(b"b\0a\0") == (b"/a/b", False)
    assert path_of(b"") == (b"/", False)
    assert path_of(b"b\0a\0", b"../x") == (b"/a/b/../x", False)
    assert path_of(b"", b"x") == (b"/x", False)
    assert path_of(b"", b"/x/y") == (b"/x/y", False)


def test_a_path_whose_beginning_or_end_is_missing_is_told_as_truncated() -> None:
    assert path_of(b"c\0b\0", complete=False) == (b"b/c", True)
    assert path_of(b"", b"/" + b"d" * (records.MAX_PATH - 2))[1]
