"""Names on the wire: real resolvers and TLS clients, and what the kernel side said of them.

Others' traffic is seen too, for the programs sit at the root of the cgroups; so each test looks
at the records of its own process.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from busted.agent.names import Hello, Names
from busted.kernel.names import PROGRAMS, NamePrograms
from busted.kernel.shared import SharedMaps
from busted.protocols.client_hello import ClientHelloReader
from busted.records import ClientHello, Direction, DnsMessage, decode
from tests.kernel.harness import DEADLINE_SECONDS
from tests.requirements import GO_COMMAND, ROOT, bpftool, require

pytestmark = pytest.mark.needs("kernel", "cgroups")

HOST = "api.openai.com"
# What a client may take to start and end: an emulated processor is slow.
CLIENT_SECONDS = 60.0
# linux/tcp.h: tcpi_total_retrans in struct tcp_info.
TOTAL_RETRANSMITTED = 100


class Watch:
    """Programs attached, and the records of names that came."""

    def __init__(self, shared: SharedMaps) -> None:
        self.shared = shared
        self._records: list[DnsMessage | ClientHello] = []

    def of(self, pid: int) -> list[DnsMessage | ClientHello]:
        """The records of a process so far."""
        while batch := self.shared.ring.read():
            decoded = map(decode, batch)
            self._records += [r for r in decoded if isinstance(r, DnsMessage | ClientHello)]
        return [record for record in self._records if record.key.pid == pid]

    def hellos(self, pid: int) -> list[ClientHello]:
        return [record for record in self.of(pid) if isinstance(record, ClientHello)]

    def dns(self, pid: int) -> list[DnsMessage]:
        return [record for record in self.of(pid) if isinstance(record, DnsMessage)]


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    with closing(SharedMaps(1 << 22)) as shared, closing(NamePrograms(shared)) as programs:
        assert programs.left_out == {}
        yield Watch(shared)
        assert shared.lost() == {}


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watching() as found:
        yield found


# DNS


class Asked:
    """What a script in a network namespace of its own asked, and what came of it."""

    def __init__(self, watch: Watch, pid: int, output: list[str]) -> None:
        self.cookie = int(output[0])
        self.output = output
        self.records = watch.dns(pid)
        self.names = Names()
        for record in self.records:
            self.names.feed_dns(record)

    def of_address(self, address: str) -> tuple[str, ...]:
        netns = {record.netns for record in self.records}
        assert len(netns) == 1
        assert self.cookie in (0, *netns)
        return self.names.of_address(netns.pop(), address, self.records[-1].time_ns)


Ask = Callable[..., Asked]


@pytest.fixture
def ask(watch: Watch, tmp_path: Path) -> Ask:
    """Run a script beside a name server in a fresh network namespace."""
    require("unshare")

    def ask(script: str, answers: dict[str, Sequence[str]], resolver: str = "127.0.0.1") -> Asked:
        resolv = tmp_path / "resolv.conf"
        address, *options = resolver.split()
        resolv.write_text(f"nameserver {address}\noptions timeout:5 {' '.join(options)}\n")
        inside = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
        process = subprocess.Popen(
            [
                *("unshare", "--net", "--mount", "--propagation", "private"),
                *("sh", "-c", inside, "sh", resolv),
                *(sys.executable, "-m", "tests.kernel.name_server"),
                *(json.dumps(answers), textwrap.dedent(script)),
            ],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}/src:{ROOT}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdout=subprocess.PIPE,
            text=True,
        )
        output, _ = process.communicate(timeout=CLIENT_SECONDS)
        assert process.returncode == 0
        return Asked(watch, process.pid, output.splitlines())

    return ask


RESOLVE = f"""
found = socket.getaddrinfo({HOST!r}, 443, type=socket.SOCK_STREAM)
print(sorted(a[4][0] for a in found))
"""
BOTH: dict[str, Sequence[str]] = {HOST: ("192.0.2.1", "2001:db8::1")}


@pytest.mark.parametrize(
    ("resolver", "over_tcp"),
    [("127.0.0.1", False), ("::1", False), ("127.0.0.1 use-vc", True), ("::1 use-vc", True)],
    ids=["udp", "udp over ipv6", "tcp", "tcp over ipv6"],
)
def test_what_the_c_library_resolves_is_learned(ask: Ask, resolver: str, over_tcp: bool) -> None:
    asked = ask(RESOLVE, BOTH, resolver)
    assert asked.output[-1] == "['192.0.2.1', '2001:db8::1']"
    assert {record.over_tcp for record in asked.records} == {over_tcp}
    assert asked.of_address("192.0.2.1") == (HOST,)
    assert asked.of_address("2001:db8::1") == (HOST,)
    assert not asked.names.lost


def test_an_alias_is_followed_to_the_name_that_was_asked_for(ask: Ask) -> None:
    answers = {HOST: ["front.example"], "front.example": ["192.0.2.7"]}
    assert ask(RESOLVE, answers).of_address("192.0.2.7") == (HOST,)


@pytest.mark.parametrize(
    ("family", "server"), [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")], ids=["ipv4", "ipv6"]
)
@pytest.mark.parametrize("connected", [True, False])
def test_a_resolver_of_ones_own_is_learned_from(
    ask: Ask, family: str, server: str, connected: bool
) -> None:
    asked = ask(
        f"""
        from tests.dns_wire import message, question
        client = socket.socket(socket.{family}, socket.SOCK_DGRAM)
        if {connected}:
            client.connect(({server!r}, 53))
            client.send(message([question({HOST!r})], id=99))
        else:
            client.sendto(message([question({HOST!r})], id=99), ({server!r}, 53))
        client.recv(512)
        """,
        BOTH,
    )
    assert [record.direction for record in asked.records] == [Direction.WRITE, Direction.READ]
    assert len({record.cookie for record in asked.records}) == 1
    assert asked.of_address("192.0.2.1") == (HOST,)


def test_ipv4_in_a_socket_for_ipv6_is_seen_too(ask: Ask) -> None:
    asked = ask(
        f"""
        from tests.dns_wire import message, question
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        client.sendto(message([question({HOST!r})]), ("::ffff:127.0.0.1", 53))
        client.recv(512)
        """,
        BOTH,
    )
    assert asked.of_address("192.0.2.1") == (HOST,)


def test_the_same_address_has_another_name_in_another_namespace(ask: Ask) -> None:
    resolve = "socket.getaddrinfo({!r}, 443, socket.AF_INET)"
    one = ask(resolve.format("one.example"), {"one.example": ["192.0.2.1"]})
    two = ask(resolve.format("two.example"), {"two.example": ["192.0.2.1"]})
    assert one.records[0].netns != two.records[0].netns
    both = Names()
    for record in (*one.records, *two.records):
        both.feed_dns(record)
    now_ns = two.records[-1].time_ns
    assert both.of_address(one.records[0].netns, "192.0.2.1", now_ns) == ("one.example",)
    assert both.of_address(two.records[0].netns, "192.0.2.1", now_ns) == ("two.example",)


def test_neither_other_ports_nor_what_is_no_query_is_reported(ask: Ask) -> None:
    asked = ask(
        f"""
        from tests.dns_wire import message, question
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.bind(("127.0.0.1", 5353))
        client.sendto(message([question({HOST!r})]), ("127.0.0.1", 5353))
        client.sendto(bytes(range(100, 200)), ("127.0.0.1", 53))
        """,
        BOTH,
    )
    assert asked.records == []


def test_an_answer_over_several_packets_of_tcp_is_put_together(ask: Ask) -> None:
    many = [f"192.0.2.{i}" for i in range(1, 250)]
    asked = ask(
        f"""
        from tests.dns_wire import message, over_tcp, question
        client = socket.create_connection(("127.0.0.1", 53))
        for byte in over_tcp(message([question({HOST!r})])):
            client.send(bytes([byte]))
        length = int.from_bytes(client.recv(2, socket.MSG_WAITALL), "big")
        print(len(client.recv(length, socket.MSG_WAITALL)))
        """,
        {HOST: many},
    )
    received = [record for record in asked.records if record.direction == Direction.READ]
    assert sum(len(record.data) for record in received) == 2 + int(asked.output[-1]) > 3_000
    assert len(received) > 1
    assert asked.of_address("192.0.2.249") == (HOST,)
    assert not asked.names.lost


# ClientHello


class Server:
    """Takes connections on loopback and keeps the first bytes that each brought."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.first_bytes: list[bytes] = []
        self._came = threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(CLIENT_SECONDS)
                    data, reader = b"", ClientHelloReader()
                    while not reader.done and (came := connection.recv(65536)):
                        data += came
                        reader.feed(came)
                    self.first_bytes.append(data)
                self._came.release()

    def wait(self) -> bytes:
        """What the next connection brought."""
        assert self._came.acquire(timeout=CLIENT_SECONDS)
        return self.first_bytes.pop(0)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as listening:
        yield listening


def run(command: Sequence[str | Path], stdin: bytes = b"") -> int:
    """Run a client to its end, which is an error for want of an answer, and return its pid."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    process.communicate(stdin, timeout=CLIENT_SECONDS)
    return process.pid


def python(script: str, port: int) -> int:
    """Run Python that has a connection, `client`, to the port."""
    head = (
        "import socket, ssl, sys; sys.path[:0] = ['.', 'src']\n"
        f"client = socket.create_connection(('127.0.0.1', {port}))\n"
        "client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n"
        "from tests.hello_wire import *\n"
    )
    return run([sys.executable, "-c", head + textwrap.dedent(script)])


def hello_of(pieces: list[ClientHello]) -> Hello:
    """What the pieces say; they are in order, and no byte comes twice."""
    position = 0
    for piece in pieces:
        assert piece.position == position
        position += len(piece.data)
    names = Names()
    (hello,) = (found for piece in pieces if (found := names.hello(piece)))
    return hello


CLIENTS = {
    "curl": ["curl", "-sk", "--resolve", f"{HOST}:PORT:127.0.0.1", f"https://{HOST}:PORT/"],
    "openssl": ["openssl", "s_client", "-connect", "127.0.0.1:PORT", "-servername", HOST],
    "node": [
        *("node", "-e"),
        f"require('tls').connect({{host:'127.0.0.1',port:PORT,servername:'{HOST}'}})"
        ".on('error', () => {})",
    ],
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_real_clients_hello_is_that_which_the_server_got(
    watch: Watch, server: Server, client: str
) -> None:
    require(*({"curl", "node"} & {client}))
    pid = run([word.replace("PORT", str(server.port)) for word in CLIENTS[client]])
    pieces = watch.hellos(pid)
    received = server.wait()
    assert b"".join(piece.data for piece in pieces) == received
    hello = hello_of(pieces)
    assert hello.sni == HOST
    assert hello.random == received[11:43]
    assert hello.key.start_ns > 0


GO = f"""
package main

import ("crypto/tls"; "os")

func main() {{
	tls.Dial("tcp", "127.0.0.1:" + os.Args[1], &tls.Config{{ServerName: "{HOST}"}})
}}
"""


def test_gos_own_tls_is_named_too(watch: Watch, server: Server, tmp_path: Path) -> None:
    require("go")
    (tmp_path / "client.go").write_text(GO)
    program = tmp_path / "client"
    subprocess.run([GO_COMMAND, "build", "-o", program, tmp_path / "client.go"], check=True)
    hello = hello_of(watch.hellos(run([program, str(server.port)])))
    assert (hello.sni, hello.random) == (HOST, server.wait()[11:43])


def test_memory_bios_over_asyncio_are_named_by_their_socket(watch: Watch, server: Server) -> None:
    script = (
        "import asyncio, ssl\n"
        "async def one(host):\n"
        f"    try: await asyncio.open_connection('127.0.0.1', {server.port}, ssl=True,"
        " server_hostname=host)\n"
        "    except OSError: pass\n"
        "async def all(): await asyncio.gather(*(one(f'{i}.example') for i in range(5)))\n"
        "asyncio.run(all())\n"
    )
    names = Names()
    pid = run([sys.executable, "-c", script])
    hellos = [hello for piece in watch.hellos(pid) if (hello := names.hello(piece))]
    received = [server.wait() for _ in range(5)]
    assert len({hello.cookie for hello in hellos}) == 5
    assert {hello.sni for hello in hellos} == {f"{i}.example" for i in range(5)}
    assert {hello.random for hello in hellos} == {data[11:43] for data in received}


def test_a_hello_in_single_bytes_is_put_together(watch: Watch, server: Server) -> None:
    pid = python(f"for byte in of_openssl({HOST!r}): client.send(bytes([byte]))", server.port)
    pieces = watch.hellos(pid)
    received = server.wait()
    assert len(pieces) > 1
    assert b"".join(piece.data for piece in pieces) == received
    assert hello_of(pieces).sni == HOST


@pytest.mark.parametrize("size", [16384, 700, 2], ids=["one record", "records of 700", "of 2"])
def test_a_large_hello_is_whole(watch: Watch, server: Server, size: int) -> None:
    pid = python(
        f"whole = message((51, bytes(1400)), server_name({HOST.encode()!r}))\n"
        f"client.sendall(records(whole, {size}))",
        server.port,
    )
    hello = hello_of(watch.hellos(pid))
    assert hello.sni == HOST
    server.wait()


def test_a_hello_larger_than_the_limit_is_told_as_far_as_it_goes(
    watch: Watch, server: Server
) -> None:
    pid = python(
        f"client.sendall(records(message(server_name({HOST.encode()!r}), (51, bytes(15000)))))",
        server.port,
    )
    pieces = watch.hellos(pid)
    assert sum(len(piece.data) for piece in pieces) == 8192
    assert hello_of(pieces).sni == HOST


def test_bytes_that_are_sent_again_are_reported_once(watch: Watch, server: Server) -> None:
    # A filter that drops all on the receiving socket: the sender gets no answer and sends again.
    # struct sock_filter: BPF_RET | BPF_K with 0 bytes to keep (linux/filter.h).
    pid = python(
        f"""
        import ctypes, struct, time
        hello = of_openssl({HOST!r})
        drop = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(drop))
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER
        client.send(hello[:100])
        client.send(hello[100:300])
        deadline = time.monotonic() + {DEADLINE_SECONDS / 2}
        def sent_again():
            info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            return int.from_bytes(info[{TOTAL_RETRANSMITTED}:104], sys.byteorder)
        while not sent_again():
            assert time.monotonic() < deadline
        peer.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER
        client.send(hello[300:])
        assert peer.recv(len(hello), socket.MSG_WAITALL) == hello
        """,
        server.port,
    )
    assert hello_of(watch.hellos(pid)).sni == HOST


def test_a_hello_behind_a_proxys_connect_is_found(watch: Watch, server: Server) -> None:
    pid = python(
        f"""
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
        for _ in range(2):  # once more, with credentials
            client.sendall(b"CONNECT {HOST}:443 HTTP/1.1\\r\\nHost: {HOST}:443\\r\\n\\r\\n")
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
            client.recv(4096)
        client.sendall(of_openssl({HOST!r}))
        """,
        server.port,
    )
    assert hello_of(watch.hellos(pid)).sni == HOST


@pytest.mark.parametrize("option", [54, 59], ids=["hop by hop", "destination"])
def test_a_hello_behind_extension_headers_of_ipv6_is_found(
    watch: Watch, server: Server, option: int
) -> None:
    # linux/in6.h: IPV6_HOPOPTS, IPV6_DSTOPTS; a header of 8 bytes with padding (RFC 8200, 4.2).
    pid = python(
        f"""
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        client = socket.socket(socket.AF_INET6)
        client.setsockopt(socket.IPPROTO_IPV6, {option}, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
        client.connect(listener.getsockname()[:2])
        client.sendall(of_openssl({HOST!r}))
        """,
        server.port,
    )
    assert hello_of(watch.hellos(pid)).sni == HOST


def test_connections_that_begin_otherwise_and_servers_tell_nothing(
    watch: Watch, server: Server
) -> None:
    pid = python(
        f"""
        listener = socket.create_server(("127.0.0.1", 0))
        def pair():
            client = socket.create_connection(listener.getsockname())
            return client, listener.accept()[0]
        hello = of_openssl({HOST!r})
        answer = b"\\x16\\x03\\x03\\0\\x10\\x02" + bytes(15)
        for begins in (b"GET / HTTP/1.1\\r\\n\\r\\n", b"\\x16", answer):
            client, peer = pair()
            client.sendall(begins)
            peer.recv(4096)
            client.sendall(hello)
            peer.sendall(hello)  # a server that speaks as a client would
            peer.recv(4096), client.recv(4096)
        """,
        server.port,
    )
    # The one byte that could have begun one is told, and no more.
    assert [piece.data for piece in watch.hellos(pid)] == [b"\x16"]


def test_a_second_hello_on_a_connection_is_not_reported(watch: Watch, server: Server) -> None:
    pid = python(
        "client.sendall(of_openssl('one.example')); client.sendall(of_openssl('two.example'))",
        server.port,
    )
    assert hello_of(watch.hellos(pid)).sni == "one.example"


def test_an_encrypted_hello_is_told(watch: Watch, server: Server) -> None:
    pid = python(
        "client.sendall(records(message(server_name(b'front.example'), (0xfe0d, bytes(200)))))",
        server.port,
    )
    hello = hello_of(watch.hellos(pid))
    assert (hello.sni, hello.ech) == ("front.example", True)


def test_two_monitors_see_the_same_and_one_that_closed_sees_nothing(server: Server) -> None:
    script = f"client.sendall(of_openssl({HOST!r}))"
    with watching() as one:
        with watching() as two:
            pid = python(script, server.port)
            assert hello_of(one.hellos(pid)).random == hello_of(two.hellos(pid)).random
        shared = SharedMaps(1 << 16)
        NamePrograms(shared).close()
        pid = python(script, server.port)
        assert hello_of(one.hellos(pid)).sni == HOST
        assert shared.ring.read() == []
        shared.close()


def test_a_monitor_that_is_killed_leaves_no_program_attached() -> None:
    require("bpftool")
    tool = bpftool()
    assert tool is not None

    def attached() -> set[int]:
        # A program is there as long as a link or a process holds it.
        shown = json.loads(subprocess.check_output([tool, "-j", "prog", "show"]))
        return {program["id"] for program in shown if program.get("name") in PROGRAMS}

    before = attached()
    hold = (
        "from busted.kernel.shared import SharedMaps\n"
        "from busted.kernel.names import NamePrograms\n"
        "shared = SharedMaps(1 << 16); programs = NamePrograms(shared); print('on', flush=True)\n"
        "input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold],
        env={"PYTHONPATH": f"{ROOT}/src"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    during = attached() - before
    process.kill()
    process.communicate()
    assert len(during) == len(PROGRAMS)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while attached() & during:
        assert time.monotonic() < deadline
        time.sleep(0.01)
