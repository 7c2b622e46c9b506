"""Standard input and output: real processes, what they say, and what the kernel side told of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, NamedTuple

import pytest

from busted.kernel.features import probe
from busted.kernel.processes import ProcessPrograms
from busted.kernel.programs import TlsPrograms, best_way
from busted.kernel.shared import Buffer, SharedMaps
from busted.kernel.stdio import REST_NS, StdioPrograms
from busted.records import (
    STANDARD_IO,
    Direction,
    LostPlace,
    ProcessKey,
    Record,
    StdioBegun,
    TlsClose,
    TlsData,
    TlsOpen,
    TlsPeer,
    decode,
)
from busted.streams import Connection
from tests.e2e.deadline import until
from tests.e2e.sandbox import DIES_WITH_US
from tests.kernel.harness import DEADLINE_SECONDS
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel")

MAX_CALL_BYTES = 1 << 20
MISSING = b"\0"
ASK = b'{"method":"ping","params":{},"jsonrpc":"2.0","id":1}\n'
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{}}\n'

# What the client runs: `serve` starts a server as `how` says, which reads what is asked, byte for
# byte, and then answers; `talk` asks and waits for the answer.
PROLOGUE = f"""
import os, pty, socket, subprocess, sys, tty
ASK, ANSWER = {ASK!r}, {ANSWER!r}
READ = '''
import array, os, socket, sys
def exactly(count, read):
    while count: count -= len(read(count)) or sys.exit()
def sock(fd): return socket.socket(fileno=os.dup(fd))
'''
SERVER = READ + '''
asked, answer = eval(sys.argv[1])
exactly(asked, lambda n: os.read(0, n))
while answer: answer = answer[os.write(1, answer):]
os.read(0, 1)
'''
def serve(asked, answer, how="pipe", server=SERVER, before=(), after=()):
    command = [*before, sys.executable, "-c", server, repr((asked, answer)), *after]
    if how == "pipe":
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return child, child.stdin.fileno(), child.stdout.fileno()
    if how == "terminal":
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        child = subprocess.Popen(command, stdin=theirs, stdout=theirs)
        os.close(theirs)
        return child, ours, ours
    ends = [socket.socketpair(), socket.socketpair()]
    child = subprocess.Popen(command, stdin=ends[0][1].fileno(), stdout=ends[1][1].fileno())
    for _, theirs in ends: theirs.close()
    return child, ends[0][0].detach(), ends[1][0].detach()
def talk(asked=ASK, answer=ANSWER, how="pipe", **more):
    child, to, back = serve(len(asked), answer, how, **more)
    while asked: asked = asked[os.write(to, asked):]
    count = len(answer)
    while count: count -= len(os.read(back, min(count, 65536))) or sys.exit("no answer")
    if to != back: os.close(to)
    else: os.write(to, b"x")
    child.wait()
    return child.pid
def step():
    print("here", flush=True)
    sys.stdin.readline()
"""


class Step(NamedTuple):
    """A script that waits; calling it lets it go on."""

    pid: int
    stdin: IO[str]

    def __call__(self) -> None:
        """Let it go on."""
        self.stdin.write("\n")
        self.stdin.flush()


class Followed:
    """Programs attached, and what they told."""

    def __init__(self, shared: SharedMaps, tls: TlsPrograms, programs: StdioPrograms) -> None:
        self.shared, self.tls, self.programs = shared, tls, programs
        self._records: list[Record] = []

    @contextmanager
    def started(self, script: str) -> Iterator[Step]:
        """Run a script while the block runs, which begins at its first `step()`."""
        process = subprocess.Popen(
            [*DIES_WITH_US, sys.executable, "-c", PROLOGUE + script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "here\n"
            yield Step(process.pid, process.stdin)
        finally:
            process.stdin.close()
            assert process.wait(DEADLINE_SECONDS) == 0
            process.stdout.close()

    def run(self, script: str) -> int:
        """Run a script to its end, and return its pid."""
        with self.started(f"step()\n{script}") as step:
            step()
        return step.pid

    def all(self) -> list[Record]:
        """All records so far."""
        while batch := self.shared.ring.read():
            self._records += map(decode, batch)
        return self._records

    def of(self, pid: int) -> list[Record]:
        """What was told of a client's connections so far."""
        return [r for r in self.all() if r.key.pid == pid and not isinstance(r, StdioBegun)]

    def said(self, pid: int) -> list[tuple[bytes, bytes]]:
        """What a client said and heard on each connection, MISSING for each byte that is."""
        said = []
        for opened in (record for record in self.of(pid) if isinstance(record, TlsOpen)):
            told, connection = [bytearray(), bytearray()], Connection(opened.key)
            for piece in self.of(pid):
                if isinstance(piece, TlsData) and piece.key == opened.key:
                    missing, data = connection.streams[piece.direction].take(piece)
                    told[piece.direction] += MISSING * missing + data
            said.append((bytes(told[Direction.WRITE]), bytes(told[Direction.READ])))
        return said


@contextmanager
def following(buffer: Buffer = "ring", *, all: bool = True) -> Iterator[Followed]:
    require(f"{buffer} buffer")
    with (
        closing(SharedMaps(16 << 20, buffer)) as shared,
        closing(TlsPrograms(best_way(probe()), shared, max_call_bytes=1 << 20)) as tls,
        closing(StdioPrograms(shared, tls, max_call_bytes=MAX_CALL_BYTES, all=all)) as programs,
    ):
        programs.watch(time.monotonic_ns())
        yield Followed(shared, tls, programs)


@pytest.fixture(params=["ring", "perf"])
def followed(request: pytest.FixtureRequest) -> Iterator[Followed]:
    with following(request.param) as programs:
        yield programs


@pytest.fixture
def choosing() -> Iterator[Followed]:
    with following(all=False) as programs:
        yield programs


@pytest.mark.parametrize("how", ["pipe", "socket", "terminal"])
def test_what_client_and_server_say_is_told_with_who_they_are(followed: Followed, how: str) -> None:
    pid = followed.run(f"print(talk(how={how!r}))")
    opened, peer, *data, closed = followed.of(pid)
    assert isinstance(opened, TlsOpen)
    assert opened.is_stdio
    assert opened.library == STANDARD_IO
    assert (opened.ppid, opened.uid, opened.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert opened.comm.startswith(b"python")
    assert opened.cgroup_id > 0
    assert isinstance(peer, TlsPeer)
    assert peer.peer.pid != pid
    assert peer.peer.start_ns > opened.key.start_ns
    assert peer.comm.startswith(b"python")
    assert peer.argv[0] == os.fsencode(sys.executable)
    assert peer.argv[1] == b"-c"
    assert all(isinstance(record, TlsData) and record.key == opened.key for record in data)
    assert isinstance(closed, TlsClose)
    (said,) = followed.said(pid)
    # Behind its end the client of a terminal says one byte more, for it cannot close it.
    assert said == (ASK + (b"x" if how == "terminal" else b""), ANSWER)
    assert followed.shared.lost() == {}


SOCKET_CALLS = {
    "recv": "exactly(asked, sock(0).recv); sock(1).sendall(answer)",
    "recvmsg": "s = sock(0); exactly(asked, lambda n: s.recvmsg(n)[0]); sock(1).sendmsg([answer])",
    "parts": "b = [bytearray(9), bytearray(asked - 9)]; sock(0).recvmsg_into(b)\n"
    "sock(1).sendmsg([answer[:5], answer[5:7], b'', answer[7:]])",
    "peek": "s = sock(0); s.recv(9, socket.MSG_PEEK); s.recvmsg(9, 0, socket.MSG_PEEK)\n"
    "exactly(asked, s.recv); os.write(1, answer)",
    "vector": "b = [bytearray(9), bytearray(asked - 9)]; os.readv(0, b)\n"
    "os.writev(1, [answer[:5], answer[5:]])",
    "copied": "os.dup2(0, 7); os.dup2(1, 8); os.close(0); os.close(1); os.read(7, asked)\n"
    "os.write(8, answer)",
}


@pytest.mark.parametrize("call", SOCKET_CALLS)
def test_each_way_to_read_and_write_is_seen(followed: Followed, call: str) -> None:
    server = f"asked, answer = eval(sys.argv[1])\n{SOCKET_CALLS[call]}"
    pid = followed.run(f"talk(how='socket', server=READ + {server!r})")
    assert followed.said(pid) == [(ASK, ANSWER)]
    assert followed.shared.lost() == {}


@pytest.mark.parametrize("size", [255, 256, 257, 4096, 65536, 300_000])
def test_long_messages_are_told_to_the_byte(followed: Followed, size: int) -> None:
    asked = b'{"method":"tools/call","params":"%s","jsonrpc":"2.0","id":1}\n' % (b"a" * size)
    answer = b'{"result":"%s","jsonrpc":"2.0","id":1}\n' % (b"b" * size)
    pid = followed.run(f"talk({asked!r}[:], {answer!r})" if size < 9000 else _long(size))
    assert followed.said(pid) == [(asked, answer)]
    assert followed.shared.lost() == {}


def _long(size: int) -> str:
    # Longer than a command line may be: the server makes its answer itself.
    server = (
        "size, _ = eval(sys.argv[1])\n"
        "exactly(size + 59, lambda n: os.read(0, n))\n"
        'answer = b\'{"result":"%s","jsonrpc":"2.0","id":1}\\n\' % (b\'b\' * size)\n'
        "while answer: answer = answer[os.write(1, answer):]\n"
    )
    return (
        f"size = {size}\n"
        f"child, to, back = serve(size, b'', server=READ + {server!r})\n"
        'asked = b\'{"method":"tools/call","params":"%s","jsonrpc":"2.0","id":1}\\n\'\n'
        "asked %= b'a' * size\n"
        "while asked: asked = asked[os.write(to, asked):]\n"
        "while os.read(back, 65536): pass\n"
        "child.wait()\n"
    )


def test_of_a_call_beyond_the_limit_head_and_end_are_told(followed: Followed) -> None:
    pid = followed.run(_long(3 * MAX_CALL_BYTES))
    ((asked, answer),) = followed.said(pid)
    assert len(asked) == 3 * MAX_CALL_BYTES + 59  # what is read comes in small calls
    assert MISSING not in asked
    assert len(answer) == 3 * MAX_CALL_BYTES + len('{"result":"","jsonrpc":"2.0","id":1}\n')
    missing = answer.count(MISSING)
    assert 0 < missing < 3 * MAX_CALL_BYTES - MAX_CALL_BYTES
    assert answer.endswith(b'b","jsonrpc":"2.0","id":1}\n')
    assert followed.shared.lost() == {LostPlace.OVER_CALL_LIMIT: missing}


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Length: 52\r\n\r\n" + ASK,
        b'{"id": 1}\n',
        b'"jsonrpc"\n',
        b'INFO {"jsonrpc": "2.0"}\n',
        b"\0\0\0\0",
        b"x",
    ],
)
def test_what_does_not_begin_as_json_rpc_is_not_told(followed: Followed, said: bytes) -> None:
    pid = followed.run(f"talk({said!r}, {said!r})")
    assert followed.of(pid) == []
    assert followed.shared.lost() == {}


def test_a_server_that_says_something_before_is_told_from_the_first_message_on(
    followed: Followed,
) -> None:
    server = "os.write(1, b'I am ready\\n')\n" + _SERVER_OF_ONE
    script = f"child, to, back = serve({len(ASK)}, ANSWER, server=READ + {server!r})\n"
    pid = followed.run(script + "os.read(back, 11); os.write(to, ASK); os.read(back, 99)\n")
    assert followed.said(pid) == [(ASK, ANSWER)]


_SERVER_OF_ONE = (
    "asked, answer = eval(sys.argv[1])\n"
    "exactly(asked, lambda n: os.read(0, n))\n"
    "os.write(1, answer)\n"
)


def test_two_servers_of_a_client_are_two_connections(followed: Followed) -> None:
    pid = followed.run(
        "ends = [serve(len(ASK), ANSWER.replace(b'{}', b'%d' % n)) for n in (1, 2)]\n"
        "for _, to, _ in ends: os.write(to, ASK)\n"
        "for _, _, back in ends: os.read(back, 99)\n"
        "for child, to, _ in ends: os.close(to); child.wait()\n"
    )
    answers = {answer for _, answer in followed.said(pid)}
    assert answers == {ANSWER.replace(b"{}", b"%d" % n) for n in (1, 2)}


@pytest.mark.parametrize("before", [("sh", "-c", '"$@"; true', "sh"), ("env",), ("timeout", "60")])
def test_a_server_behind_another_program_is_its_clients(
    followed: Followed, before: tuple[str, ...]
) -> None:
    pid = followed.run(f"talk(before={before!r})")
    assert followed.said(pid) == [(ASK, ANSWER)]
    (peer,) = (record for record in followed.of(pid) if isinstance(record, TlsPeer))
    assert peer.comm.startswith(b"python")


def test_programs_of_a_pipeline_are_told_each_as_their_starters(followed: Followed) -> None:
    echo = "os.write(1, os.read(0, 999))"
    script = (
        "def start(to, back): return subprocess.Popen(\n"
        f"    [sys.executable, '-c', 'import os; {echo}'], stdin=to, stdout=back)\n"
        "ends = [os.pipe() for _ in range(4)]\n"
        "children = [start(ends[n][0], ends[n + 1][1]) for n in (2, 0, 1)]\n"
        "os.write(ends[0][1], ASK); os.read(ends[3][0], 999)\n"
        "for child in children: child.wait()\n"
    )
    assert followed.said(followed.run(script)) == [(ASK, ASK)] * 3


def test_what_a_server_says_to_one_of_its_own_is_its_own(followed: Followed) -> None:
    inner = PROLOGUE + "asked, answer = eval(sys.argv[1])\nos.read(0, asked)\ntalk()\n"
    pid = followed.run(f"talk(server={inner + 'os.write(1, answer)'!r})")
    assert followed.said(pid) == [(ASK, ANSWER)]
    (peer,) = (record for record in followed.of(pid) if isinstance(record, TlsPeer))
    assert followed.said(peer.peer.pid) == [(ASK, ANSWER)]


def test_what_is_muted_is_told_no_more(followed: Followed) -> None:
    server = "import time\nwhile line := sys.stdin.readline(): os.write(1, line.encode())\n"
    script = (
        f"child, to, back = serve(0, b'', server=READ + {server!r})\n"
        "def say(): os.write(to, ASK); os.read(back, 99)\n"
        "say(); step(); say(); step(); os.close(to); child.wait()\n"
    )
    with followed.started(script) as step:
        (opened,) = (r for r in followed.of(step.pid) if isinstance(r, TlsOpen))
        followed.tls.mute(opened.key)
        step()
        step()
    assert followed.said(step.pid) == [(ASK, ASK)]
    assert not isinstance(followed.of(step.pid)[-1], TlsClose)


def test_only_what_somebody_of_interest_started_is_told(choosing: Followed) -> None:
    assert choosing.of(choosing.run("talk()")) == []
    assert not any(isinstance(record, StdioBegun) for record in choosing.all())


@pytest.mark.parametrize("word", ["mcp-server-git", "My_MCP.py", "@modelcontextprotocol/server-x"])
def test_a_server_whose_arguments_name_mcp_is_told(choosing: Followed, word: str) -> None:
    before = ("env", "-i", f"NAME={word}")
    pid = choosing.run(f"talk(before={before!r})")
    assert choosing.said(pid) == [(ASK, ANSWER)]
    # Told at each exec, of `env` and of Python.
    begun = {record.key for record in choosing.all() if isinstance(record, StdioBegun)}
    assert len(begun) == 1


@pytest.mark.parametrize("how", ["chosen", "agent"])
def test_what_a_process_of_interest_starts_is_told(choosing: Followed, how: str) -> None:
    with choosing.started("step(); talk()") as step:
        key = ProcessKey(step.pid, _start_ns(step.pid))
        if how == "chosen":
            choosing.programs.choose(key)
        else:
            choosing.shared.name_agent(key)
        step()
    assert choosing.said(step.pid) == [(ASK, ANSWER)]


def _start_ns(pid: int) -> int:
    # /proc has hundredths of a second only.
    with closing(SharedMaps(1 << 16)) as shared, closing(ProcessPrograms(shared, ())) as programs:
        (found,) = (p.key.start_ns for p in programs.running() if p.key.pid == pid)
        return found


def test_servers_that_run_already_are_found(choosing: Followed) -> None:
    server = "while line := sys.stdin.readline(): os.write(1, line.encode())\n"
    script = (
        f"child, to, back = serve(0, b'', server=READ + {server!r})\n"
        "def say(): os.write(to, ASK); os.read(back, 99)\n"
        "say(); step(); say(); os.close(to); child.wait()\n"
    )
    with choosing.started(script) as step:
        assert choosing.programs.look_around() == 0
        choosing.programs.choose(ProcessKey(step.pid, _start_ns(step.pid)))
        assert choosing.programs.look_around() == 1
        step()
    assert choosing.said(step.pid) == [(ASK, ASK)]


def test_calls_are_looked_at_only_while_there_is_somebody(choosing: Followed) -> None:
    programs, now_ns = choosing.programs, time.monotonic_ns()
    named = "before=('env', '-i', 'NAME=mcp')"
    waiting = f"child, to, back = serve(1, b'', {named}); step(); os.close(to); child.wait()"
    assert programs.is_watching
    programs.rest(now_ns + REST_NS // 2)
    assert programs.is_watching
    with choosing.started(waiting):
        until(lambda: any(isinstance(r, StdioBegun) for r in choosing.all()), "it is told of")
        programs.rest(now_ns + 2 * REST_NS)
        assert programs.is_watching
    programs.rest(now_ns + 4 * REST_NS)
    assert not programs.is_watching
    pid = choosing.run(f"talk({named})")
    assert choosing.of(pid) == []
    programs.watch(now_ns + 5 * REST_NS)
    assert choosing.said(choosing.run(f"talk({named})")) == [(ASK, ANSWER)]
