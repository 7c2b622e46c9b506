from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.http import HttpBody, HttpGap, HttpMessage
from busted.protocols.http1 import Http1Parser
from busted.protocols.http1_fields import read_fields

PIECES = [
    b"GET / HTTP/1.1\r\n",
    b"POST /v1/messages HTTP/1.1\r\n",
    b"HEAD /a?b=\xc3\xa9 HTTP/1.0\n",
    b"CONNECT a.example:443 HTTP/1.1\r\n",
    b"DELETE /mcp HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.0 404\r\n",
    b"HTTP/1.1 204 No Content\n",
    b"Host: a.example\r\n",
    b"Content-Length: 7\r\n",
    b"Content-Length: 0\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"X: a\r\n folded\r\n",
    b"\r\n",
    b"\n",
    b"5\r\nhello\r\n",
    b"3;x=y\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nTrailer: t\r\n\r\n",
    b"0\nno field\n\n",
    b"5 ;\r\0\nhello\n",
    b"\tpost  /a\tHTTP/1.10 \r\n",
    b"Content-Length: 7\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"no field\r: a\r\n",
    b"{body}",
    b"GET / HTTP/1.",
    b"\x81\x05hello",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST / HTTP/1.1\nContent-Length: 7\n\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 7\n\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
]
SIDES: list[Literal["request", "response"]] = ["request", "response"]
METHODS = st.lists(st.sampled_from(["GET", "POST", "HEAD", "CONNECT"]), max_size=4)

# A step is bytes, or the number of bytes that are missing at this place.
Step = bytes | int
traffic = st.lists(
    st.sampled_from(PIECES) | st.binary(max_size=5) | st.integers(1, 12), max_size=24
).map(lambda steps: merge(steps))


def merge(steps: list[Step]) -> list[Step]:
    """Join adjacent bytes, so that "whole" means whole."""
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if isinstance(step, bytes) and isinstance(last, bytes):
            merged[-1] = last + step
        else:
            merged.append(step)
    return merged


@st.composite
def cut_steps(
    draw: st.DrawFn, traffic: st.SearchStrategy[list[Step]]
) -> tuple[list[Step], list[Step]]:
    """The same traffic twice: whole, and with its bytes and gaps cut in pieces."""
    whole = draw(traffic)
    cut: list[Step] = []
    for step in whole:
        size = step if isinstance(step, int) else len(step)
        places = sorted(draw(st.lists(st.integers(0, size), max_size=6)))
        for begin, end in zip([0, *places], [*places, size], strict=True):
            cut.append(end - begin if isinstance(step, int) else step[begin:end])
    return whole, cut


def bytewise(steps: list[Step]) -> list[Step]:
    cut: list[Step] = []
    for step in steps:
        if isinstance(step, int):
            cut += [1] * step
        else:
            cut += [step[i : i + 1] for i in range(len(step))]
    return cut


def joined(messages: list[HttpMessage]) -> list[HttpMessage]:
    result: list[HttpMessage] = []
    for message in messages:
        last = result[-1] if result else None
        if isinstance(message, HttpBody):
            assert message.data, "a body piece is never empty"
        if isinstance(message, HttpBody) and isinstance(last, HttpBody):
            result[-1] = HttpBody(last.data + message.data)
        elif isinstance(message, HttpGap) and isinstance(last, HttpGap):
            result[-1] = HttpGap(last.missing + message.missing)
        else:
            result.append(message)
    return result


def parse(
    side: Literal["request", "response"], steps: list[Step], methods: list[str], limit: int
) -> tuple[list[HttpMessage], int]:
    parser = Http1Parser(side, max_head_bytes=limit)
    for method in methods:
        parser.expect(method)
    messages: list[HttpMessage] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    messages += parser.close()
    return joined(messages), parser.skipped


@pytest.mark.parametrize("side", SIDES)
@given(traffic=cut_steps(traffic), methods=METHODS, limit=st.sampled_from([20, 60, 65536]))
def test_cuts_do_not_matter(
    side: Literal["request", "response"],
    traffic: tuple[list[Step], list[Step]],
    methods: list[str],
    limit: int,
) -> None:
    """However the stream is sliced, gaps included, the same messages come out."""
    whole, cut = traffic
    expected = parse(side, whole, methods, limit)

    assert parse(side, bytewise(whole), methods, limit) == expected
    assert parse(side, cut, methods, limit) == expected


NAMES = st.sampled_from(["Host", "a-b", "X_1", "content-length", "é"])
VALUES = st.sampled_from(["", "x", " a b ", "é: c", "\x01", "\t7"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_fields_are_the_same_however_their_lines_end(fields: list[tuple[str, str]]) -> None:
    """The usual way of writing them, which is read at once, and the others, line by line."""
    lines = "".join(f"{name}:{value}\r\n" for name, value in fields) + "\r\n"
    expected = tuple((name.lower(), value.strip()) for name, value in fields)
    assert read_fields(lines.encode("latin-1")) == expected
    assert read_fields(lines.replace("\r", "").encode("latin-1")) == expected
    assert read_fields(lines.encode("latin-1")[:-2]) == expected
