"""Invariant: bytewise and whole parsing agree, held bytes are bounded, and nothing raises.

The first byte chooses the side and a small limit for heads; 0xFE in the rest is a gap of one
byte, so that gaps are found wherever the fuzzer puts them.
"""

from itertools import groupby

from busted.protocols.http import HttpBody, HttpGap, HttpMessage
from busted.protocols.http1 import Http1Parser

LIMITS = (24, 64, 1024)

SEEDS = [
    b"\0POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nh\xfello" + b"GET /b HTTP/1.1\r\n\r\n",
    b"\4GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x80",
    b"\4CONNECT a.example:1 HTTP/1.1\r\n\r\nCONNECT a.example:1 HTTP/1.1\r\n\r\n\x16",
    b"\5HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\nHTTP/1.1 204\r\n\r\n",
    b"\5HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhelloHTTP/1.1 200 OK\r\n\r\nabc\xfe",
    b"\5HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    b"\1junk HTTP/1. junk\nHTTP/1.0 200 OK\n\nHTTP/1.1 200 OK\r\n",
]


def one_input(data: bytes) -> None:
    choice, data = data[0] if data else 0, data[1:]
    side, limit = ("request", "response")[choice % 2], LIMITS[choice // 2 % len(LIMITS)]
    runs: list[tuple[list[HttpMessage], int]] = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        parser = Http1Parser("request" if side == "request" else "response", max_head_bytes=limit)
        messages: list[HttpMessage] = []
        for piece in pieces:
            for place, seen in enumerate(piece.split(b"\xfe")):
                messages += parser.gap(1) if place else []
                messages += parser.feed(seen)
                assert len(parser._held) <= 3 * limit + len(piece)
        messages += parser.close()
        runs.append((joined(messages), parser.skipped))
    assert runs[0] == runs[1]


def joined(messages: list[HttpMessage]) -> list[HttpMessage]:
    result: list[HttpMessage] = []
    for kind, group in groupby(messages, type):
        if kind is HttpBody:
            result.append(HttpBody(b"".join(m.data for m in group if isinstance(m, HttpBody))))
        elif kind is HttpGap:
            result.append(HttpGap(sum(m.missing for m in group if isinstance(m, HttpGap))))
        else:
            result += group
    return result
