"""Flows from records and answers to events: which are told, under which name, tied to which TLS."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from busted.agent.clock import Clock
from busted.agent.flows import UPDATE_NS, Asks, Flows, Limits, Network
from busted.agent.names import Hello, Names
from busted.agent.told import Told
from busted.classifier.options import DEFAULT_OPTIONS
from busted.events import Network as NetworkAction
from busted.records import Direction, DnsMessage, Flow, FlowOperation, FlowOwner, ProcessKey
from tests import dns_wire

CLOCK = Clock(monotonic_offset_ns=0, boot_offset_ns=0)
PROCESS = ProcessKey(7, 70)
RANDOM = bytes(range(32))
OPENAI, OTHER = "203.0.113.1", "203.0.113.2"
SECOND = 1_000_000_000
CONNECT, ACCEPT, CLOSE = FlowOperation.CONNECT, FlowOperation.ACCEPT, FlowOperation.CLOSE
LOOK, LOOK_CLOSED = FlowOperation.LOOK, FlowOperation.LOOK_CLOSED


def mapped(ipv4: str) -> bytes:
    return bytes(10) + b"\xff\xff" + bytes(map(int, ipv4.split(".")))


FLOW = Flow(
    key=PROCESS,
    time_ns=3 * SECOND,
    cookie=5,
    netns=1,
    cgroup_id=44,
    opened_ns=2 * SECOND,
    established_ns=3 * SECOND,
    bytes_sent=0,
    bytes_received=0,
    retransmits=0,
    tid=8,
    ppid=1,
    uid=1000,
    gid=100,
    local=mapped("192.0.2.9"),
    local_port=40000,
    remote=mapped(OPENAI),
    remote_port=443,
    comm=b"python3",
    error=0,
    operation=CONNECT,
    role=CONNECT,
    owner=FlowOwner.OPENER,
    agent=False,
    transport=6,
)


def flow(operation: FlowOperation = CONNECT, **changes: object) -> Flow:
    return msgspec.structs.replace(FLOW, operation=operation, **changes)


def hello(sni: str | None = "api.openai.com", *, ech: bool = False, cookie: int = 5) -> Hello:
    return Hello(cookie, 1, PROCESS, 3 * SECOND, RANDOM, (0x0304,), sni, (), ech)


class Kernel:
    """What flows ask of the kernel side, and what it answers."""

    def __init__(self) -> None:
        self.known: dict[int, Flow] = {}
        self.wanted: list[int] = []
        self.addresses: list[tuple[int, bytes]] = []
        self.datagrams: dict[int, Flow] = {}

    def asks(self) -> Asks:
        return Asks(
            self.known.get,
            self.wanted.append,
            lambda *address: self.addresses.append(address),
            lambda flow: self.datagrams.get(flow.cookie),
        )


class NamesOnTheWire(Names):
    """The names with a ClientHello put in without its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.hellos: dict[int, Hello] = {}

    def of_socket(self, cookie: int) -> Hello | None:
        return self.hellos.get(cookie)


class Host:
    def __init__(
        self,
        network: Network = "ai",
        selected: Callable[[Flow], bool] = lambda flow: True,
        of_agent: Callable[[ProcessKey], bool] = lambda process: True,
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self.kernel, self.names = Kernel(), NamesOnTheWire()
        self.started: list[ProcessKey] = []
        self.flows = Flows(
            network,
            self.names,
            DEFAULT_OPTIONS.providers,
            CLOCK,
            self.kernel.asks(),
            selected=selected,
            started=lambda process, start_time: self.started.append(process),
            of_agent=of_agent,
            limits=limits,
        )

    def hello(self, said: Hello) -> list[Told]:
        self.names.hellos[said.cookie] = said
        return self.flows.hello(said)

    def resolve(self, name: str, address: str, netns: int = 1) -> None:
        questions = [dns_wire.question(name)]
        answer = dns_wire.message(questions, [dns_wire.address(address)])
        asked = DnsMessage(
            PROCESS, SECOND, 9, netns, Direction.WRITE, False, 0, 0, dns_wire.message(questions)
        )
        answered = msgspec.structs.replace(asked, direction=Direction.READ, data=answer)
        self.names.feed_dns(asked)
        for learned, text in self.names.feed_dns(answered):
            self.flows.learned_address(netns, learned, text)


def actions(told: list[Told]) -> list[NetworkAction]:
    found = [one.action for one in told]
    assert all(isinstance(action, NetworkAction) for action in found)
    return [action for action in found if isinstance(action, NetworkAction)]


def operations(told: list[Told]) -> list[str]:
    return [action.operation for action in actions(told)]


def test_a_flow_to_nobody_of_interest_is_not_told() -> None:
    host = Host()
    host.resolve("www.example.com", OPENAI)
    assert host.flows.feed(flow()) == []
    assert host.flows.feed(flow(CLOSE, time_ns=9 * SECOND)) == []
    assert host.kernel.addresses == []


def test_all_flows_are_told_when_all_are_asked_for() -> None:
    host = Host("all")
    told = host.flows.feed(flow())
    told += host.flows.feed(flow(CLOSE, time_ns=9 * SECOND, bytes_sent=11, bytes_received=12))
    assert operations(told) == ["connect", "close"]
    assert [one.time_ns for one in told] == [3 * SECOND, 9 * SECOND]
    assert [action.duration for action in actions(told)] == [1.0, 7.0]
    assert (actions(told)[-1].bytes_sent, actions(told)[-1].bytes_received) == (11, 12)


def test_an_event_says_who_and_between_which_ends() -> None:
    (told,) = Host("all").flows.feed(flow())
    assert told.key == PROCESS
    assert (told.process.pid, told.process.name, told.process.uid) == (7, "python3", 1000)
    assert told.connection is not None
    assert (told.connection.socket, told.connection.transport) == ("5", "tcp")
    assert (told.connection.src_ip, told.connection.src_port) == ("192.0.2.9", 40000)
    assert (told.connection.dst_ip, told.connection.dst_port) == (OPENAI, 443)


def test_none_are_told_when_none_are_asked_for() -> None:
    host = Host("none")
    assert host.flows.feed(flow(agent=True)) == []
    assert host.hello(hello()) == []


def test_flows_of_processes_that_were_not_selected_are_not_told() -> None:
    host = Host("all", selected=lambda flow: flow.key.pid == 1)
    assert host.flows.feed(flow()) == []


def test_a_flow_of_an_agent_is_told_wherever_it_goes() -> None:
    told = Host().flows.feed(flow(agent=True))
    (action,) = actions(told)
    assert (action.operation, action.provider, action.name) == ("connect", None, None)
    assert action.attribution == "opener"


def test_a_process_that_only_looked_like_an_agents_is_none() -> None:
    host = Host(of_agent=lambda process: process == ProcessKey(1, 1))
    assert host.flows.feed(flow(agent=True)) == []


def test_an_address_that_dns_gave_for_a_provider_is_wanted_and_names_the_flow() -> None:
    host = Host()
    host.resolve("api.openai.com", OPENAI)
    assert host.kernel.addresses == [(1, mapped(OPENAI))]
    (action,) = actions(host.flows.feed(flow()))
    assert (action.provider, action.name) == ("openai", "api.openai.com")
    assert action.name_source == "dns"


def test_an_answer_in_another_network_namespace_names_nothing() -> None:
    host = Host()
    host.resolve("api.openai.com", OPENAI, netns=2)
    assert host.flows.feed(flow()) == []


@pytest.mark.parametrize(
    ("names", "provider", "told"),
    [
        (("api.openai.com", "www.example.com"), None, 0),
        (("api.openai.com", "api.anthropic.com"), None, 0),
        (("api.openai.com", "eu.api.openai.com"), "openai", 1),
    ],
)
def test_an_address_with_several_names_has_a_provider_only_if_all_have_the_same(
    names: tuple[str, ...], provider: str | None, told: int
) -> None:
    host = Host()
    for name in names:
        host.resolve(name, OPENAI)
    found = actions(host.flows.feed(flow()))
    assert [(action.provider, action.name) for action in found] == [(provider, None)] * told


def test_a_client_that_was_accepted_is_not_named_by_dns() -> None:
    host = Host()
    host.resolve("api.openai.com", OPENAI)
    assert host.flows.feed(flow(ACCEPT, role=ACCEPT)) == []


def test_a_hello_to_a_provider_has_the_kernel_asked_and_the_flow_told() -> None:
    host = Host()
    host.kernel.known[5] = flow(LOOK)
    (told,) = host.hello(hello())
    (action,) = actions([told])
    assert (action.operation, action.provider) == ("connect", "openai")
    assert (action.name, action.name_source) == ("api.openai.com", "client_hello")
    assert told.time_ns == 3 * SECOND
    assert host.kernel.wanted == [5]
    assert operations(host.flows.feed(flow(CLOSE))) == ["close"]


def test_a_hello_to_somebody_else_asks_the_kernel_nothing() -> None:
    host = Host()
    host.kernel.known[5] = flow(LOOK)
    for said in (hello("www.example.com"), hello(None), hello(ech=True)):
        assert host.hello(said) == []
    assert host.kernel.wanted == []


def test_the_hello_wins_over_dns_since_it_is_of_this_very_connection() -> None:
    host = Host()
    host.resolve("api.openai.com", OPENAI)
    host.names.hellos[5] = hello("www.example.com")
    assert host.flows.feed(flow()) == []


def test_a_flow_that_closed_before_it_was_asked_for_is_told_whole() -> None:
    host = Host()
    host.kernel.known[5] = flow(LOOK_CLOSED, time_ns=9 * SECOND, bytes_sent=3)
    told = host.hello(hello())
    assert operations(told) == ["connect", "close"]
    assert [one.time_ns for one in told] == [3 * SECOND, 9 * SECOND]


def test_a_connect_that_failed_is_told_with_its_error_and_nothing_follows() -> None:
    host = Host("all")
    told = host.flows.feed(flow(error=111, established_ns=0, local_port=0))
    (action,) = actions(told)
    assert (action.operation, action.error) == ("connect", "ECONNREFUSED")
    assert told[0].connection is not None
    assert told[0].connection.src_port is None
    assert host.flows.feed(flow(CLOSE, error=111)) == []


def test_an_answer_is_told_when_the_record_that_asked_is_done_with() -> None:
    live, replayed = Host(), Host()
    live.kernel.known[5] = flow(LOOK)
    told = live.hello(hello())
    assert replayed.flows.feed(flow(LOOK)) == []
    assert replayed.hello(hello()) == told != []


def test_a_tls_connection_finds_its_flow_by_the_random_of_its_hello() -> None:
    host = Host()
    host.kernel.known |= {5: flow(LOOK), 6: flow(LOOK, cookie=6, local_port=40001)}
    other = bytes(32)
    host.hello(hello("gateway.example"))
    host.names.hellos[6] = hello("gateway.example", cookie=6)
    host.flows.learn_random(6, other)
    found = [host.flows.of_random(random) for random in (RANDOM, other, b"x" * 32)]
    assert [one.cookie if one else None for one in found] == [5, 6, None]
    assert host.flows.hello_of(RANDOM) == host.names.hellos[5]
    assert host.flows.hello_of(b"x" * 32) is None


def test_a_flow_on_which_an_ai_action_was_seen_is_told_whoever_serves_it() -> None:
    host = Host()
    host.kernel.known[5] = flow(LOOK, bytes_sent=9)
    host.hello(hello("gateway.example"))
    seen = host.flows.carrying(RANDOM, "gateway.example")
    assert seen is not None
    assert seen.bytes_sent == 9
    (action,) = actions(host.flows.drain())
    assert (action.name, action.provider) == ("gateway.example", None)
    assert host.kernel.wanted == [5]


def test_a_tls_connection_without_a_random_is_on_the_only_open_flow_to_its_host() -> None:
    host = Host()
    host.kernel.known[5] = flow(LOOK)
    host.hello(hello())
    found = host.flows.carrying_alone(FLOW.key, "api.openai.com")
    assert found is not None
    assert found.cookie == 5
    assert host.flows.carrying_alone(FLOW.key, "api.anthropic.com") is None
    assert host.flows.carrying_alone(FLOW.key, None) is None
    assert host.flows.carrying_alone(FLOW.key._replace(pid=1), "api.openai.com") is None
    host.names.hellos[6] = hello(cookie=6)
    host.flows.feed(flow(cookie=6))
    assert host.flows.carrying_alone(FLOW.key, "api.openai.com") is None


def test_with_ech_the_name_is_the_librarys() -> None:
    host = Host()
    host.kernel.known[5] = flow(LOOK)
    host.hello(hello("front.example", ech=True))
    host.flows.carrying(RANDOM, "api.openai.com")
    (action,) = actions(host.flows.drain())
    assert (action.name, action.name_source) == ("api.openai.com", "sni")
    assert action.provider == "openai"


def test_an_event_that_comes_after_the_end_still_finds_its_flow() -> None:
    host = Host("all")
    host.flows.feed(flow())
    host.hello(hello())
    host.flows.feed(flow(CLOSE, bytes_sent=4))
    seen = host.flows.carrying(RANDOM, None)
    assert seen is not None
    assert seen.bytes_sent == 4
    assert host.flows.drain() == []


def test_an_open_flow_is_told_again_when_it_moved_something() -> None:
    host = Host("all")
    host.flows.feed(flow())
    now_ns = FLOW.time_ns + UPDATE_NS
    assert host.flows.expire(now_ns - 1) == []
    host.kernel.known[5] = flow(LOOK, time_ns=now_ns, bytes_sent=100)
    (action,) = actions(host.flows.expire(now_ns))
    assert (action.operation, action.bytes_sent) == ("update", 100)
    assert host.flows.expire(now_ns + UPDATE_NS) == []


def test_a_flow_that_was_open_before_is_told_as_joined_late_and_without_a_duration() -> None:
    host = Host("all")
    late = {"opened_ns": 0, "established_ns": 0, "role": None, "owner": FlowOwner.HOLDER}
    (action,) = actions(host.flows.feed(flow(CLOSE, bytes_sent=1, **late)))
    assert (action.operation, action.joined_late) == ("close", True)
    assert (action.duration, action.attribution) == (None, "holder")


def test_open_flows_are_bounded_and_what_is_dropped_is_counted() -> None:
    host = Host("all", limits=Limits(flows=2, ended=2, randoms=2))
    for cookie in range(10):
        host.flows.feed(flow(cookie=cookie))
    assert host.flows.forgotten == 8


def test_processes_are_told_of_so_that_they_are_looked_at_in_time() -> None:
    host = Host("all")
    host.flows.feed(flow())
    assert host.started == [PROCESS]


@pytest.mark.parametrize("network", ["all", "ai", "none"])
def test_a_connection_that_was_refused_is_told_each_time_and_not_remembered(
    network: Network,
) -> None:
    host = Host(network)
    host.resolve("api.openai.com", OPENAI)
    refused = flow(FlowOperation.REFUSED, error=1, local=bytes(16), local_port=0)
    told = [one for _ in range(2) for one in host.flows.feed(refused)]
    for one in told:
        assert isinstance(one.action, NetworkAction)
        assert (one.action.operation, one.action.error) == ("connect", "EPERM")
        assert (one.action.provider, one.action.name) == ("openai", "api.openai.com")
        assert one.connection is not None
        assert (one.connection.src_ip, one.connection.src_port) == (None, None)
        assert (one.connection.dst_ip, one.connection.dst_port) == (OPENAI, 443)
    assert len(told) == 2
    assert host.started == [PROCESS, PROCESS]
    # The same socket may connect elsewhere.
    assert host.flows.known(refused.cookie) is None


def test_a_refused_connection_of_others_is_not_told() -> None:
    host = Host("all", selected=lambda flow: False)
    assert host.flows.feed(flow(FlowOperation.REFUSED, error=1)) == []


def test_a_novel_flow_is_told_with_its_opening_whoever_has_it() -> None:
    host = Host()
    host.kernel.known[5] = flow(LOOK, bytes_sent=10, bytes_received=20)

    told = host.flows.novel(5)

    assert operations(told) == ["connect", "novel"]
    assert actions(told)[1].bytes_received == 20
    assert host.kernel.wanted == [5]
    # Its end is told, too, as those of flows that carry AI.
    assert operations(host.flows.feed(flow(CLOSE))) == ["close"]


def test_a_flow_whose_host_is_a_providers_is_not_novel() -> None:
    host = Host()
    host.kernel.known[5] = flow(LOOK)
    host.hello(hello())

    assert host.flows.novel(5) == []


@pytest.mark.parametrize(
    "host", [Host("none"), Host(selected=lambda flow: False)], ids=["no flows", "not selected"]
)
def test_what_was_not_asked_for_is_not_novel(host: Host) -> None:
    host.kernel.known[5] = flow(LOOK)

    assert host.flows.novel(5) == []


def test_a_flow_that_nobody_knows_any_more_is_not_told_as_novel() -> None:
    assert Host().flows.novel(5) == []


# QUIC


SECOND_FLOW = 5 + (1 << 48)


def quic(operation: FlowOperation = CONNECT, **changes: object) -> Flow:
    return flow(operation, **({"transport": 17, "established_ns": 0} | changes))


def test_a_flow_of_quic_is_told_when_its_first_datagram_was_sent() -> None:
    host = Host()
    host.names.hellos[5] = hello()
    (told,) = host.flows.feed(quic())
    (action,) = actions([told])
    assert (action.operation, action.provider) == ("connect", "openai")
    assert (action.name, action.name_source) == ("api.openai.com", "client_hello")
    assert told.time_ns == 2 * SECOND
    assert told.connection is not None
    assert told.connection.transport == "udp"


def test_the_end_of_its_socket_is_the_end_of_each_flow_with_its_own_counts() -> None:
    host = Host("all")
    other = quic(cookie=SECOND_FLOW, remote=mapped(OTHER))
    assert operations(host.flows.feed(quic()) + host.flows.feed(other)) == ["connect"] * 2
    host.kernel.datagrams = {
        5: quic(LOOK, bytes_sent=1200),
        SECOND_FLOW: quic(
            LOOK, cookie=SECOND_FLOW, remote=mapped(OTHER), bytes_sent=1300, bytes_received=9
        ),
    }
    told = host.flows.feed(quic(CLOSE, time_ns=9 * SECOND, bytes_sent=1200))
    assert operations(told) == ["close", "close"]
    assert [one.time_ns for one in told] == [9 * SECOND] * 2
    assert [(one.bytes_sent, one.bytes_received) for one in actions(told)] == [
        (1200, 0),
        (1300, 9),
    ]


def test_a_udp_socket_that_closes_and_was_no_client_is_not_told() -> None:
    assert Host("all").flows.feed(quic(CLOSE, agent=True)) == []


def test_what_moved_on_quic_is_told_from_time_to_time() -> None:
    host = Host("all")
    host.flows.feed(quic())
    host.kernel.datagrams[5] = quic(LOOK, bytes_sent=5000)
    assert operations(host.flows.expire(3 * SECOND + UPDATE_NS)) == ["update"]


def test_what_is_read_of_a_process_is_never_on_its_quic() -> None:
    host = Host()
    host.names.hellos[5] = hello()
    host.flows.feed(quic())
    assert host.flows.carrying_alone(PROCESS, "api.openai.com") is None
