"""Invariant: bytewise and whole parsing agree by stream, what is kept is bounded, nothing raises.

The first byte chooses the side and small limits; 0xFE in the rest is a gap of one byte, so
that gaps are found wherever the fuzzer puts them.
"""

from busted.protocols.http import HttpBody, HttpGap, HttpMessage
from busted.protocols.http2 import PREFACE, Http2Parser
from tests.http2_wire import (
    END_HEADERS,
    HEADERS,
    PADDED,
    PUSH_PROMISE,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    Sender,
    data,
    frame,
    settings,
)

LIMITS = (24, 64, 1024)

SEEDS = [
    b"\0" + PREFACE + settings((1, 64)) + Sender().headers(1, REQUEST) + data(1, b"a", last=True),
    b"\3" + settings() + Sender().headers(1, RESPONSE, cut=3) + data(1, b"a\xfeb", padding=2),
    b"\1" + data(1, b"late") * 2 + Sender().headers(3, (("trailer", "a"),), last=True),
    b"\5junk"
    + data(1, b"late")
    + b"\xfe"
    + data(1, b"again") * 3
    + frame(RST_STREAM, 0, 1, b"1234"),
    b"\5" + settings() + frame(PUSH_PROMISE, END_HEADERS | PADDED, 1, b"\1\0\0\0\2\x88\0"),
    b"\4" + PREFACE + frame(HEADERS, END_HEADERS, 1, b"\xbe\x3f\xe1\x1f\x40\1a\1b\xbe"),
]


def one_input(data: bytes) -> None:
    choice, data = data[0] if data else 0, data[1:]
    side, limit = ("request", "response")[choice % 2], LIMITS[choice // 2 % len(LIMITS)]
    runs: list[tuple[dict[int, list[HttpMessage]], int]] = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        parser = Http2Parser(
            "request" if side == "request" else "response",
            max_head_bytes=limit,
            max_streams=3,
            search_bytes=limit,
        )
        messages: list[HttpMessage] = []
        for piece in pieces:
            for place, seen in enumerate(piece.split(b"\xfe")):
                messages += parser.gap(1) if place else []
                messages += parser.feed(seen)
                assert len(parser._held) <= limit + len(PREFACE) + len(piece)
                assert len(parser._payload) <= limit
                assert len(parser._open) <= 3
        messages += parser.close()
        runs.append((by_stream(messages), parser.skipped))
    assert runs[0] == runs[1]


def by_stream(messages: list[HttpMessage]) -> dict[int, list[HttpMessage]]:
    streams: dict[int, list[HttpMessage]] = {}
    for message in messages:
        own = streams.setdefault(message.stream_id, [])
        last = own[-1] if own else None
        if isinstance(message, HttpBody) and isinstance(last, HttpBody):
            own[-1] = HttpBody(last.data + message.data, message.stream_id)
        elif isinstance(message, HttpGap) and isinstance(last, HttpGap):
            own[-1] = HttpGap(last.missing + message.missing, message.stream_id)
        else:
            own.append(message)
    return streams
