from __future__ import annotations

import struct

import pytest

from busted.protocols import dns
from busted.protocols.dns import Address, Alias, DnsMessage, DnsStream, Question, Service
from tests.dns_wire import (
    AAAA,
    ASKED,
    CNAME,
    HTTPS,
    A,
    address,
    message,
    name,
    over_tcp,
    question,
    record,
    service,
)


def read(data: bytes) -> DnsMessage:
    found = dns.read_message(data)
    assert found is not None
    return found


def answers(*records: bytes) -> tuple[dns.Answer, ...]:
    return read(message([question("a.example")], list(records))).answers


def test_a_question_is_read() -> None:
    assert read(message([question("API.OpenAI.com", AAAA)], id=515)) == DnsMessage(
        515, False, 0, False, (Question("api.openai.com", AAAA),), ()
    )


def test_a_response_tells_its_addresses_with_their_ttl() -> None:
    data = message(
        [question("a.example")], [address("192.0.2.1", ttl=30), address("2001:db8::1", ttl=7)]
    )
    assert read(data) == DnsMessage(
        7,
        True,
        0,
        False,
        (Question("a.example", A),),
        (Address("a.example", "192.0.2.1", 30), Address("a.example", "2001:db8::1", 7)),
    )


def test_an_alias_is_told_with_its_target() -> None:
    # "b" and a pointer to "example", behind the "a" of the question.
    assert answers(record(CNAME, b"\1b\xc0\x0e")) == (Alias("a.example", "b.example", 60),)


def test_an_https_record_tells_protocols_hints_and_encrypted_hellos() -> None:
    one = service({1: b"\2h2\2h3", 4: bytes([192, 0, 2, 1, 192, 0, 2, 2]), 5: b"\0\1x"})
    two = service({6: bytes(15) + b"\1"}, target="svc.example", priority=2)
    assert answers(one, two, service({}, target="c.example", priority=0)) == (
        Service("a.example", "a.example", 60, 1, ("h2", "h3"), ("192.0.2.1", "192.0.2.2"), True),
        Service("a.example", "svc.example", 60, 2, (), ("::1",)),
        Service("a.example", "c.example", 60, 0),
    )


def test_codes_and_the_senders_truncation_are_told() -> None:
    found = read(message([question("a.example")], flags=0x8383))
    assert (found.is_response, found.code, found.truncated) == (True, 3, True)


def test_a_ttl_with_the_highest_bit_is_zero() -> None:
    found = answers(address("192.0.2.1", ttl=1 << 31), address("192.0.2.1", ttl=(1 << 31) - 1))
    assert [answer.ttl for answer in found] == [0, (1 << 31) - 1]


@pytest.mark.parametrize(
    "data",
    [
        message([question("a.example")], flags=0x2800),  # an update
        message([], flags=0x8180),
        message([question("a.example")])[:11],
        b"",
    ],
)
def test_what_is_no_query_is_not_read(data: bytes) -> None:
    assert dns.read_message(data) is None


def test_records_of_no_interest_are_passed_over() -> None:
    text = record(16, b"\3abc")
    chaos = record(A, b"\1\2\3\4", network=3)
    multicast = record(A, b"\1\2\3\4", network=0x8001)
    odd = record(A, b"\1\2\3")
    assert answers(text, chaos, multicast, odd, address("192.0.2.1")) == (
        Address("a.example", "192.0.2.1", 60),
    )


def test_the_authority_and_additional_sections_are_not_answers() -> None:
    data = message([question("a.example")], [address("192.0.2.1"), address("192.0.2.2")])
    moved = data[:6] + struct.pack(">3H", 1, 1, 0) + data[12:]
    assert read(moved).answers == (Address("a.example", "192.0.2.1", 60),)


@pytest.mark.parametrize("label", [b"api.openai", b"a b", b"a\0b", b"\xff"])
def test_a_name_that_is_no_host_name_is_passed_over(label: bytes) -> None:
    odd = bytes([len(label)]) + label + b"\3com\0"
    found = answers(record(A, b"\1\2\3\4", odd), record(CNAME, odd), address("192.0.2.1"))
    assert found == (Address("a.example", "192.0.2.1", 60),)
    assert read(message([odd + b"\0\1\0\1", question("b.example")])).questions == (
        Question("b.example", A),
    )


def test_every_cut_is_told_and_gives_what_stood_before() -> None:
    whole = message([question("a.example")], [address("192.0.2.1"), address("192.0.2.2")])
    expected = read(whole)
    for length in range(12, len(whole)):
        found = read(whole[:length])
        assert found.cut
        assert found.answers == expected.answers[: len(found.answers)]
        assert found.questions == expected.questions[: len(found.questions)]
    assert not expected.cut


@pytest.mark.parametrize(
    "owner",
    [
        b"\xc0\x1b",  # to itself
        b"\xc0\xff",  # forward
        b"\1x\xc0\x1b",  # a loop through a label
        b"\xc0",
        b"\x41" + b"x" * 65 + b"\0",
        b"\x80\0",
    ],
)
def test_a_name_that_leads_nowhere_ends_the_message(owner: bytes) -> None:
    assert len(message([question("a.example")])) == 0x1B
    found = read(message([question("a.example")], [address("192.0.2.1", owner)]))
    assert found.cut
    assert found.answers == ()


@pytest.mark.parametrize(("pointers", "cut"), [(dns.MAX_POINTERS, False), (200, True)])
def test_a_chain_of_pointers_is_followed_to_a_limit(pointers: int, cut: bool) -> None:
    # Each leads to the one before it, the first to the question's name.
    chain = ASKED + b"".join((0xC000 + 39 + 2 * i).to_bytes(2, "big") for i in range(pointers - 2))
    last = (0xC000 + 39 + len(chain) - 2).to_bytes(2, "big")
    data = message([question("a.example")], [record(16, chain), address("192.0.2.1", last)])
    assert data[39 : 39 + len(chain)] == chain
    assert read(data).cut == cut


def test_a_name_over_255_octets_ends_the_message() -> None:
    long = name(".".join(["a" * 63] * 4))
    assert read(message([question("a.example")], [address("192.0.2.1", long)])).cut


def test_more_records_than_the_limit_are_not_read_and_told() -> None:
    many = [address("192.0.2.1")] * (dns.MAX_RECORDS + 1)
    found = read(message([question("a.example")], many))
    assert found.cut
    assert len(found.answers) + len(found.questions) == dns.MAX_RECORDS


@pytest.mark.parametrize("kind", [CNAME, HTTPS])
@pytest.mark.parametrize("data", [b"", b"\0", b"\0\1", b"\0\1\xc0", b"\3ab", b"\0\1\0\0\1\0\xff"])
def test_odd_contents_of_a_record_never_raise(kind: int, data: bytes) -> None:
    found = read(message([question("a.example")], [record(kind, data)]))
    assert found.questions == (Question("a.example", A),)


def test_messages_over_tcp_come_out_when_they_are_whole() -> None:
    one, two = message([question("a.example")]), message([question("b.example")], id=8)
    stream, whole = DnsStream(), over_tcp(one, b"no", two)
    found = [part for byte in whole for part in stream.feed(bytes([byte]))]
    assert found == [read(one), read(two)]
    assert DnsStream().feed(whole) == found
