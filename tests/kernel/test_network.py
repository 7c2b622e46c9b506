"""Flows as the kernel tells them, against what the sockets themselves say they moved.

Every script runs in a network namespace of its own.
"""

from __future__ import annotations

import errno
import ipaddress
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from busted.kernel import features
from busted.kernel.network import FlowPrograms, Network
from busted.kernel.shared import SharedMaps
from busted.records import Flow, FlowOperation, FlowOwner, ProcessKey, decode
from tests.kernel.namespace import DEADLINE_SECONDS, namespace, packed
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "unshare")

CONNECT, ACCEPT, CLOSE = FlowOperation.CONNECT, FlowOperation.ACCEPT, FlowOperation.CLOSE


class Watched:
    """Programs that follow flows, and what they told."""

    def __init__(self, shared: SharedMaps, programs: FlowPrograms) -> None:
        self.shared, self.programs = shared, programs
        self.flows: list[Flow] = []

    def read(self) -> list[Flow]:
        for raw in self.shared.ring.read():
            record = decode(raw)
            assert isinstance(record, Flow)
            self.flows.append(record)
        return self.flows

    def wait(self, *cookies: int, operation: FlowOperation = CLOSE) -> list[Flow]:
        """Read until each of these sockets had this operation; return all they did."""
        return self.until(
            lambda flows: set(cookies) <= {f.cookie for f in flows if f.operation == operation},
            cookies,
        )

    def until(
        self, enough: Callable[[list[Flow]], bool], cookies: tuple[int, ...] | None = None
    ) -> list[Flow]:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not enough(self.read()):
            assert time.monotonic() < deadline, self.flows
            time.sleep(0.001)
        return [flow for flow in self.flows if cookies is None or flow.cookie in cookies]


@contextmanager
def watching(network: Network = "all", ring_bytes: int = 1 << 22) -> Iterator[Watched]:
    with closing(SharedMaps(ring_bytes)) as shared:
        programs = FlowPrograms(shared, network, features.probe(), features.try_programs())
        with closing(programs):
            yield Watched(shared, programs)


@pytest.fixture
def all_flows() -> Iterator[Watched]:
    with watching() as watched:
        yield watched
        assert watched.shared.lost() == {}


@pytest.fixture
def ai_flows() -> Iterator[Watched]:
    with watching("ai") as watched:
        yield watched
        assert watched.shared.lost() == {}


def ip(address: bytes) -> str:
    parsed = ipaddress.IPv6Address(address)
    return str(parsed.ipv4_mapped or parsed)


TRANSFER = """
client, accepted = pair({host!r})
told |= dict(client=cookie(client), accepted=cookie(accepted), uid=os.getuid(),
             here=client.getsockname()[:2], there=client.getpeername()[:2])
receiving = threading.Thread(target=lambda: told.update(received=receive(accepted)))
receiving.start()
client.sendall(bytes({sent}))
client.shutdown(socket.SHUT_WR)
receiving.join()
def answer():
    accepted.sendall(bytes({answered}))
    accepted.close()
answering = threading.Thread(target=answer)
answering.start()
told["answered"] = receive(client)
answering.join()
told["retransmits"] = retransmits(client)
client.close()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(("sent", "answered"), [(0, 0), (1, 0), (0, 1), (123_457, 9_876_543)])
def test_a_connection_is_told_with_its_ends_and_every_byte_it_moved(
    host: str, sent: int, answered: int, all_flows: Watched
) -> None:
    with namespace(TRANSFER.format(host=host, sent=sent, answered=answered)) as running:
        truth = running.told()
        flows = all_flows.wait(truth["client"], truth["accepted"])
    assert (truth["received"], truth["answered"]) == (sent, answered)
    client = [flow for flow in flows if flow.cookie == truth["client"]]
    accepted = [flow for flow in flows if flow.cookie == truth["accepted"]]

    assert [flow.operation for flow in client] == [CONNECT, CLOSE]
    assert [flow.operation for flow in accepted] == [ACCEPT, CLOSE]
    for flow in client:
        assert [ip(flow.local), flow.local_port] == truth["here"]
        assert [ip(flow.remote), flow.remote_port] == truth["there"]
        assert (flow.key.pid, flow.owner) == (running.pid, FlowOwner.OPENER)
        assert (flow.uid, flow.error, flow.transport) == (truth["uid"], 0, 6)
        assert 0 < flow.opened_ns <= flow.established_ns <= flow.time_ns
    for flow in accepted:
        assert [ip(flow.remote), flow.remote_port] == truth["here"]
        assert flow.key == client[0].key
    assert (client[-1].bytes_sent, client[-1].bytes_received) == (sent, answered)
    assert (accepted[-1].bytes_sent, accepted[-1].bytes_received) == (answered, sent)
    assert client[-1].retransmits == truth["retransmits"]
    assert client[0].comm == b"python"[: len(client[0].comm)] or client[0].comm


def test_an_ipv4_peer_of_an_ipv6_socket_is_told_by_its_ipv4_address(all_flows: Watched) -> None:
    script = """
listening = server("::", dualstack_ipv6=True)
client = socket.socket(socket.AF_INET6)
client.connect(("::ffff:127.0.0.1", listening.getsockname()[1]))
accepted, _ = listening.accept()
told |= dict(client=cookie(client), accepted=cookie(accepted))
client.close(), accepted.close()
"""
    with namespace(script) as running:
        truth = running.told()
        flows = all_flows.wait(truth["client"], truth["accepted"])
    assert {ip(flow.remote) for flow in flows} == {"127.0.0.1"}
    assert {flow.key.pid for flow in flows} == {running.pid}


LOSSES = {
    # A queue of this host that is too short: what it drops counts as sent, and is sent anew.
    "queue": "os.system('ip link set lo mtu 1500; "
    "tc qdisc add dev lo root tbf rate 20mbit burst 3k limit 4k')\n" + TRANSFER,
    # A link that is down: what was sent is lost, and sent again later.
    "link": TRANSFER.replace(
        "client.sendall(",
        "os.system('ip link set lo down'); client.send(b'x'); os.system('ip link set lo up')\n"
        "client.sendall(",
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_what_was_sent_again_is_counted_as_such_and_not_as_bytes(
    loss: str, all_flows: Watched
) -> None:
    require("shaper")
    script = LOSSES[loss].format(host="127.0.0.1", sent=300_000, answered=0)
    with namespace(script) as running:
        truth = running.told()
        client = all_flows.wait(truth["client"])[-1]
    assert client.bytes_sent == truth["received"] >= 300_000
    assert client.retransmits == truth["retransmits"] > 0


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (
            "port = server().getsockname()[1]\nclient.connect_ex(('127.0.0.1', port))",
            "ECONNREFUSED",
        ),
        (
            # The queue of those who wait to be accepted is full: nobody answers any more.
            "full = server(backlog=0)\n"
            "waiting = [socket.socket() for _ in range(4)]\n"
            "for s in waiting: s.setblocking(False), s.connect_ex(full.getsockname())\n"
            "client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 50)\n"
            "client.connect_ex(full.getsockname())",
            "ETIMEDOUT",
        ),
        (
            "full = server(backlog=0)\n"
            "waiting = [socket.socket() for _ in range(4)]\n"
            "for s in waiting: s.setblocking(False), s.connect_ex(full.getsockname())\n"
            "client.setblocking(False)\n"
            "client.connect_ex(full.getsockname())",
            "ECANCELED",
        ),
    ],
    ids=["refused", "timed out", "given up"],
)
def test_a_connect_that_fails_is_told_with_its_error_and_no_close(
    script: str, error: str, all_flows: Watched
) -> None:
    begin = "client = socket.socket()\ntold['client'] = cookie(client)\n"
    with namespace(begin + script + "\nclient.close()") as running:
        truth = running.told()
        flows = all_flows.wait(truth["client"], operation=CONNECT)
    (flow,) = flows
    assert (errno.errorcode[flow.error], flow.key.pid) == (error, running.pid)
    assert flow.established_ns == 0


def test_a_flow_stays_with_the_process_that_opened_it(all_flows: Watched) -> None:
    script = """
client, accepted = pair()
told["client"] = cookie(client)
if (child := os.fork()) == 0:
    client.sendall(b"from the child")
    client.close()
    os._exit(0)
client.close()
told["received"] = receive(accepted)
os.waitpid(child, 0)
accepted.close()
"""
    with namespace(script) as running:
        truth = running.told()
        flows = all_flows.wait(truth["client"])
    assert {flow.key.pid for flow in flows} == {running.pid}
    assert flows[-1].bytes_sent == truth["received"] == len("from the child")


def test_an_accepted_flow_is_that_of_who_accepts_or_who_listens_until_it_closes(
    all_flows: Watched,
) -> None:
    script = """
listening = server()
if (child := os.fork()) == 0:
    accepted, _ = listening.accept()
    accepted.recv(1)
    accepted.close()
    os._exit(0)
client = socket.create_connection(listening.getsockname())
here = client.getsockname()[1]
client.sendall(b"x")
client.recv(1)
os.waitpid(child, 0)
client.close()
told |= dict(child=child, here=here)
"""
    with namespace(script) as running:
        truth = running.told()
        flows = all_flows.until(
            lambda flows: any(
                f.role == ACCEPT and f.operation == CLOSE and f.key.pid == truth["child"]
                for f in flows
            ),
            tuple({flow.cookie for flow in all_flows.read()}),
        )
    accepted = [f for f in all_flows.flows if f.role == ACCEPT and f.remote_port == truth["here"]]
    assert flows
    if all_flows.programs.left_out.keys() & {"flow_accept_exit"}:
        assert [(f.operation, f.owner, f.key.pid) for f in accepted] == [
            (ACCEPT, FlowOwner.LISTENER, running.pid),
            (CLOSE, FlowOwner.HOLDER, truth["child"]),
        ]
    else:
        assert [(f.operation, f.owner, f.key.pid) for f in accepted] == [
            (ACCEPT, FlowOwner.OPENER, truth["child"]),
            (CLOSE, FlowOwner.OPENER, truth["child"]),
        ]


def test_ten_thousand_short_connections_are_all_told() -> None:
    script = """
listening = server(backlog=128)
for _ in range(10_000):
    client = socket.create_connection(listening.getsockname())
    accepted, _ = listening.accept()
    client.sendall(b"ask")
    # The listener's end goes first, so that no port of the client has to rest (TIME_WAIT).
    accepted.close()
    client.close()
told["done"] = True
"""
    # All 40,000 records have room in the ring: how fast a busy machine reads them does not matter.
    with watching(ring_bytes=1 << 24) as watched, namespace(script) as running:
        assert running.told()["done"]
        pid = running.pid
        flows = watched.until(lambda flows: sum(f.key.pid == pid for f in flows) >= 40_000)
        assert watched.shared.lost() == {}
    of_process = [flow for flow in flows if flow.key.pid == pid]
    for role in (CONNECT, ACCEPT):
        for operation in (role, CLOSE):
            found = {f.cookie for f in of_process if (f.role, f.operation) == (role, operation)}
            assert len(found) == 10_000, (role, operation)
    assert {f.bytes_sent for f in of_process if (f.role, f.operation) == (CONNECT, CLOSE)} == {3}


QUIET = """
client, accepted = pair()
told |= dict(client=cookie(client), netns=None)
client.sendall(b"12345")
accepted.recv(5)
step()
client.close(), accepted.close()
"""


def test_what_nobody_wants_is_not_told_but_can_be_asked_for(ai_flows: Watched) -> None:
    with namespace(QUIET) as running:
        cookie = running.told()["client"]
        raw = ai_flows.programs.look(cookie)
        assert raw is not None
        open_flow = decode(raw)
        running.go_on()
        running.told()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (raw := ai_flows.programs.look(cookie)) and raw[-4 - 2] == FlowOperation.LOOK:
            assert time.monotonic() < deadline
        assert raw is not None
        closed_flow = decode(raw)
    assert isinstance(open_flow, Flow)
    assert isinstance(closed_flow, Flow)
    assert (open_flow.operation, open_flow.bytes_sent) == (FlowOperation.LOOK, 5)
    assert (closed_flow.operation, closed_flow.bytes_sent) == (FlowOperation.LOOK_CLOSED, 5)
    assert open_flow.key.pid == closed_flow.key.pid == running.pid
    assert ai_flows.read() == []
    assert ai_flows.programs.look(1 << 60) is None


def test_the_end_of_a_wanted_flow_is_told(ai_flows: Watched) -> None:
    with namespace(QUIET) as running:
        cookie = running.told()["client"]
        ai_flows.programs.want(cookie)
        running.go_on()
        running.told()
        (flow,) = ai_flows.wait(cookie)
    assert (flow.bytes_sent, flow.key.pid) == (5, running.pid)
    assert {flow.cookie for flow in ai_flows.read()} == {cookie}


def test_flows_to_a_wanted_address_are_told_in_its_network_namespace_alone(
    ai_flows: Watched,
) -> None:
    script = (
        "first = pair('127.0.0.2')\ntold['first'] = cookie(first[0])\nstep()\n"
        + """
client, accepted = pair("127.0.0.2")
told["client"] = cookie(client)
client.close(), accepted.close()
"""
    )
    with namespace(script) as running, namespace(script) as other:
        raw = ai_flows.programs.look(running.told()["first"])
        other.told()
        assert raw is not None
        seen = decode(raw)
        assert isinstance(seen, Flow)
        ai_flows.programs.want_address(seen.netns, packed("127.0.0.2"))
        other.go_on()
        other.told()
        running.go_on()
        cookie = running.told()["client"]
        flows = ai_flows.wait(cookie)
    assert [flow.operation for flow in flows] == [CONNECT, CLOSE]
    assert {flow.key.pid for flow in ai_flows.read() if flow.role == CONNECT} == {running.pid}


def test_flows_of_an_agent_are_told_as_such(ai_flows: Watched) -> None:
    with namespace("step()\n" + QUIET) as running:
        running.told()
        with open(f"/proc/{running.pid}/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        # In ticks of 10 ms: the whole of it is known from a flow.
        running.go_on()
        raw = ai_flows.programs.look(running.told()["client"])
        assert raw is not None
        seen = decode(raw)
        assert isinstance(seen, Flow)
        assert seen.key.start_ns // 10_000_000 == ticks
        assert not seen.agent
        ai_flows.shared.name_agent(ProcessKey(running.pid, seen.key.start_ns))
        running.go_on()
        running.told()
        flows = ai_flows.wait(seen.cookie)
    assert [(flow.operation, flow.agent) for flow in flows] == [(CLOSE, True)]


def test_a_socket_that_was_open_before_is_known_with_its_holder_and_its_bytes() -> None:
    with namespace(QUIET) as running:
        cookie = running.told()["client"]
        with watching("all") as watched:
            if "flow_present" in watched.programs.left_out:
                pytest.skip(watched.programs.left_out["flow_present"])
            running.go_on()
            running.told()
            (flow,) = watched.wait(cookie)
            assert watched.shared.lost() == {}
    assert (flow.key.pid, flow.owner, flow.role) == (running.pid, FlowOwner.HOLDER, None)
    assert (flow.opened_ns, flow.bytes_sent) == (0, 5)


def test_what_the_kernel_lacks_is_left_out_with_its_reason() -> None:
    kinds = features.try_programs()
    with watching() as watched:
        lacks = not (kinds.has("fentry") or kinds.has("kprobe"))
        assert ("flow_accept_exit" in watched.programs.left_out) == lacks
        assert all(watched.programs.left_out.values())


def test_a_ring_that_is_too_small_loses_flows_and_counts_each() -> None:
    script = """
listening = server(backlog=128)
for _ in range(500):
    client = socket.create_connection(listening.getsockname())
    accepted, _ = listening.accept()
    accepted.close()
    client.close()
"""
    with watching(ring_bytes=1 << 14) as watched:
        with namespace(script) as running:
            running.told()
        flows = [flow for flow in watched.read() if flow.key.pid == running.pid]
        (lost,) = watched.shared.lost().values()
    assert len(flows) > 0
    # Connect, accept and two closes each; another process's flows may be among the lost.
    assert len(flows) + lost >= 2000
