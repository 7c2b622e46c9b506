from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.dns import MAX_RECORDS, DnsMessage, DnsStream, read_message
from busted.protocols.host_name import read_host_name
from tests.dns_wire import CNAME, HTTPS, address, message, over_tcp, question, record, service
from tests.property.chunks import cuts

ANSWERS = [
    address("192.0.2.1"),
    address("2001:db8::1", b"\1b\xc0\x0c"),
    record(CNAME, b"\3cdn\xc0\x0e"),
    service({1: b"\2h2", 4: bytes(8), 5: b"ech"}, target="b.example"),
    record(HTTPS, b"\0\0\xc0\x0c"),
]
messages = st.lists(st.sampled_from(ANSWERS), max_size=6).map(
    lambda answers: message([question("a.example")], answers)
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(messages))
    for place in draw(st.lists(st.integers(0, len(raw) - 1), max_size=6)):
        raw[place] = draw(st.integers(0, 255))
    return bytes(raw[: draw(st.integers(0, len(raw)))])


def parse(pieces: list[bytes]) -> list[DnsMessage]:
    stream = DnsStream()
    return [found for piece in pieces for found in stream.feed(piece)]


@given(cuts(st.lists(messages | st.binary(max_size=20), max_size=4).map(lambda m: over_tcp(*m))))
def test_cuts_do_not_matter(pieces: list[bytes]) -> None:
    """However a connection is sliced, the same messages come out."""
    whole = b"".join(pieces)

    assert parse(pieces) == parse([whole])
    assert parse([whole[i : i + 1] for i in range(len(whole))]) == parse([whole])


@given(mutated() | st.binary(max_size=200))
def test_any_bytes_give_a_bounded_message_of_host_names_or_none(raw: bytes) -> None:
    found = read_message(raw)
    if found is None:
        return
    assert len(found.questions) + len(found.answers) <= MAX_RECORDS
    for entry in (*found.questions, *found.answers):
        assert read_host_name(entry.name.encode()) == entry.name


@given(st.binary(max_size=300))
def test_a_stream_keeps_no_more_than_one_message(raw: bytes) -> None:
    stream = DnsStream()
    for i in range(len(raw)):
        stream.feed(raw[i : i + 1])
        assert len(stream._held) < 2 + 65535
