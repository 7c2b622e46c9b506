import gzip

import pytest

from busted.protocols.detect import Protocol, detect


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


SETTINGS = http2_frame(4, 0, 0, b"\0\3\0\0\0\x64")


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        (b"", "unknown"),
        (b" \r\n", "unknown"),
        (b"POST /v1/messages HTTP/1.1\r\nHost: a\r\n", "http1_request"),
        (b"POST /v1/mess", "http1_request"),
        (b"\r\n\npost\t/v1  HTTP/1.10 \r\n", "http1_request"),
        (b"GET /" + b"a" * 5000, "http1_request"),
        (b"CONNECT a.example:443 HTTP/1.1\r\n", "http1_request"),
        (b"GET ready", "text"),
        (b"GET /tmp is a path", "text"),
        (b"HTTP/1.1 200 OK\r\n", "http1_response"),
        (b"HTTP/1.0 404\r\n", "http1_response"),
        (b"HTTP/1.1 is old", "text"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS, "http2"),
        (SETTINGS, "http2"),
        (SETTINGS + http2_frame(4, 1, 0, b""), "http2"),
        (http2_frame(1, 4, 1, b"\x82\x86") + http2_frame(0, 1, 1, b"{}"), "http2"),
        (http2_frame(0, 0, 3, b'{"a":1}' * 1000)[:5000], "http2"),
        (bytes(100), "binary"),
        (b'data: {"id":"a"}\n\n', "sse"),
        (b'data: {"id":"' + b"a" * 5000, "sse"),
        (b"event: message_start\r\ndata: {}\r\n\r\n", "sse"),
        (b": OPENROUTER PROCESSING\n\n", "sse"),
        (b"\xef\xbb\xbfid: 7\ndata: {}\n\n", "sse"),
        (b"1f4\r\ndata: {}\n\n\r\n", "sse"),
        (b"data:image/png;base64,aaaa", "text"),
        (b"id: 7\nname: yaml\n", "text"),
        (b"\x81\x05hello", "websocket"),
        (b"\x81\x05hello\x89\x00", "websocket"),
        (b"\x81\x85\0\0\0\0hello", "websocket"),
        (b"\xc1\x7e\x01\x00" + b"\xaa" * 100, "websocket"),
        (b"\x81\x7e\x00\x05hello", "binary"),
        (b"\x81\x05hello, this is more", "binary"),
        (b"\x88\x7f" + bytes(8), "binary"),
        (b' {"model":"m"', "json"),
        (b"[]", "json"),
        (b"[1, 2]", "json"),
        (b"{", "json"),
        (b'{"a":"\xe9t\xe9"}', "json"),
        (b"[2026-11-22] started", "text"),
        (b"{curly}", "text"),
        ("hällo".encode(), "text"),
        ("hällo".encode()[:2], "text"),
        (gzip.compress(b"hello"), "binary"),
        (b"\x16\x03\x01\x02\x00\x01", "binary"),
        (b"\x7fELF\x02\x01\x01\0", "binary"),
    ],
)
def test_a_buffer_is_told_by_its_start(data: bytes, protocol: Protocol) -> None:
    assert detect(data) == protocol
