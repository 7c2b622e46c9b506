import random

import pytest

from busted.protocols.websocket import Kind, WebSocketMessage, WebSocketParser
from tests.websocket_wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    MASK,
    PING,
    PONG,
    TEXT,
    Deflater,
    frame,
)

Message = WebSocketMessage
PROSE = b'{"type":"response.create","input":"' + b"say hello " * 20 + b'"}'


def parse(*steps: bytes | int, extensions: str | None = None, close: bool = False) -> list[Message]:
    parser = WebSocketParser("response", extensions)
    messages: list[Message] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    return messages + (parser.close() if close else [])


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (bytes.fromhex("810548656c6c6f"), Message("text", b"Hello")),
        (bytes.fromhex("818537fa213d7f9f4d5158"), Message("text", b"Hello")),
        (bytes.fromhex("010348656c80026c6f"), Message("text", b"Hello")),
        (bytes.fromhex("890548656c6c6f"), Message("ping", b"Hello")),
        (bytes.fromhex("8a8537fa213d7f9f4d5158"), Message("pong", b"Hello")),
        (b"\x82\x7e\x01\x00" + bytes(256), Message("binary", bytes(256))),
        (b"\x82\x7f" + (65536).to_bytes(8, "big") + bytes(65536), Message("binary", bytes(65536))),
    ],
)
def test_the_examples_of_rfc_6455_section_5_7_are_read(wire: bytes, message: Message) -> None:
    assert parse(wire) == [message]


@pytest.mark.parametrize(
    "wire",
    [
        "c107f248cdc9c90700",  # 7.2.3.1, one block
        "4103f248cd8004c9c90700",  # the same in two frames
        "c10b000500faff48656c6c6f00",  # 7.2.3.3, not compressed
        "c108f348cdc9c9070000",  # 7.2.3.4, a final block
        "c10df24805000000ffffcac9c90700",  # 7.2.3.5, two blocks
    ],
)
def test_the_examples_of_rfc_7692_section_7_2_3_are_read(wire: str) -> None:
    assert parse(bytes.fromhex(wire), extensions=DEFLATE) == [Message("text", b"Hello")]


def test_the_window_is_kept_from_message_to_message() -> None:
    wire = bytes.fromhex("c107f248cdc9c90700") + bytes.fromhex("c105f200110000")
    assert parse(wire, extensions=DEFLATE) == [Message("text", b"Hello")] * 2


@pytest.mark.parametrize("window_bits", [9, 12, 15])
@pytest.mark.parametrize("mask", [b"", MASK])
def test_compressed_messages_of_any_window_are_inflated(window_bits: int, mask: bytes) -> None:
    deflate = Deflater(window_bits)
    noise = random.Random(7).randbytes(40_000)
    sent = [PROSE, b"", noise, PROSE, noise]
    wire = b"".join(frame(TEXT, deflate(m), compressed=True, mask=mask) for m in sent)
    extensions = f"{DEFLATE}; server_max_window_bits={window_bits}; client_max_window_bits=15"
    assert parse(wire, extensions=extensions) == [Message("text", m) for m in sent]


def test_without_context_takeover_every_message_begins_anew() -> None:
    wire = frame(TEXT, Deflater()(PROSE), compressed=True) * 2
    extensions = f"foo, {DEFLATE}; server_no_context_takeover"
    assert parse(wire, extensions=extensions) == [Message("text", PROSE)] * 2
    damaged = frame(TEXT, b"\xff\xff", compressed=True)
    assert parse(damaged + wire, extensions=extensions)[1:] == [Message("text", PROSE)] * 2


def test_the_takeover_of_the_other_side_does_not_concern_this_one() -> None:
    deflate = Deflater()
    wire = b"".join(frame(TEXT, deflate(PROSE), compressed=True) for _ in range(2))
    expected = [Message("text", PROSE)] * 2
    for side, other in (("request", "server"), ("response", "client")):
        parser = WebSocketParser(
            "request" if side == "request" else "response",
            f"{DEFLATE}; {other}_no_context_takeover",
        )
        assert parser.feed(wire) == expected


def test_a_message_that_is_not_compressed_needs_no_window() -> None:
    wire = frame(TEXT, b"plain") + frame(TEXT, Deflater()(PROSE), compressed=True)
    assert parse(wire, extensions=DEFLATE) == [Message("text", b"plain"), Message("text", PROSE)]


def test_control_frames_between_fragments_are_messages_of_their_own() -> None:
    wire = frame(TEXT, b"a", final=False) + frame(PING, b"p") + frame(CONTINUATION, b"b")
    wire += frame(PONG) + frame(CLOSE, b"\x03\xe8bye", mask=MASK)
    assert parse(wire) == [
        Message("ping", b"p"),
        Message("text", b"ab"),
        Message("pong", b""),
        Message("close", b"\x03\xe8bye"),
    ]


def test_a_message_beyond_the_limit_is_cut_and_told() -> None:
    parser = WebSocketParser("request", max_message_bytes=4)
    wire = frame(BINARY, b"abc", final=False, mask=MASK) + frame(CONTINUATION, b"def", mask=MASK)
    assert parser.feed(wire + frame(TEXT, b"abcd")) == [
        Message("binary", b"abcd", truncated=True, tail=b"ef"),
        Message("text", b"abcd"),
    ]


def test_of_what_is_beyond_the_limit_the_end_is_kept() -> None:
    parser = WebSocketParser("request", DEFLATE, max_message_bytes=100, max_tail_bytes=3)
    text, deflate = b"ab" * 60 + b"cde", Deflater()
    wire = frame(TEXT, text, mask=MASK) + frame(TEXT, deflate(text), compressed=True)
    cut = Message("text", text[:100], truncated=True, tail=text[-3:])
    assert parser.feed(wire) == [cut, cut]
    assert parser.feed(frame(TEXT, deflate(PROSE[:90]), compressed=True)) == [
        Message("text", PROSE[:90])
    ], "the window is whole"


def test_a_small_message_that_inflates_beyond_the_limit_is_cut_and_told() -> None:
    parser = WebSocketParser("request", DEFLATE, max_message_bytes=100_000)
    deflate = Deflater()
    bomb = frame(BINARY, deflate(bytes(50_000_000)), compressed=True)
    (message,) = parser.feed(bomb)
    assert message == Message("binary", bytes(100_000), truncated=True)
    assert parser.feed(frame(TEXT, b"a")) == [Message("text", b"a")]


@pytest.mark.parametrize("mask", [b"", MASK])
def test_a_gap_inside_a_frame_costs_only_its_message(mask: bytes) -> None:
    wire = frame(TEXT, b"abcdefgh", mask=mask)
    following = frame(TEXT, b"next", mask=mask)
    assert parse(wire[:-6], 5, wire[-1:] + following) == [
        Message("text", b"ab", truncated=True, tail=b"h", missing=5),
        Message("text", b"next"),
    ]
    assert parse(wire[:-6], 6, following)[1:] == [Message("text", b"next")]


def test_after_a_gap_in_a_control_frame_the_message_around_it_is_whole() -> None:
    opening, ping = frame(TEXT, b"a", final=False), frame(PING, b"pp")
    assert parse(opening + ping[:-2], 1, ping[-1:] + frame(CONTINUATION, b"b")) == [
        Message("ping", b"", truncated=True, tail=b"p", missing=1),
        Message("text", b"ab"),
    ]


def test_after_a_gap_what_reaches_back_into_it_is_told_and_never_wrong() -> None:
    deflate = Deflater()
    first = frame(TEXT, deflate(PROSE), compressed=True)
    other = b"".join(bytes([byte]) for byte in range(200))
    again = frame(TEXT, deflate(PROSE), compressed=True)
    anew = frame(TEXT, Deflater()(other), compressed=True)
    assert parse(first[:-5], 5, again + anew, extensions=DEFLATE)[1:] == [
        Message("text", b"", truncated=True),
        Message("text", other),
    ]


def test_what_was_seen_of_a_compressed_message_is_inflated() -> None:
    deflate = Deflater()
    wire = frame(TEXT, deflate(random.Random(7).randbytes(5000)), compressed=True)
    (message,) = parse(wire[:2500], extensions=DEFLATE, close=True)
    assert message.truncated
    assert len(message.data) > 1000
    assert random.Random(7).randbytes(5000).startswith(message.data)


def test_a_gap_over_a_header_loses_the_place_for_good_and_is_told() -> None:
    parser = WebSocketParser("request")
    parser.feed(frame(TEXT, b"a", final=False) + b"\x80")
    assert parser.gap(2) == [Message("text", b"a", truncated=True)]
    assert parser.is_lost
    assert parser.feed(frame(TEXT, b"b")) == []
    assert parser.gap(2) == []
    assert parser.close() == []
    assert parser.skipped == 4


@pytest.mark.parametrize(
    "bad",
    [
        frame(0x3),
        frame(0xB),
        b"\xa1\x00",
        b"\xc1\x00",  # compressed, which nobody agreed on
        frame(PING, final=False),
        frame(PING, bytes(126)),
        b"\x81\x7f\xff" + bytes(7),
    ],
)
def test_an_impossible_header_loses_the_place(bad: bytes) -> None:
    parser = WebSocketParser("request")
    assert parser.feed(frame(TEXT, b"a") + bad) == [Message("text", b"a")]
    assert parser.is_lost
    assert parser.skipped == len(bad)


def test_only_the_first_frame_of_a_message_may_say_that_it_is_compressed() -> None:
    parser = WebSocketParser("request", DEFLATE)
    parser.feed(frame(TEXT, b"a", final=False, compressed=True))
    assert parser.feed(frame(CONTINUATION, b"b", compressed=True))[0].truncated
    assert parser.is_lost


@pytest.mark.parametrize(("opcode", "kind"), [(TEXT, "text"), (BINARY, "binary")])
def test_a_message_whose_end_does_not_come_is_truncated(opcode: int, kind: Kind) -> None:
    wire = frame(opcode, b"a", final=False)
    assert parse(wire + frame(TEXT, b"b")) == [
        Message(kind, b"a", truncated=True),
        Message("text", b"b"),
    ]
    assert parse(wire, close=True) == [Message(kind, b"a", truncated=True)]


def test_a_message_whose_beginning_was_not_seen_is_unknown() -> None:
    assert parse(frame(CONTINUATION, b"b")) == [Message("unknown", b"", truncated=True, tail=b"b")]


def test_bytes_of_a_message_without_end_are_not_kept() -> None:
    parser = WebSocketParser("request", max_message_bytes=100, max_tail_bytes=60)
    for _ in range(100):
        parser.feed(
            frame(BINARY if parser._message is None else CONTINUATION, b"a" * 50, final=False)
        )
        assert parser._message is not None
        payload = parser._message.payload
        assert len(payload.head) + len(payload._tail) <= 100 + 2 * 60
