from collections.abc import Iterable

import pytest
from hpack import Encoder

from busted.protocols.http import (
    HttpBody,
    HttpEnd,
    HttpGap,
    HttpMessage,
    HttpRequest,
    HttpResponse,
)
from busted.protocols.http1 import Side
from busted.protocols.http2 import (
    MAX_NOTICES,
    PREFACE,
    HeaderTableSize,
    Http2Parser,
    StreamReset,
)
from tests.http2_wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Sender,
    data,
    frame,
    settings,
)

PLAIN = settings()
HOST = (("host", "a.example"),)
JSON = (("content-type", "application/json"),)
KEEP_GOING = frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0")


def parse(side: Side, *steps: bytes | int, close: bool = False) -> list[HttpMessage]:
    """Feed the opening, then bytes and gaps (numbers), and perhaps the end to a parser."""
    parser = Http2Parser(side)
    messages = parser.feed((PREFACE if side == "request" else b"") + PLAIN)
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    if close:
        messages += parser.close()
    return messages


def request(stream: int, target: str = "/v1", headers: Iterable[tuple[str, str]] = HOST) -> object:
    return HttpRequest("POST", target, tuple(headers), "2", stream)


def response(stream: int, status: int = 200) -> object:
    return HttpResponse(status, JSON, "2", stream)


def test_a_request_gives_its_head_body_and_end() -> None:
    wire = Sender().headers(1, (*REQUEST, ("User-Agent", " x "), ("host", "b.example")))
    assert parse("request", wire + data(1, b"{}") + data(1, b"[]", last=True)) == [
        request(1, headers=(*HOST, ("user-agent", "x"))),
        HttpBody(b"{}", 1),
        HttpBody(b"[]", 1),
        HttpEnd(stream_id=1),
    ]


def test_a_message_without_body_ends_with_its_head() -> None:
    wire = Sender().headers(3, REQUEST, last=True)
    assert parse("request", wire) == [request(3), HttpEnd(stream_id=3)]


def test_an_empty_last_frame_ends_a_message() -> None:
    wire = Sender().headers(1, RESPONSE) + data(1, b"{}") + data(1, b"", last=True)
    assert parse("response", wire) == [response(1), HttpBody(b"{}", 1), HttpEnd(stream_id=1)]


def test_without_an_authority_the_host_field_is_kept() -> None:
    fields = ((":method", "GET"), (":path", "*"), ("host", "b.example"))
    assert parse("request", Sender().headers(1, fields)) == [
        HttpRequest("GET", "*", (("host", "b.example"),), "2", 1)
    ]


def test_the_target_of_connect_is_its_authority() -> None:
    fields = ((":method", "CONNECT"), (":authority", "a.example:443"))
    wire = Sender().headers(1, fields)
    head = HttpRequest("CONNECT", "a.example:443", (("host", "a.example:443"),), "2", 1)
    assert parse("request", wire) == [head]


def test_interleaved_streams_are_kept_apart() -> None:
    sender = Sender()
    wire = sender.headers(1, REQUEST) + sender.headers(3, REQUEST)
    wire += data(3, b"c") + data(1, b"a") + data(3, b"d", last=True) + data(1, b"b", last=True)
    assert parse("request", wire) == [
        request(1),
        request(3),
        HttpBody(b"c", 3),
        HttpBody(b"a", 1),
        HttpBody(b"d", 3),
        HttpEnd(stream_id=3),
        HttpBody(b"b", 1),
        HttpEnd(stream_id=1),
    ]


def test_interim_responses_are_not_reported() -> None:
    sender = Sender()
    wire = sender.headers(1, ((":status", "103"), ("link", "a"))) + sender.headers(1, RESPONSE)
    assert parse("response", wire) == [response(1)]


def test_trailers_are_told_with_the_end_of_the_message() -> None:
    sender = Sender()
    wire = sender.headers(1, RESPONSE) + data(1, b"a")
    wire += sender.headers(1, (("grpc-status", "0"),), last=True)
    assert parse("response", wire) == [
        response(1),
        HttpBody(b"a", 1),
        HttpEnd(False, 1, (("grpc-status", "0"),)),
    ]


def test_a_status_that_is_no_status_is_zero() -> None:
    assert parse("response", Sender().headers(1, ((":status", "²00"),))) == [
        HttpResponse(0, (), "2", 1)
    ]


def test_padding_is_no_data() -> None:
    wire = Sender().headers(1, RESPONSE)
    wire += data(1, b"ab", padding=3) + data(1, b"", padding=0) + data(1, b"c", padding=0)
    assert parse("response", wire + data(1, b"", padding=255, last=True)) == [
        response(1),
        HttpBody(b"ab", 1),
        HttpBody(b"c", 1),
        HttpEnd(stream_id=1),
    ]


def test_padding_and_priority_of_a_head_are_no_fields() -> None:
    block = Encoder().encode(REQUEST)
    payload = b"\4" + b"\0\0\0\0\x10" + block + bytes(4)
    wire = frame(HEADERS, END_HEADERS | PADDED | PRIORITY_FLAG, 1, payload)
    assert parse("request", wire) == [request(1)]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_head_may_be_continued(cut: int) -> None:
    wire = Sender().headers(1, REQUEST, cut=cut) + data(1, b"a", last=True)
    assert parse("request", wire) == [request(1), HttpBody(b"a", 1), HttpEnd(stream_id=1)]


@pytest.mark.parametrize(
    "other",
    [
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(PING, 0, 0, bytes(8)),
        frame(SETTINGS, ACK),
        frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0bye"),
        frame(WINDOW_UPDATE, 0, 1, b"\0\0\1\0"),
        frame(0x10, 0, 0, b"\0\0\0\1u=1"),
        frame(0xFA, 0xFF, 7, b"grease"),
    ],
)
def test_other_frames_disturb_nothing(other: bytes) -> None:
    wire = Sender().headers(1, RESPONSE) + other + data(1, b"a") + other + data(1, b"", last=True)
    assert parse("response", other + wire) == [
        response(1),
        HttpBody(b"a", 1),
        HttpEnd(stream_id=1),
    ]


def test_a_reset_truncates_the_message_and_late_frames_are_dropped() -> None:
    sender = Sender()
    reset = frame(RST_STREAM, 0, 1, b"\0\0\0\x08")
    wire = sender.headers(1, RESPONSE) + data(1, b"a") + reset
    late = data(1, b"late") + sender.headers(1, (("digest", "x"),), last=True)
    assert parse("response", wire + late + sender.headers(3, RESPONSE)) == [
        response(1),
        HttpBody(b"a", 1),
        HttpEnd(True, 1),
        response(3),
    ]


def test_a_reset_in_one_direction_ends_the_message_of_the_other() -> None:
    asking, answering = Http2Parser("request"), Http2Parser("response")
    asking.feed(PREFACE + PLAIN + frame(RST_STREAM, 0, 1, b"\0\0\0\x08"))
    wire = PLAIN + Sender().headers(1, RESPONSE) + data(1, b"a")
    assert len(answering.feed(wire)) == 2

    assert asking.notices() == [StreamReset(1)]
    assert asking.notices() == []
    assert answering.notice(StreamReset(1)) == [HttpEnd(True, 1)]
    assert answering.feed(data(1, b"late")) == []


def test_a_stream_that_was_reset_before_its_answer_has_none() -> None:
    parser = Http2Parser("response")
    assert parser.notice(StreamReset(1)) == []
    assert parser.feed(PLAIN + Sender().headers(1, RESPONSE) + data(1, b"a", last=True)) == []


def test_notices_that_nobody_takes_are_bounded() -> None:
    parser = Http2Parser("request")
    parser.feed(PREFACE + frame(RST_STREAM, 0, 1, bytes(4)) * (MAX_NOTICES + 5))
    assert len(parser.notices()) == MAX_NOTICES


def test_the_size_of_the_header_table_is_told_to_the_other_direction() -> None:
    parser = Http2Parser("response")
    parser.feed(settings((3, 100), (1, 0)) + frame(SETTINGS, ACK))
    assert parser.notices() == [HeaderTableSize(0)]


def test_a_smaller_table_makes_less_known_never_wrong() -> None:
    parser, sender = Http2Parser("request"), Sender()
    assert parser.feed(PREFACE + PLAIN + sender.headers(1, REQUEST, last=True))
    parser.notice(HeaderTableSize(0))
    assert parser.feed(sender.headers(3, REQUEST, last=True)) == [
        HttpRequest("POST", "?", (("?", "?"), ("?", "?")), "2", 3),
        HttpEnd(stream_id=3),
    ]


def test_a_table_grows_as_the_sender_says_up_to_a_bound() -> None:
    parser, sender = Http2Parser("request"), Sender()
    sender.encoder.header_table_size = 1 << 30
    long = ("x-long", "v" * 10_000)
    assert parser.feed(PREFACE + PLAIN + sender.headers(1, (*REQUEST, long), last=True))
    (head, _) = parser.feed(sender.headers(3, (*REQUEST, long), last=True))
    assert head == request(3, headers=(*HOST, long))

    for stream in range(5, 31, 2):
        fields = (*REQUEST, ("x-other", str(stream) * 5_000))
        parser.feed(sender.headers(stream, fields, last=True))
    (head, _) = parser.feed(sender.headers(31, (*REQUEST, long), last=True))
    assert head == HttpRequest("POST", "?", (("?", "?"),) * 3, "2", 31)


def test_pushed_streams_are_not_reported_but_their_heads_are_read_for_the_table() -> None:
    sender = Sender()
    promise = sender.encoder.encode((*REQUEST, ("x-a", "b")))
    wire = frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + promise)
    wire += sender.headers(2, RESPONSE) + data(2, b"pushed", last=True)
    wire += sender.headers(1, (*RESPONSE, ("x-a", "b")))
    head = HttpResponse(200, (*JSON, ("x-a", "b")), "2", 1)
    assert parse("response", wire) == [head]


def test_after_an_upgrade_from_http1_the_answer_comes_on_stream_one() -> None:
    """RFC 7540 section 3.2, h2c: both directions open as always after the 101."""
    wire = PLAIN + Sender().headers(1, RESPONSE) + data(1, b"{}", last=True)
    assert Http2Parser("response").feed(wire) == [
        response(1),
        HttpBody(b"{}", 1),
        HttpEnd(stream_id=1),
    ]


# Joined late


def test_joined_between_frames_data_is_reported_under_an_unknown_head() -> None:
    wire = data(1, b"ab") + data(1, b"c", last=True) + KEEP_GOING
    parts = [HttpBody(b"ab", 1), HttpBody(b"c", 1), HttpEnd(True, 1)]
    assert Http2Parser("response").feed(wire) == [HttpResponse(0, (), "2", 1), *parts]
    assert Http2Parser("request").feed(wire) == [HttpRequest("?", "?", (), "2", 1), *parts]


def test_joined_inside_a_frame_the_next_two_bring_it_into_step() -> None:
    parser = Http2Parser("response")
    rest = b'ext":"hi\0\0\0"}' + b"\0\0\4\0\1\0\0"
    assert parser.feed(rest + data(1, b"a", last=True)) == []
    assert parser.feed(KEEP_GOING) == [
        HttpResponse(0, (), "2", 1),
        HttpBody(b"a", 1),
        HttpEnd(True, 1),
    ]
    assert parser.skipped == len(rest)


def test_joined_late_what_a_head_takes_from_the_unseen_table_is_unknown() -> None:
    sender, parser = Sender(), Http2Parser("request")
    fields = (*REQUEST, ("x-key", "1"))
    sender.headers(1, fields)
    wire = sender.headers(3, (*REQUEST, ("x-key", "2")), last=True)
    assert parser.feed(wire + KEEP_GOING) == [
        HttpRequest("POST", "?", (("?", "?"), ("?", "?"), ("?", "2")), "2", 3),
        HttpEnd(stream_id=3),
    ]
    assert parser.feed(sender.headers(5, (("x-key", "2"), (":method", "GET")))) == [
        HttpRequest("GET", "?", (("?", "2"),), "2", 5)
    ]


def test_joined_late_trailers_are_not_taken_for_a_head() -> None:
    wire = Sender().headers(1, (("grpc-status", "0"),), last=True)
    assert Http2Parser("response").feed(wire + KEEP_GOING) == [
        HttpResponse(0, (), "2", 1),
        HttpEnd(True, 1),
    ]


def test_joined_in_the_middle_of_a_head_its_body_is_still_read() -> None:
    sender = Sender()
    block = sender.encoder.encode(REQUEST)
    wire = frame(CONTINUATION, END_HEADERS, 1, block[5:]) + data(1, b"a", last=True)
    assert Http2Parser("request").feed(wire + sender.headers(3, REQUEST)) == [
        HttpRequest("?", "?", (), "2", 1),
        HttpBody(b"a", 1),
        HttpEnd(True, 1),
        HttpRequest("POST", "?", (("?", "?"), ("?", "?")), "2", 3),
    ]


@pytest.mark.parametrize("size", [16_384, 65_535])
def test_a_frame_as_large_as_real_ones_can_be_the_first(size: int) -> None:
    body = bytes(size)
    messages = Http2Parser("request").feed(b"x" + data(1, body) + KEEP_GOING)
    assert messages == [HttpRequest("?", "?", (), "2", 1), HttpBody(body, 1)]


def test_junk_is_skipped_and_not_kept() -> None:
    parser = Http2Parser("request", search_bytes=100)
    for _ in range(100):
        # Each could be a frame, and none is followed by another.
        assert parser.feed(data(1, b"x" * 50)[:40] * 3) == []
        assert len(parser._held) <= 220
    parser.close()
    assert parser.skipped == 100 * 120


# Gaps


def test_a_gap_in_data_loses_nothing_else() -> None:
    sender = Sender()
    wire = sender.headers(1, RESPONSE) + data(1, b"abcd", last=True)
    assert parse("response", wire[:-3], 2, b"d" + sender.headers(3, RESPONSE)) == [
        response(1),
        HttpBody(b"a", 1),
        HttpGap(2, 1),
        HttpBody(b"d", 1),
        HttpEnd(True, 1),
        response(3),
    ]


def test_a_gap_that_ends_with_a_frame_ends_its_message() -> None:
    sender = Sender()
    wire = sender.headers(1, RESPONSE) + data(1, b"abcd", last=True)
    assert parse("response", wire[:-4], 4, sender.headers(3, RESPONSE)) == [
        response(1),
        HttpGap(4, 1),
        HttpEnd(True, 1),
        response(3),
    ]


def test_a_gap_in_padding_misses_nothing() -> None:
    wire = Sender().headers(1, RESPONSE) + data(1, b"a", padding=4, last=True)
    assert parse("response", wire[:-3], 2, b"\0")[1:] == [HttpBody(b"a", 1), HttpEnd(stream_id=1)]


def test_when_the_length_of_the_padding_is_missing_none_of_the_frame_is_used() -> None:
    wire = Sender().headers(1, RESPONSE)
    padded = data(1, b"abc", padding=2)
    rest = padded[10:] + data(1, b"d")
    assert parse("response", wire + padded[:9], 1, rest)[1:] == [HttpGap(5, 1), HttpBody(b"d", 1)]


def test_a_gap_over_a_header_block_empties_the_table_so_that_nothing_is_guessed() -> None:
    sender = Sender()
    first = sender.headers(1, (*REQUEST, ("x-key", "1")), last=True)
    lost = sender.headers(3, (*REQUEST, ("x-key", "2")), last=True)
    again = sender.headers(5, (*REQUEST, ("x-key", "1")), last=True)
    assert parse("request", first, len(lost), again + KEEP_GOING)[2:] == [
        HttpRequest("POST", "?", (("?", "?"),) * 3, "2", 5),
        HttpEnd(stream_id=5),
    ]


def test_a_gap_in_a_header_block_keeps_step() -> None:
    sender = Sender()
    lost = sender.headers(1, REQUEST)
    rest = lost[-3:] + data(1, b"a", last=True) + sender.headers(3, REQUEST)
    assert parse("request", lost[:-4], 1, rest) == [
        HttpRequest("?", "?", (), "2", 1),
        HttpBody(b"a", 1),
        HttpEnd(True, 1),
        HttpRequest("POST", "?", (("?", "?"), ("?", "?")), "2", 3),
    ]


def test_a_gap_over_frames_may_have_hit_every_message_under_way() -> None:
    sender = Sender()
    wire = sender.headers(1, RESPONSE) + sender.headers(3, RESPONSE)
    assert parse("response", wire, 20, b"junk" + data(3, b"a", last=True) + KEEP_GOING)[2:] == [
        HttpGap(20, 1),
        HttpGap(20, 3),
        HttpGap(4, 1),
        HttpGap(4, 3),
        HttpBody(b"a", 3),
        HttpEnd(True, 3),
    ]


def test_a_gap_in_a_frame_nobody_needs_changes_nothing() -> None:
    sender = Sender()
    ping = frame(PING, 0, 0, bytes(8))
    wire = sender.headers(1, RESPONSE) + ping[:10]
    assert parse("response", wire, 7, sender.headers(3, RESPONSE)) == [response(1), response(3)]


# Malformed input


@pytest.mark.parametrize(
    "bad",
    [
        data(0, b"a"),
        frame(SETTINGS, 0, 1),
        frame(SETTINGS, 0, 0, b"12345"),
        frame(PING, 0, 0, b"1"),
        frame(WINDOW_UPDATE, 0, 1, b"1"),
        frame(0xFA, 0, 1, bytes(20_000)),
    ],
)
def test_an_impossible_header_means_that_we_are_out_of_step(bad: bytes) -> None:
    wire = Sender().headers(1, RESPONSE) + bad + data(1, b"b") + KEEP_GOING
    assert parse("response", wire) == [response(1), HttpGap(len(bad), 1), HttpBody(b"b", 1)]


@pytest.mark.parametrize(
    "block", [b"\x80", b"\x3f\xff\xff\xff\xff\xff\xff", b"\x40\x7f", b"\0\x85a"]
)
def test_a_head_that_cannot_be_decoded_is_unknown(block: bytes) -> None:
    wire = frame(HEADERS, END_HEADERS, 1, block) + data(1, b"a", last=True)
    assert parse("request", wire) == [
        HttpRequest("?", "?", (), "2", 1),
        HttpBody(b"a", 1),
        HttpEnd(True, 1),
    ]


def test_a_head_that_is_interrupted_is_unknown() -> None:
    wire = frame(HEADERS, 0, 1, Encoder().encode(REQUEST)) + data(1, b"a", last=True)
    assert parse("request", wire) == [
        HttpRequest("?", "?", (), "2", 1),
        HttpBody(b"a", 1),
        HttpEnd(True, 1),
    ]


@pytest.mark.parametrize("payload", [b"\xff" * 9, b"\0" * 4, b""])
def test_a_head_with_impossible_padding_is_unknown(payload: bytes) -> None:
    wire = frame(HEADERS, END_HEADERS | PADDED | PRIORITY_FLAG, 1, payload)
    assert parse("response", wire) == [HttpResponse(0, (), "2", 1)]


@pytest.mark.parametrize("payload", [b"\xff" * 9, b"\2" * 6])
def test_a_promise_with_impossible_padding_empties_the_table(payload: bytes) -> None:
    sender = Sender()
    fields = ((":status", "429"),)
    wire = sender.headers(1, fields) + frame(PUSH_PROMISE, END_HEADERS | PADDED, 1, payload)
    head = HttpResponse(0, (("?", "?"),), "2", 3)
    assert parse("response", wire + sender.headers(3, fields))[1:] == [head]


def test_impossible_padding_hides_the_data_and_is_told() -> None:
    wire = Sender().headers(1, RESPONSE) + frame(DATA, PADDED | END_STREAM, 1, b"\xffabc")
    assert parse("response", wire)[1:] == [HttpEnd(True, 1)]


def test_a_head_beyond_the_limit_is_unknown_and_not_kept() -> None:
    parser = Http2Parser("request", max_head_bytes=1000)
    parser.feed(PREFACE + PLAIN + frame(HEADERS, 0, 1, b"\0" * 100))
    for _ in range(1000):
        parser.feed(frame(CONTINUATION, 0, 1, b"\0" * 100))
        assert len(parser._payload) + len(parser._block.data if parser._block else b"") <= 1100
    assert parser.feed(frame(CONTINUATION, END_HEADERS, 1) + data(1, b"a", last=True)) == [
        HttpRequest("?", "?", (), "2", 1),
        HttpBody(b"a", 1),
        HttpEnd(True, 1),
    ]


def test_a_small_block_that_unpacks_to_a_large_head_is_not_unpacked() -> None:
    encoder = Encoder()
    block = encoder.encode((("x", "v" * 3000),)) + b"\xbe" * 1000
    assert parse("request", frame(HEADERS, END_HEADERS, 1, block)) == [
        HttpRequest("?", "?", (), "2", 1)
    ]


def test_streams_without_end_are_bounded() -> None:
    parser, sender = Http2Parser("request", max_streams=10), Sender()
    messages = parser.feed(PREFACE + PLAIN)
    for stream in range(1, 201, 2):
        messages += parser.feed(sender.headers(stream, REQUEST))
        assert len(parser._open) <= 10
        assert len(parser._closed) <= 10
    assert messages.count(HttpEnd(True, 1)) == 1
    assert len(parser.close()) == 10


def test_a_connection_that_dies_truncates_what_is_under_way() -> None:
    wire = Sender().headers(1, RESPONSE) + data(1, b"abc")
    assert parse("response", wire[:-2], close=True) == [
        response(1),
        HttpBody(b"a", 1),
        HttpEnd(True, 1),
    ]


def test_what_is_still_held_at_the_end_counts_as_skipped() -> None:
    parser = Http2Parser("request")
    assert parser.feed(PREFACE[:10]) == []
    assert parser.close() == []
    assert parser.skipped == 10


def test_a_large_body_is_not_copied() -> None:
    parser = Http2Parser("request")
    body = bytes(range(100))
    parser.feed(PREFACE + PLAIN + Sender().headers(1, REQUEST) + data(1, body)[:9])
    (piece,) = parser.feed(body)
    assert isinstance(piece, HttpBody)
    assert piece.data is body


@pytest.mark.parametrize("preface", [b"", PREFACE])
def test_told_that_a_frame_begins_here_it_needs_no_second_one(preface: bytes) -> None:
    parser = Http2Parser("request", is_aligned=True)
    wire = preface + data(1, b"alone, and so not looked for")
    assert parser.feed(wire)[-1] == HttpBody(b"alone, and so not looked for", 1)
