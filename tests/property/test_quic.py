from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.host_name import read_host_name
from busted.protocols.quic import MAX_PIECES, QuicReader
from tests.hello_wire import message, protocols, server_name
from tests.quic_wire import (
    EXAMPLE_1,
    EXAMPLE_2,
    EXAMPLE_SERVER,
    VERSION_1,
    VERSION_2,
    crypto,
    packet,
)

HELLO = message(server_name(b"a.example"), protocols(b"h3"), (51, bytes(700)))
frames = st.one_of(
    st.builds(crypto, st.integers(0, 1 << 20), st.binary(max_size=300)),
    st.integers(0, 900).map(lambda offset: crypto(offset, HELLO[offset : offset + 400])),
    st.sampled_from([b"\0", b"\1", b"\2\5\0\0\0", b"\3\5\0\1\0\0\1\0\0\0"]),
    st.binary(max_size=20),
)
payloads = st.lists(frames, max_size=8).map(lambda found: b"".join(found)[:1100])
packets = st.builds(
    lambda payload, version, number: packet(payload, version=version, packet_number=number),
    payloads,
    st.sampled_from([VERSION_1, VERSION_2]),
    st.integers(0, 255),
)


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Datagrams cut, with some bytes wrong, and what is none at all."""
    known = st.sampled_from([EXAMPLE_1, EXAMPLE_2, EXAMPLE_SERVER])
    raw = bytearray(draw(packets | known | st.binary(max_size=1300)))
    for place in draw(st.lists(st.integers(0, max(0, len(raw) - 1)), max_size=3)):
        raw[place : place + 1] = bytes([draw(st.integers(0, 255))])
    return bytes(raw[: draw(st.integers(0, len(raw)))]) + draw(st.binary(max_size=40))


@given(st.lists(packets | hostile(), max_size=6), st.integers(4, 2000))
def test_nothing_raises_and_no_more_is_kept_than_the_limits(
    datagrams: list[bytes], limit: int
) -> None:
    reader = QuicReader(limit)
    found = [hello for datagram in datagrams if (hello := reader.feed(datagram))]
    assert len(found) <= 1
    assert len(reader._pieces) <= MAX_PIECES
    assert all(offset + len(piece) <= limit for offset, piece in reader._pieces.items())
    for hello in found:
        assert reader.begun
        assert hello.sni is None or read_host_name(hello.sni.encode()) == hello.sni


@given(st.permutations(range(6)), st.lists(st.integers(0, len(HELLO)), min_size=5, max_size=5))
def test_however_a_hello_is_cut_and_in_whatever_order_it_comes_it_is_the_same(
    order: list[int], cuts: list[int]
) -> None:
    ends = [0, *sorted(cuts), len(HELLO)]
    pieces = [(start, HELLO[start:end]) for start, end in pairwise(ends)]
    reader = QuicReader()
    for place in order:
        reader.feed(packet(crypto(*pieces[place]), packet_number=place))
    assert reader.hello is not None
    assert (reader.hello.sni, reader.hello.alpn) == ("a.example", ("h3",))
