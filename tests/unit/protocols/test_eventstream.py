import zlib

import pytest

from busted.protocols.eventstream import EventStreamMessage, EventStreamParser, HeaderValue
from tests.eventstream_wire import header, message, text

Message = EventStreamMessage
CHUNK = text(":event-type", "chunk") + text(":content-type", "application/json")
CHUNK_HEADERS: dict[str, HeaderValue] = {
    ":event-type": "chunk",
    ":content-type": "application/json",
}


def parse(*steps: bytes | int, close: bool = False) -> list[Message]:
    parser = EventStreamParser()
    messages: list[Message] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    return messages + (parser.close() if close else [])


def test_messages_of_another_writer_are_read() -> None:
    """The two examples at https://hex.pm/packages/event_stream."""
    plain = bytes.fromhex(
        "0000001e00000000baf2f68a" + b'{"foo": "bar"}'.hex() + "ae7258e4",
    )
    typed = bytes.fromhex(
        "0000003e00000020405df946"
        + b"\x0ccontent-type\x07\x00\x10application/json".hex()
        + b'{"foo": "bar"}'.hex()
        + "6fa2bf3b"
    )
    assert parse(plain + typed) == [
        Message({}, b'{"foo": "bar"}'),
        Message({"content-type": "application/json"}, b'{"foo": "bar"}'),
    ]


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (0, b"", True),
        (1, b"", False),
        (2, b"\xff", -1),
        (3, b"\x80\x00", -32768),
        (4, b"\0\0\1\0", 256),
        (5, b"\xff" * 8, -1),
        (6, b"\0\2\0\xff", b"\0\xff"),
        (7, b"\0\2\xc3\xa9", "é"),
        (7, b"\0\1\xff", "\ufffd"),
        (8, b"\0\0\1\x8b\xcf\xe5\x68\0", 1_700_000_000_000),
        (9, bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ],
)
def test_header_values_of_every_type_are_read(kind: int, raw: bytes, value: HeaderValue) -> None:
    wire = message(b"x", header("a", kind, raw) + text("b", "c"))
    assert parse(wire) == [Message({"a": value, "b": "c"}, b"x")]


def test_a_message_may_be_empty() -> None:
    assert parse(message(b"")) == [Message({}, b"")]


@pytest.mark.parametrize(
    "headers", [b"\5ab", b"\1a", b"\1a\x0a", b"\1a\4\0\0", b"\1a\7\0\5bc", b"\1a\7\0"]
)
def test_malformed_headers_are_told_and_the_payload_is_still_read(headers: bytes) -> None:
    assert parse(message(b"x", headers) + message(b"y")) == [
        Message({}, b"x", damaged=True),
        Message({}, b"y"),
    ]


def test_a_wrong_checksum_is_told_and_the_next_message_is_read() -> None:
    wire = bytearray(message(b"hello", CHUNK))
    wire[-6] ^= 1
    assert parse(bytes(wire) + message(b"next")) == [
        Message(CHUNK_HEADERS, b"helmo", damaged=True),
        Message({}, b"next"),
    ]


def test_a_wrong_prelude_is_skipped_and_the_next_message_found() -> None:
    parser = EventStreamParser()
    wire = bytearray(message(b"hello", CHUNK))
    wire[3] ^= 1
    assert parser.feed(bytes(wire) + message(b"next")) == [Message({}, b"next")]
    assert parser.skipped == len(wire)


@pytest.mark.parametrize("lengths", [(15, 0), (20, 5), (1 << 30, 0), (1 << 20, 1 << 18)])
def test_impossible_lengths_are_no_message_though_their_checksum_fits(
    lengths: tuple[int, int],
) -> None:
    prelude = lengths[0].to_bytes(4, "big") + lengths[1].to_bytes(4, "big")
    prelude += zlib.crc32(prelude).to_bytes(4, "big")
    parser = EventStreamParser()
    assert parser.feed(prelude + bytes(40) + message(b"next")) == [Message({}, b"next")]


def test_joined_in_the_middle_it_waits_for_the_next_message() -> None:
    wire = message(b"hello", CHUNK)
    assert parse(wire[9:] + message(b"next")) == [Message({}, b"next")]


def test_a_gap_inside_a_message_costs_only_that() -> None:
    wire = message(b"hello", CHUNK)
    assert parse(wire[:-7], 2, wire[-5:] + message(b"next")) == [
        Message(CHUNK_HEADERS, b"he", damaged=True),
        Message({}, b"next"),
    ]


def test_a_gap_beyond_a_message_ends_it_and_the_next_one_is_found() -> None:
    lost = message(b"lost")
    assert parse(message(b"hello")[:-6], 10, lost[4:] + message(b"next")) == [
        Message({}, b"hel", damaged=True),
        Message({}, b"next"),
    ]


def test_a_gap_in_a_prelude_loses_its_message() -> None:
    assert parse(message(b"a")[:5], 2, message(b"a")[7:] + message(b"next")) == [
        Message({}, b"next")
    ]


def test_a_body_that_ends_too_early_damages_its_last_message() -> None:
    wire = message(b"hello", CHUNK)
    assert parse(wire[:-6], close=True) == [Message(CHUNK_HEADERS, b"hel", damaged=True)]
    assert parse(wire[:20], close=True) == [Message({}, b"", damaged=True)]
    assert parse(wire[:9], close=True) == []


def test_a_message_beyond_the_limit_is_cut_told_and_still_checked() -> None:
    parser = EventStreamParser(max_message_bytes=10, max_tail_bytes=2)
    long = message(b"0123456789abc")
    damaged = bytearray(long)
    damaged[-6] ^= 1
    assert parser.feed(long + bytes(damaged)) == [
        Message({}, b"0123456789", truncated=True, tail=b"bc"),
        Message({}, b"0123456789", damaged=True, truncated=True, tail=b"cc"),
    ]


def test_junk_is_skipped_and_not_kept() -> None:
    parser = EventStreamParser()
    for _ in range(100):
        assert parser.feed(b"\0\0\0\x20\0\0\0\0" * 10) == []
        assert len(parser._held) < 12
    parser.close()
    assert parser.skipped == 8000
