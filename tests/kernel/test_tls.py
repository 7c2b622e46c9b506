"""The TLS programs in the running kernel, by every way of attaching, and both kinds of buffer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from busted.kernel.features import probe
from busted.kernel.programs import Way
from busted.kernel.shared import Buffer
from busted.records import (
    Direction,
    LostPlace,
    ProcessExec,
    ProcessExit,
    ProcessProgram,
    TlsClose,
    TlsData,
    TlsName,
    TlsOpen,
    Type,
)
from tests.kernel.harness import Watched, watched
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "gcc")

# Every way to attach, and what a kernel without a ring buffer has.
VARIANTS: list[tuple[Way, Buffer]] = [
    *((way, "ring") for way in get_args(Way)),
    ("perf", "perf"),
]
NEEDS = {"session": "session uprobe", "multi": "multi uprobe", "perf": "kernel"}


@pytest.fixture(params=VARIANTS, ids="-".join)
def variant(request: pytest.FixtureRequest) -> tuple[Way, Buffer]:
    way, buffer = request.param
    require(NEEDS[way], f"{buffer} buffer")
    return way, buffer


@pytest.fixture
def way(variant: tuple[Way, Buffer]) -> Way:
    return variant[0]


@pytest.fixture
def buffer(variant: tuple[Way, Buffer]) -> Buffer:
    return variant[1]


@pytest.fixture
def kernel(way: Way, buffer: Buffer, tmp_path: Path) -> Iterator[Watched]:
    with watched(way, tmp_path, buffer=buffer) as programs:
        yield programs
        assert programs.programs.shared.lost() == {}


def written(records: list[TlsData]) -> bytes:
    return b"".join(r.data for r in records if r.direction == Direction.WRITE)


def test_each_function_reports_what_it_moved(kernel: Watched) -> None:
    kernel.run(
        "then(5); write(1, b'hello'); then(1, 3); write_ex(1, b'abc');"
        "then(4); read(1, 100); then(1, 2); read_ex(1, 100)"
    )
    assert [(r.direction, r.data, r.position) for r in kernel.data()] == [
        (Direction.WRITE, b"hello", 0),
        (Direction.WRITE, b"abc", 5),
        (Direction.READ, b"rrrr", 0),
        (Direction.READ, b"RR", 4),
    ]


def test_the_first_records_say_who_it_is_and_what_it_runs(kernel: Watched) -> None:
    script = "then(1); write(1, b'a'); write(2, b'b')"
    pid = kernel.run(script)
    program, opened = kernel.all()[:2]
    assert [r for r in kernel.all() if isinstance(r, ProcessProgram)] == [program]
    assert isinstance(program, ProcessProgram)
    assert program.path == os.fsencode(sys.executable)
    assert program.argv[:2] == (program.path, b"-c")
    assert program.inode == os.stat(sys.executable).st_ino
    assert isinstance(opened, TlsOpen)
    assert opened.key.process == program.key
    assert opened.key.pid == pid
    assert (opened.ppid, opened.uid, opened.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert opened.tid == pid
    assert opened.library == (7 if probe().has("attach cookie") else 0)
    assert opened.comm.startswith(b"python")
    assert opened.cgroup_id > 0


def test_a_write_that_must_be_made_again_counts_once(kernel: Watched) -> None:
    kernel.run(
        "then(-1); write(1, b'again'); then(-1); write(1, b'again'); then(5); write(1, b'again')"
    )
    assert written(kernel.data()) == b"again"


def test_a_partial_write_counts_what_was_written(kernel: Watched) -> None:
    kernel.run("then(1, 3); write_ex(1, b'partial'); then(1, 4); write_ex(1, b'tial')")
    assert written(kernel.data()) == b"partial"


@pytest.mark.parametrize("size", [1, 127, 128, 129, 4096, 16384, 16385, 100_000])
def test_any_size_arrives_whole_and_in_order(kernel: Watched, size: int) -> None:
    kernel.run(f"d = (bytes(range(251)) * 400)[:{size}]; then({size}); write(1, d)")
    data = kernel.data()
    assert written(data) == (bytes(range(251)) * 400)[:size]
    assert all(r.call_bytes == size and r.position == r.call_offset for r in data)


def test_a_small_write_costs_a_small_record(kernel: Watched) -> None:
    kernel.run("then(1); write(1, b'open')")
    kernel.all()
    kernel.run("then(200); write(1, b'x' * 200)")
    data = [raw for raw in kernel.programs.shared.ring.read() if raw[0] == Type.TLS_DATA]
    assert len(data) == 1
    assert len(data[0]) < 400


def test_beyond_the_limit_the_head_and_the_last_piece_are_sent(
    way: Way, buffer: Buffer, tmp_path: Path
) -> None:
    with watched(way, tmp_path, buffer=buffer, max_call_bytes=64 << 10) as kernel:
        kernel.run("d = bytes(range(256)) * 1024; then(len(d)); write(1, d)")
        data = kernel.data()
        whole = bytes(range(256)) * 1024
        assert [r.call_offset for r in data] == [0, 16384, 32768, len(whole) - 16384]
        assert all(r.data == whole[r.call_offset :][: len(r.data)] for r in data)
        assert kernel.programs.shared.lost() == {LostPlace.OVER_CALL_LIMIT: len(whole) - (64 << 10)}


# A thread is in SSL_write while this one reads the answer; then one reads alone.
ANSWERED_EARLY = """
import socket, threading
ours, library_end = socket.socketpair()
def write_and_wait(result):
    then(result)
    library.next_write_waits(library_end.fileno())
    thread = threading.Thread(target=write, args=(1, b"question"))
    thread.start()
    ours.recv(1)
    then(6)
    read(1, 64)
    then(result)
    ours.send(b".")
    thread.join()
    then(4)
    read(1, 64)
"""


def test_what_was_read_while_another_thread_was_writing_says_so(kernel: Watched) -> None:
    kernel.run(ANSWERED_EARLY + "write_and_wait(8)")
    assert [(r.direction, r.data, r.during_write) for r in kernel.data()] == [
        (Direction.READ, b"rrrrrr", True),
        (Direction.WRITE, b"question", False),
        (Direction.READ, b"rrrr", False),
    ]


def test_a_write_that_moved_nothing_is_over_too(kernel: Watched) -> None:
    kernel.run(ANSWERED_EARLY + "write_and_wait(-1)")
    assert [(r.direction, r.data, r.during_write) for r in kernel.data()] == [
        (Direction.READ, b"rrrrrr", True),
        (Direction.READ, b"rrrr", False),
    ]


def test_a_mapped_file_that_is_not_in_memory_is_captured(kernel: Watched, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"m" * 8192)
    kernel.run(
        f"f = open({str(body)!r}, 'r+b');"
        "os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED);"
        "m = mmap.mmap(f.fileno(), 8192);"
        "then(8192); write(1, (ctypes.c_char * 8192).from_buffer(m), 8192)"
    )
    assert written(kernel.data()) == b"m" * 8192


def test_names_come_from_both_kinds_of_library(kernel: Watched) -> None:
    kernel.run(
        "name(1, b'api.openai.com'); library.SSL_set_tlsext_host_name(ssl(2), b'example.com');"
        "library.SSL_ctrl(ssl(3), 33, ctypes.c_long(4), None)"
    )
    names = [r.name for r in kernel.all() if isinstance(r, TlsName)]
    assert names == ["api.openai.com", "example.com"]


def test_a_recycled_address_is_another_connection(kernel: Watched) -> None:
    kernel.run("then(1); write(1, b'a'); free(1); write(1, b'b')")
    first, second = (r for r in kernel.data())
    assert first.key.connection == second.key.connection
    assert first.key != second.key
    assert second.position == 0
    assert [r.key for r in kernel.all() if isinstance(r, TlsClose)] == [first.key]


def test_another_program_of_the_same_process_has_connections_of_its_own(kernel: Watched) -> None:
    kernel.run(
        "then(1); write(1, b'a')\n"
        "if 'again' not in sys.argv: os.execv(sys.executable, sys.orig_argv + ['again'])"
    )
    first, second = (r for r in kernel.data())
    assert first.key.process == second.key.process
    assert first.key.connection == second.key.connection
    assert first.key != second.key
    assert second.position == 0


def test_the_end_of_a_process_is_told_once_and_only_if_it_used_tls(kernel: Watched) -> None:
    kernel.run("pass")
    pid = kernel.run(
        "import threading; then(1); t = threading.Thread(target=write, args=(1, b'a'));"
        "t.start(); t.join(); write(1, b'b')"
    )
    records = kernel.wait(lambda records: any(isinstance(r, ProcessExit) for r in records))
    assert [r.key.pid for r in records if isinstance(r, ProcessExit)] == [pid]


def test_a_forked_child_has_connections_of_its_own(kernel: Watched) -> None:
    kernel.run(
        "then(1); write(1, b'p')\nif os.fork() == 0:\n  write(1, b'c'); os._exit(0)\nos.wait()"
    )
    parent, child = (r.key for r in kernel.data())
    assert parent.connection == child.connection
    assert parent.pid != child.pid


MANY_THREADS = """
import threading
turn, said = threading.Lock(), 0
def talk(own):
    global said
    for _ in range(20):
        with turn:
            write(1, b"%04d" % said)
            said += 1
        write(own, b"%04d" % own)
then(4)
threads = [threading.Thread(target=talk, args=(own,)) for own in range(2, 6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_a_connection_that_many_threads_use_is_one_and_each_threads_own_is_another(
    kernel: Watched,
) -> None:
    kernel.run(MANY_THREADS)
    streams: dict[int, list[TlsData]] = {}
    for record in kernel.data():
        streams.setdefault(record.key.connection, []).append(record)
    shared, *own = sorted(streams.items())
    for _, records in (shared, *own):
        assert len({record.key for record in records}) == 1
        assert [r.position for r in records] == list(range(0, 4 * len(records), 4))
    assert written(shared[1]) == b"".join(b"%04d" % number for number in range(80))
    assert len({record.tid for record in shared[1]}) == 4
    assert [written(records) for _, records in own] == [b"%04d" % n * 20 for n in range(2, 6)]


def test_a_muted_connection_is_silent_and_others_are_not(kernel: Watched) -> None:
    script = "then(1); write(1, b'a'); write(2, b'b'); step(); write(1, b'c'); write(2, b'd')"
    with kernel.started(script) as step:
        kernel.wait(lambda records: sum(isinstance(r, TlsData) for r in records) == 2)
        kernel.programs.mute(kernel.data()[0].key)
        step()
    assert [r.data for r in kernel.data()] == [b"a", b"b", b"d"]


def test_a_verdict_does_not_reach_a_later_connection_at_the_same_address(kernel: Watched) -> None:
    script = "then(1); write(1, b'a'); step(); free(1); write(1, b'b'); step(); write(1, b'c')"
    with kernel.started(script) as step:
        kernel.wait(lambda records: any(isinstance(r, TlsData) for r in records))
        old = kernel.data()[0].key
        step()
        kernel.wait(lambda records: sum(isinstance(r, TlsData) for r in records) == 2)
        kernel.programs.mute(old)
        step()
    assert [r.data for r in kernel.data()] == [b"a", b"b", b"c"]


def test_what_a_full_ring_loses_is_counted_and_located(
    way: Way, buffer: Buffer, tmp_path: Path
) -> None:
    with watched(way, tmp_path, buffer=buffer, ring_bytes=4096 * 4) as kernel:
        kernel.run(
            # One CPU, so that one perf buffer takes it all.
            "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); then(1000)\n"
            "for _ in range(100): write(1, b'x' * 1000)"
        )
        data = kernel.data()
        delivered = sum(len(r.data) for r in data)
        assert 0 < delivered < 100_000
        lost = kernel.programs.shared.lost()
        held_back = lost.get(LostPlace.HELD_BACK, 0)
        # Nobody said what the connection is; how full a perf buffer is, only a reader tells.
        assert (held_back > 0) == (buffer == "ring")
        assert delivered + lost[LostPlace.RING_FULL] + held_back == 100_000


def test_no_probe_is_left_when_all_is_closed(way: Way, buffer: Buffer, tmp_path: Path) -> None:
    with watched(way, tmp_path, buffer=buffer) as kernel:
        library = kernel.library
        kernel.run("then(1); write(1, b'a')")
    # The kernel patches the mapped code of a probed function, and restores it.
    probe = (
        "import ctypes, sys; l = ctypes.CDLL(sys.argv[1]); "
        "print(ctypes.string_at(l.SSL_write, 4).hex())"
    )
    code = subprocess.check_output([sys.executable, "-c", probe, library], text=True)
    assert not code.startswith("cc")


def test_the_name_is_that_of_the_process_not_of_the_thread(kernel: Watched) -> None:
    kernel.run(
        "import threading\n"
        "def work():\n"
        "  ctypes.CDLL(None).prctl(15, b'worker-7')\n"
        "  then(1); write(1, b'a')\n"
        "t = threading.Thread(target=work); t.start(); t.join()"
    )
    (opened,) = (r for r in kernel.all() if isinstance(r, TlsOpen))
    assert opened.tid != opened.key.pid
    assert opened.comm.startswith(b"python")


def test_a_process_that_used_tls_and_executes_something_else_is_told(kernel: Watched) -> None:
    pid = kernel.run("then(1); write(1, b'a'); os.execv('/bin/echo', ['echo', 'a'])")
    (told,) = (r for r in kernel.all() if isinstance(r, ProcessExec))
    assert (told.key.pid, told.path, told.agent) == (pid, b"/bin/echo", 0)
    assert told.key == kernel.data()[0].key.process
