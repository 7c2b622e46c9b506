from __future__ import annotations

import pytest

from busted.protocols.client_hello import ClientHello
from busted.protocols.quic import MAX_PIECES, QuicReader
from tests import hello_wire
from tests.quic_wire import (
    EXAMPLE_1,
    EXAMPLE_2,
    EXAMPLE_HOST,
    EXAMPLE_SERVER,
    VERSION_1,
    VERSION_2,
    crypto,
    datagrams,
    packet,
)

HOST = "api.openai.com"
HELLO = hello_wire.message(
    hello_wire.server_name(HOST.encode()),
    hello_wire.protocols(b"h3"),
    hello_wire.versions(0x0304),
    # Keys of X25519MLKEM768.
    (51, bytes(1216)),
)
SAID = ClientHello(hello_wire.RANDOM, (0x0304,), HOST, ("h3",))


def read(*pieces: bytes) -> ClientHello | None:
    reader = QuicReader()
    found = [hello for piece in pieces if (hello := reader.feed(piece))]
    assert len(found) <= 1
    assert reader.hello == (found[0] if found else None)
    return reader.hello


@pytest.mark.parametrize("example", [EXAMPLE_1, EXAMPLE_2], ids=["RFC 9001", "RFC 9369"])
def test_the_example_of_the_rfc_is_read(example: bytes) -> None:
    hello = read(example)
    assert hello is not None
    assert (hello.sni, hello.alpn, hello.versions) == (EXAMPLE_HOST, ("alpn",), (0x0304,))
    assert hello.random.startswith(b"\xeb\xf8\xfaV")
    assert not hello.truncated


def test_what_a_server_answers_is_no_client() -> None:
    reader = QuicReader()
    assert reader.feed(EXAMPLE_SERVER) is None
    assert not reader.begun
    assert reader.feed(packet(crypto(0, HELLO[:900]), of=b"server in")) is None
    assert not reader.begun


@pytest.mark.parametrize("version", [VERSION_1, VERSION_2])
@pytest.mark.parametrize("pieces", [2, 3, 7])
def test_a_hello_in_several_datagrams_is_read_in_any_order(version: int, pieces: int) -> None:
    sent = datagrams(HELLO, pieces, version=version)
    assert len(sent) == pieces
    assert read(*sent) == SAID
    assert read(*reversed(sent)) == SAID


def test_two_datagrams_that_are_handed_over_as_one_are_read() -> None:
    assert read(b"".join(datagrams(HELLO, 2))) == SAID


def test_a_client_is_told_before_its_hello_is_whole() -> None:
    reader = QuicReader()
    assert reader.feed(datagrams(HELLO, 2)[1]) is None
    assert reader.begun


def test_what_is_sent_again_changes_nothing() -> None:
    first, second = datagrams(HELLO, 2)
    assert read(first, first, second, second) == SAID


def test_frames_that_overlap_and_come_in_any_order_are_put_together() -> None:
    # As Chromium does it: pieces of any size, with others between.
    frames = crypto(700, HELLO[700:800]) + b"\1\0\0" + crypto(0, HELLO[:300]) + b"\1"
    frames += crypto(200, HELLO[200:700])
    assert read(packet(frames), packet(crypto(760, HELLO[760:]), packet_number=1)) == SAID


def test_a_packet_number_of_four_bytes_and_a_token_are_read() -> None:
    first, second = HELLO[:800], HELLO[800:]
    options = {"token": b"retry" * 9, "source": b"12345678"}
    one = packet(crypto(0, first), packet_number=2, number_bytes=4, **options)  # type: ignore[arg-type]
    two = packet(crypto(800, second), packet_number=3, number_bytes=2, **options)  # type: ignore[arg-type]
    assert read(one, two) == SAID


def test_acknowledgements_are_passed_over() -> None:
    # RFC 9000 section 19.3: the largest, a delay, one range more, its first, a gap, a length; ECN.
    acknowledged = b"\3" + bytes([5, 0, 1, 0, 0, 1]) + bytes(3)
    assert read(packet(acknowledged + crypto(0, HELLO[:900])), *datagrams(HELLO, 2)[1:]) == SAID


def test_what_is_behind_a_frame_that_does_not_belong_is_not_read() -> None:
    stream = b"\x08\0"
    assert read(packet(stream + crypto(0, HELLO[:900])), packet(crypto(900, HELLO[900:]))) is None


@pytest.mark.parametrize("cut", [0, 1, 6, 20, 600, 1199])
def test_a_datagram_that_was_cut_says_nothing(cut: int) -> None:
    assert read(EXAMPLE_1[:cut]) is None


@pytest.mark.parametrize("place", [0, 4, 5, 7, 18, 40, 1199])
def test_a_datagram_that_was_changed_says_nothing(place: int) -> None:
    wrong = bytearray(EXAMPLE_1)
    wrong[place] ^= 0x80
    assert read(bytes(wrong)) is None


def test_no_more_pieces_are_kept_than_the_limit() -> None:
    reader = QuicReader(max_hello_bytes=400)
    for offset in range(1, 1000):
        reader.feed(packet(crypto(offset, b"x" * 300), packet_number=offset & 127))
    assert len(reader._pieces) <= MAX_PIECES
    assert all(offset + len(piece) <= 400 for offset, piece in reader._pieces.items())


def test_a_hello_over_the_limit_is_told_as_far_as_it_goes() -> None:
    reader = QuicReader(max_hello_bytes=200)
    hello = reader.feed(datagrams(HELLO, 2)[0])
    assert hello is not None
    assert hello.sni == HOST
    assert hello.truncated
