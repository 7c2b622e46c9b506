import pytest

from busted.protocols.http import (
    HttpBody,
    HttpEnd,
    HttpGap,
    HttpMessage,
    HttpRequest,
    HttpResponse,
    HttpUpgrade,
)
from busted.protocols.http1 import MAX_EXPECTED, Http1Parser, Side

CHUNKED = (("transfer-encoding", "chunked"),)
CHUNKED_RESPONSE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EMPTY_RESPONSE = b"HTTP/1.1 204 No Content\r\n\r\n"


def length(size: int) -> tuple[tuple[str, str], ...]:
    return (("content-length", str(size)),)


def parse(side: Side, *steps: bytes | int, expect: str = "", close: bool = False) -> list[object]:
    """Feed bytes, gaps (numbers) and perhaps the end to a parser; return its messages."""
    parser = Http1Parser(side)
    for method in expect.split():
        parser.expect(method)
    messages: list[HttpMessage] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    if close:
        messages += parser.close()
    return list(messages)


def test_a_request_gives_its_head_body_and_end() -> None:
    data = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    headers = (("host", "a"), ("content-length", "2"))
    assert parse("request", data) == [
        HttpRequest("POST", "/v1/messages?beta=true", headers),
        HttpBody(b"{}"),
        HttpEnd(),
    ]


def test_names_are_lowered_values_stripped_and_order_kept() -> None:
    data = b"GET / HTTP/1.0\r\nB:  x \t\r\na: caf\xe9\r\nB:\r\nf: 1\r\n 2\r\n\r\n"
    headers = (("b", "x"), ("a", "café"), ("b", ""), ("f", "1 2"))
    assert parse("request", data) == [HttpRequest("GET", "/", headers, "1.0"), HttpEnd()]


@pytest.mark.parametrize("target", ['/é?a={"b"}', "http://a.example/b", "*", "//"])
def test_any_target_without_a_space_is_read(target: str) -> None:
    data = f"GET {target} HTTP/1.1\r\n\r\n".encode("latin-1")
    assert parse("request", data) == [HttpRequest("GET", target), HttpEnd()]


def test_a_head_ends_at_the_first_of_two_blank_lines() -> None:
    data = b"HTTP/1.1 200 OK\nContent-Length: 2\n\n\r\n"
    assert parse("response", data) == [
        HttpResponse(200, length(2)),
        HttpBody(b"\r\n"),
        HttpEnd(),
    ]


def test_lines_of_a_head_may_end_in_a_line_feed_alone() -> None:
    data = b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"
    assert parse("response", data) == [HttpResponse(200, length(2)), HttpBody(b"hi"), HttpEnd()]


def test_pipelined_requests_are_separate() -> None:
    data = b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /b HTTP/1.1\r\n\r\n"
    assert parse("request", data) == [
        HttpRequest("POST", "/a", length(1)),
        HttpBody(b"x"),
        HttpEnd(),
        HttpRequest("GET", "/b"),
        HttpEnd(),
    ]


def test_chunks_are_joined_and_extensions_and_trailers_dropped() -> None:
    data = CHUNKED_RESPONSE + b'3;a="b"\r\nhel\r\n2\r\nlo\r\n6\r\n world\r\n0\r\nDigest: x\r\n\r\n'
    assert parse("response", data + EMPTY_RESPONSE) == [
        HttpResponse(200, CHUNKED),
        HttpBody(b"hel"),
        HttpBody(b"lo world"),
        HttpEnd(),
        HttpResponse(204),
        HttpEnd(),
    ]


def test_transfer_encoding_overrides_content_length() -> None:
    data = b"POST / HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert parse("request", data)[1:] == [HttpEnd()]


def test_a_length_of_zero_is_an_end() -> None:
    data = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    assert parse("request", data) == [HttpRequest("POST", "/", length(0)), HttpEnd()]


def test_interim_responses_are_not_reported_and_answer_nothing() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    data = interim + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + EMPTY_RESPONSE
    assert parse("response", data, expect="HEAD") == [
        HttpResponse(200, length(9)),
        HttpEnd(),
        HttpResponse(204),
        HttpEnd(),
    ]


@pytest.mark.parametrize("status", [204, 304])
def test_responses_without_content_have_no_body_whatever_the_length_says(status: int) -> None:
    data = f"HTTP/1.1 {status} X\r\nContent-Length: 9\r\n\r\n".encode()
    assert parse("response", data) == [HttpResponse(status, length(9)), HttpEnd()]


def test_methods_are_matched_with_responses_in_order() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert parse("response", head + b"hi" + head + head + b"hi", expect="GET HEAD POST") == [
        HttpResponse(200, length(2)),
        HttpBody(b"hi"),
        HttpEnd(),
        HttpResponse(200, length(2)),
        HttpEnd(),
        HttpResponse(200, length(2)),
        HttpBody(b"hi"),
        HttpEnd(),
    ]


def test_expected_methods_are_bounded() -> None:
    parser = Http1Parser("response")
    for _ in range(MAX_EXPECTED + 1):
        parser.expect("HEAD")
    answers = parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" * (MAX_EXPECTED + 1))
    assert len([m for m in answers if isinstance(m, HttpResponse)]) == MAX_EXPECTED + 1
    assert answers[-1] != HttpEnd(), "the last one is in its body"


def test_a_response_without_length_ends_with_the_connection() -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 is text here\r\n"
    assert parse("response", data, close=True) == [
        HttpResponse(200),
        HttpBody(b"HTTP/1.1 is text here\r\n"),
        HttpEnd(),
    ]


def test_a_request_without_length_has_no_body() -> None:
    assert parse("request", b"POST / HTTP/1.1\r\n\r\n") == [HttpRequest("POST", "/"), HttpEnd()]


def test_switching_protocols_ends_http() -> None:
    data = b"HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\n\r\n\x81\x02hi"
    assert parse("response", data, 3, b"HTTP/1.1 200 OK\r\n\r\n", close=True) == [
        HttpResponse(101, (("upgrade", "WebSocket"),)),
        HttpEnd(),
        HttpUpgrade("websocket"),
        HttpBody(b"\x81\x02hi"),
        HttpGap(3),
        HttpBody(b"HTTP/1.1 200 OK\r\n\r\n"),
    ]


UPGRADE = b"GET /v1/responses HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_an_upgrade_that_is_used_turns_the_request_side_raw() -> None:
    assert parse("request", UPGRADE, b"\x81\x80")[1:] == [
        HttpEnd(),
        HttpUpgrade("websocket"),
        HttpBody(b"\x81\x80"),
    ]


def test_an_upgrade_that_was_refused_leaves_http_going() -> None:
    assert parse("request", UPGRADE, b"P", b"OST / HTTP/1.1\r\n\r\n")[1:] == [
        HttpEnd(),
        HttpRequest("POST", "/"),
        HttpEnd(),
    ]


def test_a_gap_after_an_upgrade_request_is_taken_as_part_of_the_new_protocol() -> None:
    assert parse("request", UPGRADE, 4, b"x")[1:] == [
        HttpEnd(),
        HttpUpgrade("websocket"),
        HttpGap(4),
        HttpBody(b"x"),
    ]


def test_connect_opens_a_tunnel_on_both_sides() -> None:
    tunnel = [HttpEnd(), HttpUpgrade("connect"), HttpBody(b"\x16\x03")]
    request = b"CONNECT a.example:443 HTTP/1.1\r\n\r\n\x16\x03"
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x16\x03"
    assert parse("request", request)[1:] == tunnel
    assert parse("response", response, expect="CONNECT")[1:] == tunnel


def test_a_refused_connect_is_an_ordinary_exchange() -> None:
    request = b"CONNECT a.example:443 HTTP/1.1\r\n\r\n"
    response = b"HTTP/1.1 407 X\r\nContent-Length: 2\r\n\r\nno"
    assert parse("request", request * 2) == [HttpRequest("CONNECT", "a.example:443"), HttpEnd()] * 2
    assert parse("response", response, expect="CONNECT")[1:] == [HttpBody(b"no"), HttpEnd()]


def test_joined_in_the_middle_it_waits_for_the_next_start_line() -> None:
    parser = Http1Parser("request")
    junk = b'tent":"GET it"}]}'
    assert parser.feed(junk + b"POST / HTTP/1.1\r\n\r\n") == [HttpRequest("POST", "/"), HttpEnd()]
    assert parser.skipped == len(junk)


def test_junk_between_messages_is_skipped_and_counted() -> None:
    parser = Http1Parser("response")
    data = EMPTY_RESPONSE + b"junk\r\n\0HTTP/1.1 junk\r\n" + EMPTY_RESPONSE
    assert parser.feed(data) == [HttpResponse(204), HttpEnd()] * 2
    assert parser.skipped == len(data) - 2 * len(EMPTY_RESPONSE)


def test_what_is_still_held_at_the_end_counts_as_skipped() -> None:
    parser = Http1Parser("request")
    assert parser.feed(b"POST / HTT") == []
    assert parser.close() == []
    assert parser.skipped == 10


def test_a_gap_in_a_body_of_known_length_keeps_the_end_exact() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
    assert parse("response", head + b"ab", 3, b"f" + EMPTY_RESPONSE) == [
        HttpResponse(200, length(6)),
        HttpBody(b"ab"),
        HttpGap(3),
        HttpBody(b"f"),
        HttpEnd(truncated=True),
        HttpResponse(204),
        HttpEnd(),
    ]


def test_a_gap_beyond_the_body_ends_it_and_the_next_message_is_found() -> None:
    size = 1 << 40
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    assert parse("response", head, size + 100, b"x: y\r\n\r\n" + EMPTY_RESPONSE) == [
        HttpResponse(200, length(size)),
        HttpGap(size),
        HttpEnd(truncated=True),
        HttpResponse(204),
        HttpEnd(),
    ]


def test_a_gap_inside_a_chunk_keeps_the_end_exact() -> None:
    data = CHUNKED_RESPONSE + b"5\r\nhe"
    assert parse("response", data, 2, b"o\r\n1\r\n!\r\n0\r\n\r\n" + EMPTY_RESPONSE) == [
        HttpResponse(200, CHUNKED),
        HttpBody(b"he"),
        HttpGap(2),
        HttpBody(b"o"),
        HttpBody(b"!"),
        HttpEnd(truncated=True),
        HttpResponse(204),
        HttpEnd(),
    ]


def test_a_gap_over_the_end_of_a_chunk_ends_the_message() -> None:
    data = CHUNKED_RESPONSE + b"5\r\nhe"
    assert parse("response", data, 4, b"\n0\r\n\r\n" + EMPTY_RESPONSE) == [
        HttpResponse(200, CHUNKED),
        HttpBody(b"he"),
        HttpGap(3),
        HttpEnd(truncated=True),
        HttpResponse(204),
        HttpEnd(),
    ]


def test_a_gap_in_a_body_that_the_connection_ends_is_told() -> None:
    assert parse("response", b"HTTP/1.1 200 OK\r\n\r\na", 2, b"b", close=True)[1:] == [
        HttpBody(b"a"),
        HttpGap(2),
        HttpBody(b"b"),
        HttpEnd(truncated=True),
    ]


def test_a_gap_in_a_head_reports_the_head_as_far_as_it_was_seen() -> None:
    data = b"POST /a HTTP/1.1\r\nHost: a\r\nAccept: applica"
    assert parse("request", data, 9, b"\r\n\r\nGET /b HTTP/1.1\r\n\r\n") == [
        HttpRequest("POST", "/a", (("host", "a"),)),
        HttpEnd(truncated=True),
        HttpRequest("GET", "/b"),
        HttpEnd(),
    ]


def test_after_a_gap_between_messages_no_response_is_taken_for_one_to_head() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    assert parse("response", 5, data, expect="HEAD")[1:] == [HttpBody(b"hi"), HttpEnd()]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", b"ab"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", b"ab"),
    ],
)
def test_a_connection_that_dies_in_a_body_truncates_it(data: bytes, body: bytes) -> None:
    assert parse("request", data, close=True)[1:] == [HttpBody(body), HttpEnd(truncated=True)]


def test_a_connection_that_dies_in_a_head_reports_what_was_seen() -> None:
    assert parse("request", b"GET / HTTP/1.1\r\nHost: a\r\nX", close=True) == [
        HttpRequest("GET", "/", (("host", "a"),)),
        HttpEnd(truncated=True),
    ]


def test_broken_chunks_end_the_message_at_the_byte_at_fault() -> None:
    data = CHUNKED_RESPONSE + b"2\r\nhi\r\n" + EMPTY_RESPONSE
    assert parse("response", data) == [
        HttpResponse(200, CHUNKED),
        HttpBody(b"hi"),
        HttpEnd(truncated=True),
        HttpResponse(204),
        HttpEnd(),
    ]


def test_a_start_line_without_a_head_does_not_hide_the_next_one() -> None:
    parser = Http1Parser("request")
    lost = b"GET /lost HTTP/1.1\r\nno field\r\n"
    assert parser.feed(lost + b"GET / HTTP/1.1\r\n\r\n") == [HttpRequest("GET", "/"), HttpEnd()]
    assert parser.skipped == len(lost)


def test_a_head_beyond_the_limit_is_reported_as_far_as_it_goes() -> None:
    parser = Http1Parser("request", max_head_bytes=40)
    data = b"GET / HTTP/1.1\r\nA: b\r\nC: " + b"d" * 50 + b"\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"
    assert parser.feed(data) == [
        HttpRequest("GET", "/", (("a", "b"),)),
        HttpEnd(truncated=True),
        HttpRequest("GET", "/2"),
        HttpEnd(),
    ]


def test_a_response_whose_head_is_beyond_the_limit_still_answers_its_request() -> None:
    parser = Http1Parser("response", max_head_bytes=60)
    parser.expect("HEAD")
    parser.expect("GET")
    long = b"HTTP/1.1 200 OK\r\nA: " + b"b" * 60 + b"\r\n\r\n"
    assert parser.feed(long + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")[2:] == [
        HttpResponse(200, length(2)),
        HttpBody(b"hi"),
        HttpEnd(),
    ]


@pytest.mark.parametrize("endless", [b"a", b"GET / HTTP/1.1\r\nA: b", b"HTTP/1. ", b"A: b\r\n"])
def test_bytes_without_end_are_not_kept(endless: bytes) -> None:
    parser = Http1Parser("request", max_head_bytes=1000)
    for _ in range(1000):
        parser.feed(endless * 10)
        assert len(parser._held) <= 2000 + 10 * len(endless)


def test_a_large_body_is_not_copied() -> None:
    parser = Http1Parser("request")
    parser.feed(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
    data = bytes(range(50))
    (piece,) = parser.feed(data)
    assert isinstance(piece, HttpBody)
    assert piece.data is data


HEAD = b"POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED_HEAD = b"POST /v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


def fields(*lines: bytes, body: bytes = b"hello") -> bytes:
    return b"".join([b"POST /v1 HTTP/1.1\r\n", *(line + b"\r\n" for line in lines), b"\r\n", body])


# Each was sent to nginx 1.22, Node 20, h11 0.16 and Python 3.11's http.server; those named gave
# their application the method POST, the path and the body "hello".
TAKEN = {
    "two equal lengths: h11": fields(b"Content-Length: 5", b"Content-Length: 5"),
    "a list of equal lengths: h11": fields(b"Content-Length: 5, 5"),
    "a length with a sign: http.server": fields(b"Content-Length: +5"),
    "a length with zeros: all": fields(b"Content-Length: 005"),
    "a folded line: h11, http.server": fields(b"X: a", b" b", b"Content-Length: 5"),
    "a folded length: h11, http.server": fields(b"Content-Length:", b" 5"),
    "a space before the first name: http.server": fields(b" X: a", b"Content-Length: 5"),
    "single line feeds: nginx, h11, http.server": HEAD.replace(b"\r", b"") + b"hello",
    "single carriage returns: http.server": fields(b"X: a\rContent-Length: 5"),
    "a NUL in a value: http.server": fields(b"X: a\0b", b"Content-Length: 5"),
    "a control in a value: nginx, h11, http.server": fields(b"X: \x01", b"Content-Length: 5"),
    "a line without a colon: nginx": fields(b"no field", b"Content-Length: 5"),
    "no name: http.server": fields(b": x", b"Content-Length: 5"),
    "an odd name: nginx, http.server": fields(b"A(b): c", b"Content-Length: 5"),
    "a name of other letters: nginx": fields(b"\xe9: c", b"Content-Length: 5"),
    "an unknown coding: http.server": fields(b"Transfer-Encoding: xchunked", b"Content-Length: 5"),
    "no coding: http.server": fields(b"Transfer-Encoding: identity", b"Content-Length: 5"),
    "chunked that is not: http.server": fields(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "a method in lower case: h11, http.server": HEAD.replace(b"POST", b"post") + b"hello",
    "another version: nginx, h11, http.server": HEAD.replace(b"1.1", b"1.2") + b"hello",
    "a longer version: nginx, http.server": HEAD.replace(b"1.1", b"1.10") + b"hello",
    "spaces: nginx, Node, http.server": HEAD.replace(b" /v1 ", b"  /v1  ") + b"hello",
    "tabs: http.server": HEAD.replace(b" /v1 ", b"\t/v1\t") + b"hello",
    "a space behind the version: nginx, http.server": HEAD.replace(b"1.1", b"1.1 ") + b"hello",
    "empty lines before it: nginx, Node": b"\r\n\r\n\n" + HEAD + b"hello",
    "version 1.0, chunked: Node, h11": CHUNKED_HEAD.replace(b"1.1", b"1.0")
    + b"5\r\nhello\r\n0\r\n\r\n",
    "two codings: Node": CHUNKED_HEAD.replace(b" chunked", b" gzip, Chunked")
    + b"5\r\nhello\r\n0\r\n\r\n",
    "chunked and a length: h11": fields(
        b"Transfer-Encoding: chunked", b"Content-Length: 15", body=b"5\r\nhello\r\n0\r\n\r\n"
    ),
    "single line feeds among chunks: nginx": CHUNKED_HEAD + b"5\nhello\n0\n\n",
    "a padded size: nginx, h11": CHUNKED_HEAD + b"5 \r\nhello\r\n0\r\n\r\n",
    "a NUL in an extension: nginx, h11": CHUNKED_HEAD + b"5;\0\r\nhello\r\n0\r\n\r\n",
    "a return in an extension: h11": CHUNKED_HEAD + b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "a trailer without a colon: nginx": CHUNKED_HEAD + b"5\r\nhello\r\n0\r\nno field\r\n\r\n",
}


@pytest.mark.parametrize("data", TAKEN.values(), ids=TAKEN)
def test_what_some_server_takes_is_read(data: bytes) -> None:
    messages = parse("request", data + b"GET /next HTTP/1.1\r\n\r\n")
    head, *rest = messages
    assert isinstance(head, HttpRequest)
    assert (head.method, head.target) == ("POST", "/v1")
    assert rest == [HttpBody(b"hello"), HttpEnd(), HttpRequest("GET", "/next"), HttpEnd()]


def test_of_lengths_that_differ_the_first_counts_and_the_end_is_doubted() -> None:
    # Python's http.server takes the first one.
    data = fields(b"Content-Length: 3", b"Content-Length: 5")
    assert parse("request", data)[1:] == [HttpBody(b"hel"), HttpEnd(truncated=True)]


@pytest.mark.parametrize("coding", [b"chunked, chunked", b"gzip,chunked", b"\x0bchunked"])
def test_the_last_coding_tells_whether_chunks_follow(coding: bytes) -> None:
    data = fields(b"Transfer-Encoding: " + coding, body=b"1\r\nx\r\n0\r\n\r\n")
    assert parse("request", data)[1:] == [HttpBody(b"x"), HttpEnd()]


@pytest.mark.parametrize("length", [b"", b"x", b"-5", b"0x5", b"5 5", b"9" * 5000])
def test_what_is_no_length_is_none(length: bytes) -> None:
    assert parse("request", fields(b"Content-Length: " + length, body=b""))[1:] == [HttpEnd()]


@pytest.mark.parametrize(
    "line", [b";x", b"x", b"", b"-1", b"1" * 16, b"1" + b" " * 9000, b"1;" + b"x" * 9000]
)
def test_a_line_among_chunks_that_is_no_size_ends_the_message(line: bytes) -> None:
    data = CHUNKED_RESPONSE + line + b"\r\nx\r\n0\r\n\r\n" + EMPTY_RESPONSE
    assert parse("response", data)[1:] == [HttpEnd(truncated=True), HttpResponse(204), HttpEnd()]


def test_a_body_of_http_1_0_ends_with_the_connection_or_its_length() -> None:
    kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
    last = b"HTTP/1.0 200 OK\r\n\r\nhello"
    assert [m for m in parse("response", kept + last, close=True) if isinstance(m, HttpBody)] == [
        HttpBody(b"hi"),
        HttpBody(b"hello"),
    ]
