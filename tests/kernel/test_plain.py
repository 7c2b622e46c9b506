"""Plaintext on TCP: real sockets, and what the kernel side said of them.

Others' traffic is seen too, for the programs sit at the root of the cgroups; so each test looks
at the records of its own process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, NamedTuple

import pytest

from busted.kernel.features import probe
from busted.kernel.plain import PlainPrograms
from busted.kernel.programs import TlsPrograms, best_way
from busted.kernel.shared import Buffer, SharedMaps
from busted.records import (
    PLAIN_SOCKET,
    Direction,
    LostPlace,
    ProcessProgram,
    Record,
    TlsClose,
    TlsData,
    TlsOpen,
    decode,
)
from busted.streams import Connection
from tests.e2e.sandbox import DIES_WITH_US
from tests.kernel.harness import DEADLINE_SECONDS
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "cgroups")

KNOWN, UNKNOWN = 18434, 18435
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n\r\n"

# Both ends; what connects is the client. `talk` sends pieces each way, in turns.
PROLOGUE = f"""
import os, socket, sys, threading
ASK = {ASK!r}
def listen(port, family=socket.AF_INET):
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    return socket.create_server((host, port), family=family)
def exactly(end, count):
    while count: count -= len(end.recv(min(count, 1 << 20)))
def moved(sender, receiver, data):
    reader = threading.Thread(target=exactly, args=(receiver, len(data)))
    reader.start(); sender.sendall(data); reader.join()
def pair(port, family=socket.AF_INET):
    with listen(port, family) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        return client, listener.accept()[0]
def talk(port, sent, answered=b"HTTP/1.1 200 OK\\r\\n\\r\\n", family=socket.AF_INET):
    client, server = pair(port, family)
    with client, server:
        moved(client, server, sent)
        moved(server, client, answered)
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

    def __init__(self, shared: SharedMaps, tls: TlsPrograms, programs: PlainPrograms) -> None:
        self.shared, self.tls, self.programs = shared, tls, programs
        self._records: list[Record] = []

    def run(self, script: str, *before: str) -> int:
        """Run a script to its end, and return its pid."""
        command = [*DIES_WITH_US, *before, sys.executable, "-c", PROLOGUE + script]
        with subprocess.Popen(command) as process:
            try:
                assert process.wait(DEADLINE_SECONDS) == 0
            finally:
                process.kill()
        return process.pid

    @contextmanager
    def started(self, script: str) -> Iterator[Step]:
        """Run a script while the block runs, which begins at its one `step()`."""
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

    def opened(self, pid: int) -> list[TlsOpen]:
        """The connections of a process that were followed so far."""
        return [record for record in self.of(pid) if isinstance(record, TlsOpen)]

    def of(self, pid: int) -> list[Record]:
        """The records of a process so far."""
        while batch := self.shared.ring.read():
            self._records += map(decode, batch)
        return [record for record in self._records if record.key.pid == pid]

    def said(self, pid: int) -> tuple[bytes, bytes]:
        """What a process sent and received on its one connection; `.` is a byte that is missing."""
        told = [bytearray(), bytearray()]
        (opened,) = self.opened(pid)
        connection = Connection(opened.key)
        connection.opened = opened
        pieces = [
            piece
            for record in self.of(pid)
            if isinstance(record, TlsData)
            for piece in connection.in_order(record)
        ]
        for piece in (*pieces, *connection.release()):
            missing, data = connection.streams[piece.direction].take(piece)
            told[piece.direction] += b"." * missing + data
        return bytes(told[Direction.WRITE]), bytes(told[Direction.READ])


@pytest.fixture(params=["ring", "perf"])
def followed(request: pytest.FixtureRequest) -> Iterator[Followed]:
    buffer: Buffer = request.param
    require(f"{buffer} buffer")
    with (
        closing(SharedMaps(16 << 20, buffer)) as shared,
        closing(TlsPrograms(best_way(probe()), shared, max_call_bytes=1 << 20)) as tls,
        closing(PlainPrograms(shared, tls)) as programs,
    ):
        programs.look_for([KNOWN], ["completions", "mcp"])
        yield Followed(shared, tls, programs)


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_a_request_and_its_answer_are_told_with_who_asked(followed: Followed, family: str) -> None:
    pid = followed.run(f"talk({KNOWN}, b'GET / HTTP/1.1\\r\\n\\r\\n', family=socket.{family})")
    program, opened, *data, closed = followed.of(pid)
    # A process of milliseconds is gone when somebody looks.
    assert isinstance(program, ProcessProgram)
    assert program.path == os.fsencode(sys.executable)
    assert program.argv[1] == b"-c"
    assert isinstance(opened, TlsOpen)
    assert opened.is_plain
    assert opened.library == PLAIN_SOCKET
    assert (opened.ppid, opened.uid, opened.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert opened.comm.startswith(b"python")
    assert opened.cgroup_id > 0
    assert all(isinstance(record, TlsData) and record.key == opened.key for record in data)
    assert isinstance(closed, TlsClose)
    assert closed.key == opened.key
    assert followed.said(pid) == (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n")
    assert followed.shared.lost() == {}


@pytest.mark.parametrize(
    "target", ["/v1/chat/completions", "/completions", "/mcp?session=1", "http://h/mcp"]
)
def test_a_path_with_a_word_is_followed_at_any_port(followed: Followed, target: str) -> None:
    pid = followed.run(f"talk({UNKNOWN}, b'POST {target} HTTP/1.1\\r\\n\\r\\n')")
    assert followed.said(pid)[0] == f"POST {target} HTTP/1.1\r\n\r\n".encode()


@pytest.mark.parametrize(
    "first",
    [
        b"GET /api/items HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nReferer: /completions\r\n\r\n",
        b"POST /completion HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"EHLO completions\r\n",
        b" /completions \r\n",
        b"X",
    ],
)
def test_anything_else_is_not(followed: Followed, first: bytes) -> None:
    pid = followed.run(f"talk({UNKNOWN}, {first!r})")
    assert followed.of(pid) == []
    assert followed.shared.lost() == {}


def test_what_an_agent_asks_for_is_followed_whatever_it_is(followed: Followed) -> None:
    asked = b"GET /x HTTP/1.1\r\n\r\n"
    with followed.started(
        f"talk({UNKNOWN}, {asked!r}); talk({KNOWN}, ASK); step(); talk({UNKNOWN}, {asked!r})"
    ) as step:
        (first,) = followed.opened(step.pid)
        followed.shared.name_agent(first.key.process)
        step()
    _, second = followed.opened(step.pid)
    assert [r.data for r in followed.of(step.pid) if isinstance(r, TlsData)][2] == asked
    assert second.key.since_ns > first.key.since_ns


def test_megabytes_in_both_directions_are_whole(followed: Followed) -> None:
    pid = followed.run(
        f"data = b''.join(b'%07d\\n' % n for n in range(400_000))\ntalk({KNOWN}, ASK + data, data)"
    )
    data = b"".join(b"%07d\n" % n for n in range(400_000))
    assert followed.said(pid) == (ASK + data, data)
    assert followed.shared.lost() == {}


def test_packets_that_are_lost_and_sent_again_are_told_once_and_in_order(
    followed: Followed,
) -> None:
    require("shaper")
    # Packets as small as on a network: larger ones than the burst would never pass.
    shaped = (
        "ip link set lo mtu 1500 up && tc qdisc add dev lo root tbf rate 20mbit burst 3k limit 4k"
    )
    pid = followed.run(
        "data = b''.join(b'%07d\\n' % n for n in range(40_000))\n"
        f"client, server = pair({KNOWN})\n"
        "moved(client, server, ASK + data); moved(server, client, data)\n"
        # linux/tcp.h: tcpi_total_retrans in struct tcp_info.
        "for end in (client, server):\n"
        "    info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)\n"
        "    assert int.from_bytes(info[100:104], sys.byteorder) > 0",
        *("unshare", "--net", "sh", "-c", f'{shaped} && exec "$@"', "sh"),
    )
    data = b"".join(b"%07d\n" % n for n in range(40_000))
    assert followed.said(pid) == (ASK + data, data)
    assert followed.shared.lost() == {}


def test_a_muted_connection_is_told_no_more(followed: Followed) -> None:
    with followed.started(
        f"client, server = pair({KNOWN}); moved(client, server, ASK); step()\n"
        "moved(client, server, b'more'); moved(server, client, b'answer')"
    ) as step:
        (opened,) = followed.opened(step.pid)
        followed.tls.mute(opened.key)
        step()
    assert followed.said(step.pid) == (ASK, b"")
    assert followed.shared.lost() == {}


def test_what_finds_no_room_is_counted_to_the_byte() -> None:
    require("ring buffer")
    with (
        closing(SharedMaps(64 << 10)) as shared,
        closing(TlsPrograms(best_way(probe()), shared, max_call_bytes=1 << 20)) as tls,
        closing(PlainPrograms(shared, tls)) as programs,
    ):
        programs.look_for([KNOWN], [])
        followed = Followed(shared, tls, programs)
        pid = followed.run(f"talk({KNOWN}, ASK + bytes(1 << 20))")
        lost = shared.lost()
        told = sum(len(r.data) for r in followed.of(pid) if isinstance(r, TlsData))
        places = (LostPlace.RING_FULL, LostPlace.HELD_BACK)
        assert told + sum(lost.get(place, 0) for place in places) == len(ASK) + (1 << 20) + 19


def test_our_own_connections_are_left_alone(followed: Followed) -> None:
    with socket.create_server(("127.0.0.1", KNOWN)) as listener:
        client = socket.create_connection(listener.getsockname())
        with client, listener.accept()[0] as server:
            client.sendall(ASK)
            assert server.recv(len(ASK)) == ASK
    assert followed.of(os.getpid()) == []
