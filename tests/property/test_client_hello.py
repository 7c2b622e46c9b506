from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.client_hello import ClientHello, ClientHelloReader
from busted.protocols.host_name import read_host_name
from tests.hello_wire import message, protocols, records, server_name, versions
from tests.property.chunks import cuts

EXTENSIONS = [
    server_name(b"a.example"),
    server_name(b"192.0.2.1"),
    protocols(b"h2", b"\x1a\x1a"),
    versions(0x2A2A, 0x0304),
    (0xFE0D, b"\0" * 20),
    (51, bytes(300)),
]
hellos = st.lists(st.sampled_from(EXTENSIONS), max_size=6).map(lambda found: message(*found))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Hellos in records of any size, some bytes wrong, and something behind them."""
    raw = bytearray(records(draw(hellos), draw(st.integers(1, 600))))
    for place in draw(st.lists(st.integers(0, len(raw) - 1), max_size=2)):
        raw[place] = draw(st.integers(0, 255))
    return bytes(raw) + draw(st.binary(max_size=20))


def parse(pieces: list[bytes], limit: int) -> tuple[ClientHello | None, bool]:
    reader = ClientHelloReader(limit)
    found = [hello for piece in pieces if (hello := reader.feed(piece))]
    assert len(found) <= 1
    return (found[0] if found else reader.close()), reader.done


@given(cuts(streams() | st.binary(max_size=60)), st.integers(1, 400))
def test_cuts_do_not_matter(pieces: list[bytes], limit: int) -> None:
    """However the stream is sliced, the same hello comes out, and nothing raises."""
    whole = b"".join(pieces)
    expected = parse([whole], limit)

    assert parse(pieces, limit) == expected
    assert parse([whole[i : i + 1] for i in range(len(whole))], limit) == expected
    hello, _ = expected
    if hello is not None and hello.sni is not None:
        assert read_host_name(hello.sni.encode()) == hello.sni


@given(cuts(streams()), st.integers(1, 400))
def test_no_more_is_kept_than_the_limit_and_a_piece(pieces: list[bytes], limit: int) -> None:
    reader = ClientHelloReader(limit)
    for piece in pieces:
        reader.feed(piece)
        assert len(reader._message) + len(reader._held) <= limit + 5 + len(piece)
