"""QUIC clients as the kernel side sees them: real sockets that send what clients begin with."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from busted.agent.names import Names
from busted.kernel.names import NamePrograms
from busted.kernel.shared import SharedMaps
from busted.records import (
    Flow,
    FlowOperation,
    FlowOwner,
    ProcessKey,
    QuicInitial,
    decode,
    socket_cookie,
)
from tests.hello_wire import message, protocols, server_name
from tests.kernel.harness import DEADLINE_SECONDS
from tests.kernel.namespace import Namespace, namespace, packed
from tests.quic_wire import VERSION_2, crypto, datagrams, packet
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "cgroups")

HOST = "api.openai.com"
# With keys of X25519MLKEM768, so that it takes two datagrams.
HELLO = message(server_name(HOST.encode()), protocols(b"h3"), (51, bytes(1216)))
SHORT = message(server_name(HOST.encode()))
FIRST, SECOND = datagrams(HELLO, 2)
(ALONE,) = datagrams(SHORT)
(ALONE_2,) = datagrams(SHORT, version=VERSION_2)
ANSWER = packet(crypto(0, b"\2\0\0\4"), of=b"server in", destination=b"")
UDP = 17

PROLOGUE = f"""
first, second, alone, answer = {FIRST!r}, {SECOND!r}, {ALONE!r}, {ANSWER!r}
def udp(host="127.0.0.1", port=0):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((host, port))
    return s
"""


class Watch:
    """Programs attached, and what they told of a process in a network namespace of its own."""

    def __init__(self, shared: SharedMaps, programs: NamePrograms, running: Namespace) -> None:
        self.shared, self.programs, self._pid = shared, programs, running.pid
        self.told = running.told()
        self._records: list[QuicInitial | Flow] = []

    def _read(self) -> None:
        while batch := self.shared.ring.read():
            found = map(decode, batch)
            self._records += [one for one in found if isinstance(one, QuicInitial | Flow)]

    def initials(self) -> list[QuicInitial]:
        """What clients began with so far."""
        self._read()
        found = [one for one in self._records if isinstance(one, QuicInitial)]
        return [one for one in found if one.flow.netns == self.netns(found)]

    def closed(self, pid: int | None = None) -> list[Flow]:
        """The flows whose socket was closed."""
        self._read()
        flows = [one for one in self._records if isinstance(one, Flow)]
        return [flow for flow in flows if flow.key.pid == (pid or self._pid)]

    def netns(self, found: list[QuicInitial]) -> int:
        """The namespace's cookie, by what its processes sent."""
        pids = {self._pid, self.told.get("child")}
        return next((one.flow.netns for one in found if one.flow.key.pid in pids), 0)

    def look(self, flow: Flow) -> Flow | None:
        """How a flow stands."""
        cookie = socket_cookie(flow.cookie)
        raw = self.programs.look_quic(cookie, flow.remote, flow.remote_port)
        found = None if raw is None else decode(raw)
        assert found is None or isinstance(found, Flow)
        return found


@contextlib.contextmanager
def watching(script: str) -> Iterator[Watch]:
    """Run `script`, whose last word is its first step; the block runs while it waits there."""
    require("unshare")
    with closing(SharedMaps(1 << 22)) as shared, closing(NamePrograms(shared)) as programs:
        assert programs.left_out == {}
        with namespace(PROLOGUE + script) as running:
            yield Watch(shared, programs, running)
        assert shared.lost() == {}


CLIENTS = {
    "connected": "s.connect(there); s.send(alone)",
    "not connected": "s.sendto(alone, there)",
    "sendmsg": "s.sendmsg([alone[:100], alone[100:]], [], 0, there)",
}
HOSTS = {"ipv4": "127.0.0.1", "ipv6": "::1"}


@pytest.mark.parametrize("send", CLIENTS.values(), ids=CLIENTS)
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_client_is_told_with_its_process_its_ends_and_what_it_sent(host: str, send: str) -> None:
    script = f"""
server = udp({host!r}); there = server.getsockname()[:2]
s = udp({host!r})
{send}
told |= dict(cookie=cookie(s), local=s.getsockname()[1], remote=there[1])
"""
    with watching(script) as watch:
        (initial,) = watch.initials()
        flow, told = initial.flow, watch.told
        assert initial.data == ALONE
        assert initial.total == len(ALONE)
        assert flow.cookie == told["cookie"]
        assert (flow.local, flow.local_port) == (packed(host), told["local"])
        assert (flow.remote, flow.remote_port) == (packed(host), told["remote"])
        assert (flow.operation, flow.role) == (FlowOperation.CONNECT, FlowOperation.CONNECT)
        assert (flow.owner, flow.transport) == (FlowOwner.OPENER, UDP)
        assert flow.comm.startswith(b"python")
        assert flow.opened_ns <= flow.time_ns
        assert (flow.bytes_sent, flow.bytes_received) == (len(ALONE), 0)
        assert isinstance(flow.key, ProcessKey)

        hello = Names().quic_hello(initial)
        assert hello is not None
        assert hello.sni == HOST
        assert (hello.cookie, hello.key) == (flow.cookie, flow.key)


def test_a_socket_of_ipv6_that_sends_to_ipv4_is_told_as_ipv4() -> None:
    script = """
server = udp()
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.sendto(alone, ("::ffff:127.0.0.1", server.getsockname()[1]))
"""
    with watching(script) as watch:
        (initial,) = watch.initials()
        assert initial.flow.remote == packed("127.0.0.1")


def test_version_2_is_told() -> None:
    with watching(f"udp().sendto({ALONE_2!r}, udp().getsockname())") as watch:
        (initial,) = watch.initials()
        assert initial.data == ALONE_2


def test_a_hello_in_two_datagrams_is_told_whole() -> None:
    script = (
        "server = udp(); s = udp(); [s.sendto(d, server.getsockname()) for d in (first, second)]"
    )
    with watching(script) as watch:
        initials = watch.initials()
        assert [one.data for one in initials] == [FIRST, SECOND]
        assert {one.flow.cookie for one in initials} == {initials[0].flow.cookie}
        names = Names()
        assert names.quic_hello(initials[0]) is None
        assert names.is_quic(initials[0].flow.cookie)
        hello = names.quic_hello(initials[1])
        assert hello is not None
        assert (hello.sni, hello.alpn) == (HOST, ("h3",))


def test_two_datagrams_that_are_handed_over_as_one_are_told() -> None:
    # UDP_SEGMENT of udp(7): 103.
    script = """
server = udp(); s = udp(); s.setsockopt(socket.IPPROTO_UDP, 103, 1200)
s.sendto(first + second, server.getsockname())
"""
    with watching(script) as watch:
        (initial,) = watch.initials()
        assert initial.total == 2400
        hello = Names().quic_hello(initial)
        assert hello is not None
        assert hello.sni == HOST


def test_no_more_datagrams_of_a_flow_are_told_than_a_hello_takes() -> None:
    script = "s, server = udp(), udp(); [s.sendto(alone, server.getsockname()) for _ in range(50)]"
    with watching(script) as watch:
        initials = watch.initials()
        assert len(initials) == 8
        found = watch.look(initials[0].flow)
        assert found is not None
        assert found.bytes_sent == 50 * len(ALONE)


def test_what_moves_is_counted_and_told_at_the_end() -> None:
    script = """
server, s = udp(), udp()
there = server.getsockname()
s.sendto(alone, there)
data, back = server.recvfrom(2000)
for size in (1200, 700, 3):
    server.sendto(answer[:size], back)
    s.recv(2000)
for size in (40, 1300): s.sendto(b"\\x40" * size, there)
told["cookie"] = cookie(s)
step()
s.close()
"""
    with watching(script) as watch:
        (initial,) = watch.initials()
        flow = watch.look(initial.flow)
        assert flow is not None
        assert flow.operation == FlowOperation.LOOK
        assert (flow.bytes_sent, flow.bytes_received) == (1200 + 1340, 1200 + 703)
        assert watch.closed() == []


def test_the_end_of_a_socket_is_told_with_what_moved() -> None:
    script = """
server, s = udp(), udp()
s.sendto(alone, server.getsockname()); s.sendto(b"x" * 100, server.getsockname())
told["cookie"] = cookie(s)
s.close()
"""
    with watching(script) as watch:
        watch.initials()
        (flow,) = watch.closed()
        assert flow.operation == FlowOperation.CLOSE
        assert flow.cookie == watch.told["cookie"]
        assert flow.bytes_sent == len(ALONE) + 100


def test_each_address_that_a_socket_sends_to_is_a_flow_with_counts_of_its_own() -> None:
    script = """
one, other, s = udp(), udp("127.0.0.2"), udp("0.0.0.0")
for server in (one, other, one, other): s.sendto(alone, server.getsockname())
for size in (10, 20): s.sendto(b"x" * size, one.getsockname())
_, back = other.recvfrom(2000)
other.sendto(b"x" * 77, ("127.0.0.1", back[1])); s.recv(2000)
told["cookie"] = cookie(s)
"""
    with watching(script) as watch:
        initials = watch.initials()
        assert len(initials) == 4
        first, second = initials[0].flow, initials[1].flow
        assert first.cookie == watch.told["cookie"] == socket_cookie(second.cookie)
        assert first.cookie != second.cookie
        assert [one.flow.cookie for one in initials] == [first.cookie, second.cookie] * 2
        one, other = watch.look(first), watch.look(second)
        assert one is not None
        assert other is not None
        assert (one.bytes_sent, one.bytes_received) == (2 * len(ALONE) + 30, 0)
        assert (other.bytes_sent, other.bytes_received) == (2 * len(ALONE), 77)


def test_a_child_that_sends_on_an_inherited_socket_is_the_process() -> None:
    script = """
server, s = udp(), udp()
s.sendto(b"x", server.getsockname())
told["child"] = os.fork()
if not told["child"]:
    s.sendto(alone, server.getsockname())
    os._exit(0)
os.waitpid(told["child"], 0)
"""
    with watching(script) as watch:
        (initial,) = watch.initials()
        assert initial.flow.key.pid == watch.told["child"]


NOTHING = {
    "looking an address up": "s.connect(server.getsockname())",
    "another protocol": "[s.sendto(b'x' * 1300, server.getsockname()) for _ in range(3)]",
    "a version that is none": "s.sendto(alone[:1] + bytes(4) + alone[5:], server.getsockname())",
    "less than a client sends": "s.sendto(alone[:1199], server.getsockname())",
    "after much else": "[s.sendto(d, server.getsockname()) for d in [b'x'] * 8 + [alone]]",
    "another kind of packet": "s.sendto(b'\\xf0' + alone[1:], server.getsockname())",
}


@pytest.mark.parametrize("script", NOTHING.values(), ids=NOTHING)
def test_what_is_no_client_is_not_told(script: str) -> None:
    # The one behind it is told, so that nothing else is on its way.
    last = "last = udp(); last.sendto(alone, server.getsockname()); told['cookie'] = cookie(last)"
    with watching(f"s, server = udp(), udp()\n{script}\n{last}") as watch:
        assert [one.flow.cookie for one in watch.initials()] == [watch.told["cookie"]]


def test_a_few_other_datagrams_may_come_first() -> None:
    send = "[s.sendto(d, server.getsockname()) for d in [b'x'] * 3 + [alone]]"
    with watching(f"s, server = udp(), udp(); {send}") as watch:
        (initial,) = watch.initials()
        assert initial.flow.bytes_sent == len(ALONE)


def test_a_server_is_no_client() -> None:
    script = """
server, client = udp(), udp()
client.sendto(alone, server.getsockname())
_, back = server.recvfrom(2000)
for _ in range(3): server.sendto(answer, back)
told["cookie"] = cookie(client)
"""
    with watching(script) as watch:
        assert [one.flow.cookie for one in watch.initials()] == [watch.told["cookie"]]


def test_the_socket_of_a_process_that_is_killed_is_told_closed() -> None:
    script = """
server = udp()
told["child"] = os.fork()
if not told["child"]:
    s = udp(); s.sendto(alone, server.getsockname())
    os.kill(os.getpid(), 9)
os.waitpid(told["child"], 0)
"""
    with watching(script) as watch:
        child = watch.told["child"]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not watch.closed(child) and time.monotonic() < deadline:
            time.sleep(0.01)
        (flow,) = watch.closed(child)
        assert flow.cookie == watch.initials()[0].flow.cookie
