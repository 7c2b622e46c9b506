from collections import defaultdict
from typing import Literal

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.http import (
    HttpBody,
    HttpEnd,
    HttpGap,
    HttpMessage,
    HttpRequest,
    HttpResponse,
)
from busted.protocols.http1 import Side
from busted.protocols.http2 import HeaderTableSize, Http2Parser, StreamReset
from tests.http2_wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    Fields,
    Sender,
    data,
    frame,
    settings,
)
from tests.property.test_http1 import SIDES, Step, bytewise, cut_steps, merge

PIECES = [
    PREFACE,
    settings(),
    settings((1, 0)),
    *(Sender().headers(stream, fields) for stream in (1, 2, 3) for fields in (REQUEST, RESPONSE)),
    Sender().headers(1, (("x-a", "b"), ("x-a", "b")), last=True),
    Sender().headers(3, ((":status", "103"),)),
    Sender().headers(1, RESPONSE, cut=3),
    Sender().headers(5, REQUEST, cut=3, last=True)[:-4],
    frame(CONTINUATION, END_HEADERS, 1, b"\xbe"),
    frame(HEADERS, END_HEADERS, 3, b"\xbe\xbf\x7e\x01c"),
    frame(HEADERS, PADDED | PRIORITY_FLAG, 1, b"\1\0\0\0\0\0\x88\0"),
    frame(HEADERS, END_HEADERS, 1, b"\x88" * 70),
    frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82"),
    frame(RST_STREAM, 0, 1, bytes(4)),
    data(1, b"hello"),
    data(1, b"hello", last=True),
    data(3, b"hello", padding=3),
    data(3, b"", padding=0, last=True),
    data(2, b"pushed"),
    frame(DATA, PADDED, 1, b"\xffab"),
    frame(DATA, END_STREAM, 0, b"a"),
    data(7, b"twice")[:-1],
    frame(0xFA, 0, 1, b"x"),
    b"\0\0\4\0\0",
    b"junk",
]

traffic = st.lists(
    st.sampled_from(PIECES) | st.binary(max_size=3) | st.integers(1, 30), max_size=24
).map(merge)


def streams_of(messages: list[HttpMessage]) -> dict[int, list[HttpMessage]]:
    """The messages by stream, their body pieces joined: how streams interleave may differ."""
    streams: dict[int, list[HttpMessage]] = defaultdict(list)
    for message in messages:
        own = streams[message.stream_id]
        last = own[-1] if own else None
        if isinstance(message, HttpBody):
            assert message.data, "a body piece is never empty"
        if isinstance(message, HttpBody) and isinstance(last, HttpBody):
            own[-1] = HttpBody(last.data + message.data, message.stream_id)
        elif isinstance(message, HttpGap) and isinstance(last, HttpGap):
            own[-1] = HttpGap(last.missing + message.missing, message.stream_id)
        else:
            own.append(message)
    return streams


def parse(side: Side, steps: list[Step], head_limit: int) -> tuple[object, ...]:
    parser = Http2Parser(side, max_head_bytes=head_limit, max_streams=2, search_bytes=40)
    messages: list[HttpMessage] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    notices = parser.notices()
    messages += parser.close()
    return streams_of(messages), notices, parser.skipped


@pytest.mark.parametrize("side", SIDES)
@given(traffic=cut_steps(traffic), head_limit=st.sampled_from([20, 65536]))
def test_cuts_do_not_matter(
    side: Side, traffic: tuple[list[Step], list[Step]], head_limit: int
) -> None:
    """However the stream is sliced, gaps included, the same messages come out of each stream."""
    whole, cut = traffic
    expected = parse(side, whole, head_limit)

    assert parse(side, bytewise(whole), head_limit) == expected
    assert parse(side, cut, head_limit) == expected


@pytest.mark.parametrize("side", SIDES)
@given(steps=traffic)
def test_messages_are_well_formed_whatever_comes(side: Side, steps: list[Step]) -> None:
    """Each message has one head, which comes first, and one end, which comes last."""
    parser = Http2Parser(side)
    messages: list[HttpMessage] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
        messages += parser.notice(HeaderTableSize(64))
    messages += parser.notice(StreamReset(1)) + parser.close()
    for own in streams_of(messages).values():
        shape = [isinstance(message, HttpRequest | HttpResponse) for message in own]
        assert shape == [True] + [False] * (len(own) - 1)
        ends = [isinstance(message, HttpEnd) for message in own]
        assert ends == [False] * (len(own) - 1) + [True]


names = st.sampled_from(["x-a", "x-b", "x-key", "cookie", "x-long-name-that-fills-the-table"])
field = st.tuples(names, st.sampled_from(["1", "2", "v" * 500, "w" * 1500, "z" * 5000]))
heads = st.lists(st.lists(field, max_size=5), min_size=1, max_size=12)
Fate = Literal["seen", "missed", "end missed"]


@given(
    heads,
    st.lists(st.sampled_from(["seen", "missed", "end missed"]), min_size=12, max_size=12),
    st.lists(st.none() | st.sampled_from([0, 100, 4096, 10_000]), min_size=12, max_size=12),
)
def test_a_field_is_told_as_it_was_or_as_unknown(
    heads: list[list[tuple[str, str]]], fates: list[Fate], sizes: list[int | None]
) -> None:
    """Whatever header blocks are missed, nothing that is told of the others is wrong."""
    sender, parser = Sender(), Http2Parser("request")
    told: dict[int, HttpMessage] = {}
    sent: dict[int, Fields] = {}
    for place, fields in enumerate(heads):
        if (size := sizes[place]) is not None:
            sender.encoder.header_table_size = size
        stream = 2 * place + 1
        sent[stream] = tuple(fields)
        wire = sender.headers(stream, (*REQUEST, *fields), last=True)
        wire += frame(4, 1)  # so that a missed block can be the first thing after a seen one
        messages: list[HttpMessage] = []
        if fates[place] == "seen":
            messages = parser.feed(wire)
        elif fates[place] == "missed":
            messages = parser.gap(len(wire))
        else:
            messages = parser.feed(wire[:-12]) + parser.gap(12)
        told |= {m.stream_id: m for m in messages if isinstance(m, HttpRequest)}
    for stream, message in told.items():
        assert isinstance(message, HttpRequest)
        assert message.method in ("POST", "?")
        assert message.target in ("/v1", "?")
        fields = [field for field in message.headers if field != ("host", "a.example")]
        # Two more may stand for the path and the host.
        unknown = len(fields) - len(sent[stream])
        assert unknown in (0, 1, 2) or fields == []
        assert fields[:unknown] == [("?", "?")] * unknown or fields == []
        for seen, truth in zip(fields[unknown:], sent[stream], strict=False):
            assert all(a in (b, "?") for a, b in zip(seen, truth, strict=True))


@given(st.data(), st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.binary(max_size=300))))
def test_joined_at_any_byte_only_what_was_sent_is_reported(
    choice: st.DataObject, pieces: list[tuple[int, bytes]]
) -> None:
    """Bodies of any bytes: what is reported of a stream is how what was sent on it ended."""
    wire = settings() + b"".join(data(stream, piece) for stream, piece in pieces)
    sent = {stream: b"".join(p for s, p in pieces if s == stream) for stream in (1, 3, 5)}
    parser = Http2Parser("response")
    begin = choice.draw(st.integers(0, len(wire)))
    for stream, messages in streams_of(parser.feed(wire[begin:])).items():
        body = messages[1]
        assert isinstance(body, HttpBody)
        assert sent[stream].endswith(body.data)


@given(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=60), st.integers(0, 2**32))
def test_what_another_implementation_writes_is_read(turns: list[int], seed: int) -> None:
    """Two ends of h2 hold four exchanges at a time, in any order of their steps."""
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    parsers = {"request": Http2Parser("request"), "response": Http2Parser("response")}
    told: dict[str, list[HttpMessage]] = {"request": [], "response": []}
    client.initiate_connection()
    server.initiate_connection()
    steps = dict.fromkeys(range(4), 0)
    for turn in [*range(4), *turns, *(turn for turn in range(4) for _ in range(8))]:
        stream, step = 2 * turn + 1, steps[turn]
        steps[turn] += 1
        body = bytes([turn]) * (seed % 1000)
        if step == 0:
            client.send_headers(stream, [*REQUEST, ("x-turn", str(turn)), ("x-seed", str(seed))])
        elif step in (1, 2):
            client.send_data(stream, body, end_stream=step == 2, pad_length=seed % 256)
        elif step == 3:
            server.send_headers(stream, [*RESPONSE, ("x-turn", str(turn))])
        elif step == 4:
            server.send_data(stream, body)
        elif step == 5 and turn == 3:
            server.reset_stream(stream)
        elif step == 5:
            server.send_headers(stream, [("x-trailer", "1")], end_stream=True)
        wire = client.data_to_send()
        told["request"] += parsers["request"].feed(wire)
        server.receive_data(wire)
        wire = server.data_to_send()
        told["response"] += parsers["response"].feed(wire)
        client.receive_data(wire)
    for turn in range(4):
        stream, body = 2 * turn + 1, bytes([turn]) * (seed % 1000)
        fields = (("host", "a.example"), ("x-turn", str(turn)), ("x-seed", str(seed)))
        sent = [HttpBody(2 * body, stream)] if body else []
        assert streams_of(told["request"])[stream] == [
            HttpRequest("POST", "/v1", fields, "2", stream),
            *sent,
            HttpEnd(stream_id=stream),
        ]
        answered = [HttpBody(body, stream)] if body else []
        trailers = () if turn == 3 else (("x-trailer", "1"),)
        assert streams_of(told["response"])[stream] == [
            HttpResponse(200, (*RESPONSE[1:], ("x-turn", str(turn))), "2", stream),
            *answered,
            HttpEnd(turn == 3, stream, trailers),
        ]
