"""What is learned from records, by address and by connection."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from busted.agent.names import GRACE_NS, MAX_ALIASES, MAX_TTL_SECONDS, Limits, Names
from busted.records import ClientHello, Direction, DnsMessage, ProcessKey, QuicInitial
from tests import quic_wire
from tests.dns_wire import (
    CNAME,
    HTTPS,
    address,
    message,
    name,
    over_tcp,
    question,
    record,
    service,
)
from tests.hello_wire import RANDOM, records, server_name
from tests.hello_wire import message as hello_message
from tests.unit.agent.test_flows import FLOW

SECOND = 1_000_000_000
PROCESS = ProcessKey(7, 70)
OPENAI = "api.openai.com"


def dns(
    data: bytes,
    direction: Direction = Direction.READ,
    *,
    at: int = 0,
    cookie: int = 1,
    netns: int = 1,
    position: int | None = None,
) -> DnsMessage:
    """A record; with a position, of a piece of a TCP stream."""
    over_tcp = position is not None
    return DnsMessage(
        PROCESS, at, cookie, netns, direction, over_tcp, position or 0, len(data), data
    )


def ask(
    names: Names, host: str, *answers: bytes, at: int = 0, cookie: int = 1, netns: int = 1
) -> None:
    """A question and its answer."""
    asked = question(host)
    names.feed_dns(dns(message([asked]), Direction.WRITE, at=at, cookie=cookie, netns=netns))
    names.feed_dns(dns(message([asked], list(answers)), at=at, cookie=cookie, netns=netns))


def test_an_address_has_the_name_that_was_asked_for() -> None:
    names = Names()
    ask(names, OPENAI, address("192.0.2.1"), address("2001:db8::1"))
    assert names.of_address(1, "192.0.2.1", 0) == (OPENAI,)
    assert names.of_address(1, "2001:DB8:0::1", 0) == (OPENAI,)
    assert names.of_address(1, "::ffff:192.0.2.1", 0) == (OPENAI,)
    assert names.of_address(1, "192.0.2.2", 0) == ()
    assert names.of_address(1, "no address", 0) == ()
    assert names.addresses(1, OPENAI, 0) == ("2001:db8::1", "192.0.2.1")


def test_aliases_lead_back_to_the_name_that_was_asked_for() -> None:
    names = Names()
    ask(
        names,
        OPENAI,
        record(CNAME, name("a.cdn.example")),
        record(CNAME, name("b.cdn.example"), name("a.cdn.example")),
        address("192.0.2.1", name("b.cdn.example")),
        address("192.0.2.2", name("elsewhere.example")),
    )
    assert names.of_address(1, "192.0.2.1", 0) == (OPENAI,)
    assert names.of_address(1, "192.0.2.2", 0) == ()


def test_aliases_in_a_circle_are_survived() -> None:
    names = Names()
    circle = [record(CNAME, name(OPENAI), name("a.example")), record(CNAME, name("a.example"))]
    ask(names, OPENAI, *circle, address("192.0.2.1"))
    assert names.of_address(1, "192.0.2.1", 0) == (OPENAI,)


@pytest.mark.parametrize(("links", "is_known"), [(MAX_ALIASES, True), (MAX_ALIASES + 1, False)])
def test_aliases_are_followed_to_a_limit(links: int, is_known: bool) -> None:
    names = Names()
    hosts = [f"{i}.example.org" for i in range(links + 1)]
    aliases = [record(CNAME, name(to), name(of)) for of, to in pairwise(hosts)]
    ask(names, hosts[0], *aliases, address("192.0.2.9", name(hosts[-1])))
    assert names.of_address(1, "192.0.2.9", 0) == ((hosts[0],) if is_known else ())


def test_hints_of_an_https_record_are_addresses_of_the_name() -> None:
    names = Names()
    asked = question(OPENAI, HTTPS)
    names.feed_dns(dns(message([asked]), Direction.WRITE))
    names.feed_dns(
        dns(
            message(
                [asked],
                [
                    service({}, target="svc.example", priority=0),
                    service({4: bytes([192, 0, 2, 5])}, owner=name("svc.example")),
                ],
            )
        )
    )
    assert names.of_address(1, "192.0.2.5", 0) == (OPENAI,)


def test_a_name_holds_for_its_time_to_live_and_a_grace() -> None:
    names = Names()
    ask(names, OPENAI, address("192.0.2.1", ttl=30), at=100 * SECOND)
    end = 130 * SECOND + GRACE_NS
    assert names.of_address(1, "192.0.2.1", 100 * SECOND) == (OPENAI,)
    assert names.of_address(1, "192.0.2.1", end) == (OPENAI,)
    assert names.of_address(1, "192.0.2.1", end + 1) == ()
    # A connection that was there before the answer did not come from it.
    assert names.of_address(1, "192.0.2.1", 100 * SECOND - 1) == ()


def test_an_alias_bounds_the_time_of_what_it_leads_to() -> None:
    names = Names()
    alias = record(CNAME, name("a.example"), ttl=10)
    ask(names, OPENAI, alias, address("192.0.2.1", name("a.example"), ttl=300))
    assert names.of_address(1, "192.0.2.1", 10 * SECOND + GRACE_NS + 1) == ()


def test_a_time_to_live_of_years_counts_as_a_day() -> None:
    names = Names()
    ask(names, OPENAI, address("192.0.2.1", ttl=(1 << 31) - 1))
    assert names.of_address(1, "192.0.2.1", MAX_TTL_SECONDS * SECOND + GRACE_NS + 1) == ()


def test_an_answer_that_comes_again_extends_the_time_and_keeps_its_start() -> None:
    names = Names()
    ask(names, OPENAI, address("192.0.2.1", ttl=60), at=0)
    ask(names, OPENAI, address("192.0.2.1", ttl=60), at=50 * SECOND)
    assert names.of_address(1, "192.0.2.1", 10 * SECOND) == (OPENAI,)
    assert names.of_address(1, "192.0.2.1", 110 * SECOND + GRACE_NS) == (OPENAI,)
    # Much later it is another time, and what lay between is not known.
    later = 10 * GRACE_NS
    ask(names, OPENAI, address("192.0.2.1", ttl=60), at=later)
    assert names.of_address(1, "192.0.2.1", later - 1) == ()


def test_hosts_behind_one_front_are_all_told_the_last_learned_first() -> None:
    names = Names()
    ask(names, OPENAI, address("192.0.2.1"))
    ask(names, "api.anthropic.com", address("192.0.2.1"))
    assert names.of_address(1, "192.0.2.1", 0) == ("api.anthropic.com", OPENAI)
    ask(names, OPENAI, address("192.0.2.1"))
    assert names.of_address(1, "192.0.2.1", 0) == (OPENAI, "api.anthropic.com")


def test_each_network_namespace_has_its_own_names() -> None:
    names = Names()
    ask(names, "a.example", address("192.0.2.1"), netns=1)
    ask(names, "b.example", address("192.0.2.1"), netns=2)
    assert names.of_address(1, "192.0.2.1", 0) == ("a.example",)
    assert names.of_address(2, "192.0.2.1", 0) == ("b.example",)
    assert names.of_address(3, "192.0.2.1", 0) == ()


@pytest.mark.parametrize(
    "answer",
    [
        dns(message([question(OPENAI)], [address("192.0.2.1")], id=8)),
        dns(message([question("a.example")], [address("192.0.2.1")])),
        dns(message([question(OPENAI)], [address("192.0.2.1")]), cookie=2),
        dns(message([question(OPENAI)], [address("192.0.2.1")]), Direction.WRITE),
        dns(message([question(OPENAI)], [address("192.0.2.1")], flags=0x8380)),
        dns(message([question(OPENAI)], [address("192.0.2.1")], flags=0x0180)),
        dns(b""),
    ],
    ids=["id", "name", "socket", "sent", "truncated", "no response", "empty"],
)
def test_an_answer_that_was_not_asked_for_is_not_believed(answer: DnsMessage) -> None:
    names = Names()
    names.feed_dns(dns(message([question(OPENAI)]), Direction.WRITE))
    names.feed_dns(answer)
    assert names.of_address(1, "192.0.2.1", 0) == ()


def test_a_question_is_answered_once() -> None:
    names = Names()
    ask(names, OPENAI, address("192.0.2.1"))
    names.feed_dns(dns(message([question(OPENAI)], [address("192.0.2.2")])))
    assert names.of_address(1, "192.0.2.2", 0) == ()


def test_random_case_of_a_question_does_not_matter() -> None:
    names = Names()
    names.feed_dns(dns(message([question("aPi.OpenAI.cOm")]), Direction.WRITE))
    names.feed_dns(dns(message([question("APi.OpenAI.cOm")], [address("192.0.2.1")])))
    assert names.of_address(1, "192.0.2.1", 0) == (OPENAI,)


def test_dns_over_tcp_is_read_from_pieces_also_when_some_come_twice() -> None:
    names = Names()
    asked = over_tcp(message([question(OPENAI)]))
    answer = over_tcp(message([question(OPENAI)], [address("192.0.2.1")]))
    names.feed_dns(dns(asked[:2], Direction.WRITE, position=0))
    names.feed_dns(dns(asked, Direction.WRITE, position=0))
    for position in range(len(answer)):
        names.feed_dns(dns(answer[position : position + 2], position=position))
    assert names.of_address(1, "192.0.2.1", 0) == (OPENAI,)
    assert not names.lost


def test_a_gap_in_dns_over_tcp_is_counted_and_nothing_is_made_up() -> None:
    names = Names()
    answer = over_tcp(message([question(OPENAI)], [address("192.0.2.1")]))
    names.feed_dns(dns(over_tcp(message([question(OPENAI)])), Direction.WRITE, position=0))
    names.feed_dns(dns(answer[3:], position=3))
    assert names.of_address(1, "192.0.2.1", 0) == ()
    assert names.lost == {"dns_pieces": 1}


def test_tables_are_bounded_and_forget_what_was_learned_longest_ago() -> None:
    names = Names(Limits(addresses=2, names_of_address=2, questions=1, unfinished=1))
    for i in range(5):
        ask(names, f"{i}.example", address("192.0.2.1"), address(f"192.0.2.{i + 10}"))
    assert names.of_address(1, "192.0.2.1", 0) == ("4.example", "3.example")
    assert names.of_address(1, "192.0.2.10", 0) == ()
    assert names.of_address(1, "192.0.2.14", 0) == ("4.example",)
    for cookie in range(3):
        names.feed_dns(dns(message([question(OPENAI)]), Direction.WRITE, cookie=cookie))
        names.feed_dns(dns(b"\0", position=0, cookie=cookie))
    assert max(len(names._asked), len(names._streams)) == 1
    names.feed_dns(dns(message([question(OPENAI)], [address("192.0.2.7")]), cookie=1))
    assert names.of_address(1, "192.0.2.7", 0) == ()


# ClientHello


def piece(data: bytes, position: int = 0, total: int = 8192, cookie: int = 1) -> ClientHello:
    return ClientHello(PROCESS, 9, cookie, 3, position, total, data)


def wire(host: bytes = b"a.example") -> bytes:
    return records(hello_message(server_name(host)))


def test_a_hello_names_its_connection() -> None:
    names = Names()
    hello = names.hello(piece(wire(), total=len(wire())))
    assert hello is not None
    assert (hello.cookie, hello.netns, hello.key, hello.time_ns) == (1, 3, PROCESS, 9)
    assert (hello.random, hello.sni, hello.ech) == (RANDOM, "a.example", False)
    assert names.of_socket(1) == hello
    assert names.of_socket(2) is None


def test_hellos_in_pieces_of_two_connections_do_not_mix() -> None:
    names, found = Names(), []
    one, two = wire(b"one.example"), wire(b"two.example")
    for position, (first, second) in enumerate(zip(one, two, strict=True)):
        found.append(names.hello(piece(bytes([first]), position, cookie=1)))
        found.append(names.hello(piece(bytes([second]), position, cookie=2)))
    assert [hello.sni for hello in found if hello] == ["one.example", "two.example"]


def test_a_piece_that_is_missing_gives_the_hello_up_and_is_counted() -> None:
    names = Names()
    assert names.hello(piece(wire()[:20])) is None
    assert names.hello(piece(wire()[30:], 30)) is None
    assert names.lost == {"hello_pieces": 1}
    assert names.of_socket(1) is None


def test_a_piece_that_comes_twice_counts_once() -> None:
    names = Names()
    names.hello(piece(wire()[:20]))
    names.hello(piece(wire()[:20]))
    hello = names.hello(piece(wire()[10:], 10))
    assert hello is not None
    assert hello.sni == "a.example"


def test_what_follows_the_hello_is_not_read() -> None:
    names = Names()
    hello = names.hello(piece(wire()))
    assert names.hello(piece(b"\x17\x03\x03", len(wire()))) is None
    assert names.hello(piece(wire(b"b.example"))) is None
    assert names.of_socket(1) == hello
    assert not names.lost


def test_the_end_of_what_is_sent_gives_what_was_seen() -> None:
    names = Names()
    whole = records(hello_message(server_name(b"a.example"), (51, bytes(9000))))
    assert names.hello(piece(whole[:4096], 0)) is None
    hello = names.hello(piece(whole[4096:8192], 4096))
    assert hello is not None
    assert hello.sni == "a.example"


def test_what_is_no_hello_is_forgotten() -> None:
    names = Names()
    assert names.hello(piece(b"\x16\x03\x01\0\x05\x02")) is None
    assert names._readers == {}


def test_unfinished_and_finished_hellos_are_bounded() -> None:
    names = Names(Limits(hellos=2, unfinished=2))
    for cookie in range(3):
        names.hello(piece(wire()[:20], cookie=cookie))
    assert names.lost == {"hello_pieces": 1}
    for cookie in range(10, 13):
        names.hello(piece(wire(), cookie=cookie))
    assert [names.of_socket(cookie) is None for cookie in (10, 11, 12)] == [True, False, False]


# QUIC


def initial(data: bytes, cookie: int = 5) -> QuicInitial:
    return QuicInitial(msgspec.structs.replace(FLOW, cookie=cookie, transport=17), len(data), data)


QUIC_HELLO = hello_message(server_name(OPENAI.encode()), (51, bytes(1216)))


def test_a_hello_of_quic_in_two_datagrams_names_its_flow() -> None:
    names = Names()
    first, second = quic_wire.datagrams(QUIC_HELLO, 2)
    assert not names.is_quic(5)
    assert names.quic_hello(initial(second)) is None
    assert names.is_quic(5)
    hello = names.quic_hello(initial(first))
    assert hello is not None
    assert (hello.cookie, hello.netns, hello.key) == (5, FLOW.netns, FLOW.key)
    assert (hello.random, hello.sni) == (RANDOM, OPENAI)
    assert names.of_socket(5) == hello
    assert names.quic_hello(initial(first)) is None
    assert names.is_quic(5)


def test_what_only_looks_like_quic_is_none() -> None:
    names = Names()
    assert names.quic_hello(initial(quic_wire.EXAMPLE_SERVER)) is None
    assert not names.is_quic(5)
    assert not names._quic


def test_no_more_unfinished_hellos_of_quic_are_kept_than_the_limit() -> None:
    names = Names(Limits(unfinished=2))
    first, second = quic_wire.datagrams(QUIC_HELLO, 2)
    for cookie in range(3):
        assert names.quic_hello(initial(first, cookie)) is None
    assert names.lost == {"hello_pieces": 1}
    assert names.quic_hello(initial(second, 2)) is not None
