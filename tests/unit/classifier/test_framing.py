from itertools import pairwise

import pytest

from busted.classifier.direction import Direction
from busted.classifier.framing import Framing, Protocol, Read, Role
from busted.protocols.http import HttpBody, HttpEnd, HttpRequest, HttpResponse
from busted.protocols.websocket import WebSocketMessage
from tests import websocket_wire
from tests.http2_wire import (
    PREFACE,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    Sender,
    data,
    frame,
    settings,
)
from tests.unit.classifier.wire import CHAT, request, response

WRITE, READ = Direction.WRITE, Direction.READ
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}
SWITCHING = (
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


@pytest.mark.parametrize(
    ("direction", "wire", "protocol", "role"),
    [
        (WRITE, PREFACE, "http2", "client"),
        (READ, PREFACE, "http2", "server"),
        (READ, settings((3, 100)), "http2", "client"),
        (WRITE, settings() + Sender().headers(1, RESPONSE), "http2", "server"),
        (WRITE, request(CHAT), "http1", "client"),
        (READ, request(CHAT), "http1", "server"),
        (READ, response({}), "http1", "client"),
        (WRITE, response({}), "http1", "server"),
        (WRITE, b"PRI * HTTP/1.1\r\n\r\n", "http1", None),
        (READ, b"junk " + data(1, b"late") * 2, "http2", None),
        (READ, data(1, b"late") + Sender().headers(3, RESPONSE), "http2", "client"),
        (READ, data(1, b"late") + Sender().headers(3, REQUEST), "http2", "server"),
    ],
)
def test_protocol_and_role_show_however_the_beginning_is_cut(
    direction: Direction, wire: bytes, protocol: Protocol, role: Role | None
) -> None:
    for cut in range(len(wire)):
        framing = Framing()
        framing.feed(direction, wire[:cut])
        framing.feed(direction, wire[cut:])
        assert (framing.protocol, framing.role) == (protocol, role)


@pytest.mark.parametrize("rest", [b"\n", b"\r\n\r\n", b"junk\r\n", b"\0"])
def test_what_follows_a_servers_first_request_does_not_hide_the_role(rest: bytes) -> None:
    framing = Framing()

    framing.feed(READ, request(CHAT) + rest)

    assert framing.role == "server"


def test_the_first_to_know_the_role_is_right() -> None:
    framing = Framing()
    framing.feed(WRITE, request(CHAT))
    framing.feed(READ, request(CHAT))
    assert framing.role == "client"


def test_a_reset_of_one_direction_ends_the_message_of_the_other() -> None:
    framing = Framing()
    framing.feed(WRITE, PREFACE + settings())
    framing.feed(READ, settings() + Sender().headers(1, RESPONSE))
    assert framing.feed(WRITE, frame(RST_STREAM, 0, 1, bytes(4))) == [(READ, HttpEnd(True, 1))]


def test_messages_of_a_websocket_come_from_the_byte_after_the_upgrade() -> None:
    framing = Framing()
    framing.feed(WRITE, request(None, method="GET", headers=UPGRADE))
    hello = websocket_wire.frame(
        websocket_wire.TEXT, websocket_wire.Deflater()(b"hello"), compressed=True
    )
    read: list[Read] = []
    for a, b in pairwise(range(len(SWITCHING + hello) + 1)):
        read += framing.feed(READ, (SWITCHING + hello)[a:b])
    assert [type(message) for _, message in read] == [HttpResponse, HttpEnd, WebSocketMessage]
    assert read[-1] == (READ, WebSocketMessage("text", b"hello"))
    asked = websocket_wire.frame(websocket_wire.TEXT, b"hi", mask=b"abcd")
    assert framing.feed(WRITE, asked) == [(WRITE, WebSocketMessage("text", b"hi"))]
    assert framing.protocol == "websocket"


def test_a_gap_in_a_websocket_is_told_by_its_message() -> None:
    framing = Framing()
    framing.feed(READ, SWITCHING + websocket_wire.frame(websocket_wire.TEXT, b"hello")[:4])
    message = WebSocketMessage("text", b"he", truncated=True, missing=3)
    assert framing.gap(READ, 3) == [(READ, message)]


def test_an_upgrade_to_h2c_is_read_as_http2() -> None:
    framing = Framing()
    framing.feed(WRITE, request(None, method="GET", headers={**UPGRADE, "Upgrade": "h2c"}))
    switching = SWITCHING.replace(b"websocket", b"h2c")
    answer = settings() + Sender().headers(1, RESPONSE) + data(1, b"{}", last=True)
    read = framing.feed(READ, switching + answer)
    assert [message for _, message in read[2:]] == [
        HttpResponse(200, (("content-type", "application/json"),), "2", 1),
        HttpBody(b"{}", 1),
        HttpEnd(stream_id=1),
    ]
    ((direction, head),) = framing.feed(WRITE, PREFACE + Sender().headers(3, REQUEST))
    assert direction is WRITE
    assert isinstance(head, HttpRequest)
    assert framing.protocol == "http2"


def test_what_goes_through_a_tunnel_is_not_read() -> None:
    framing = Framing()
    framing.expect("CONNECT")
    framing.feed(READ, b"HTTP/1.1 200 OK\r\n\r\n\x16\x03")
    assert framing.protocol == "other"
    assert framing.feed(READ, response({})) == framing.gap(READ, 1) == framing.close() == []


@pytest.mark.parametrize("beginning", [b"", PREFACE + settings()])
def test_after_a_restart_the_next_messages_are_found(beginning: bytes) -> None:
    framing = Framing()
    framing.feed(WRITE, beginning + b"half of somet")
    framing.restart()
    wire = Sender().headers(1, REQUEST, last=True) + settings() if beginning else request(CHAT)
    ((_, head), *_) = framing.feed(WRITE, wire)
    assert isinstance(head, HttpRequest)
    assert head.method == "POST"


def test_after_a_restart_a_websocket_is_lost() -> None:
    framing = Framing()
    framing.feed(READ, SWITCHING + b"\x81")
    framing.restart()
    assert framing.feed(READ, websocket_wire.frame(websocket_wire.TEXT, b"a")) == []


H2_REQUEST = Sender().headers(1, REQUEST)
WHOLE: dict[str, tuple[bytes, list[bytes]]] = {
    # What was written and read before, and then messages, each whole.
    "http1": (b"", [request(CHAT), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", request(CHAT)]),
    "http1 chunked": (
        b"",
        [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
    ),
    "http2": (PREFACE + settings(), [H2_REQUEST + data(1, b"body", last=True), settings()]),
    "junk": (b"", [b"\x00\x01 binary without any line", b"more of it"]),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_process_is_writing_exactly_from_a_messages_first_byte_to_its_last(kind: str) -> None:
    before, messages = WHOLE[kind]
    for place, message in enumerate(messages):
        whole = before + b"".join(messages[:place])
        for cut in range(1, len(message) + 1):
            framing = Framing()
            framing.feed(WRITE, whole)
            framing.feed(WRITE, message[:cut])
            is_amid = kind != "junk" and cut < len(message)
            assert framing.is_writing == is_amid, (place, cut)


def test_a_process_is_writing_until_a_message_over_a_websocket_is_whole() -> None:
    framing = Framing()
    framing.feed(WRITE, b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    framing.feed(READ, SWITCHING)
    first = websocket_wire.frame(websocket_wire.TEXT, b"he", final=False)
    last = websocket_wire.frame(websocket_wire.CONTINUATION, b"llo")
    seen = []
    for byte in first + last + websocket_wire.frame(websocket_wire.PING):
        framing.feed(WRITE, bytes([byte]))
        seen.append(framing.is_writing)
    assert seen == [True] * (len(first + last) - 1) + [False, True, False]


def test_streams_of_http2_that_interleave_are_whole_when_the_last_one_is() -> None:
    framing = Framing()
    sender = Sender()
    framing.feed(WRITE, PREFACE + settings() + sender.headers(1, REQUEST))
    framing.feed(WRITE, sender.headers(3, REQUEST) + data(3, b"3", last=True))
    assert framing.is_writing
    framing.feed(WRITE, data(1, b"1", last=True))
    assert not framing.is_writing
