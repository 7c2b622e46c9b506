"""Writes HTTP/2, as RFC 9113 says, for the tests of what reads it."""

from hpack import Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 0x20

REQUEST = ((":method", "POST"), (":scheme", "https"), (":path", "/v1"), (":authority", "a.example"))
RESPONSE = ((":status", "200"), ("content-type", "application/json"))

Fields = tuple[tuple[str, str], ...]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
    return frame(SETTINGS, payload=payload)


def data(stream: int, payload: bytes, *, last: bool = False, padding: int | None = None) -> bytes:
    flags = END_STREAM * last
    if padding is not None:
        flags |= PADDED
        payload = bytes([padding]) + payload + bytes(padding)
    return frame(DATA, flags, stream, payload)


class Sender:
    """One direction: the header blocks depend on those before, as real senders write them."""

    def __init__(self) -> None:
        self.encoder = Encoder()

    def headers(self, stream: int, fields: Fields, *, last: bool = False, cut: int = 0) -> bytes:
        """Return a header block, its first `cut` bytes in HEADERS, the rest in CONTINUATION."""
        block = self.encoder.encode(fields)
        flags = END_STREAM * last
        if not cut:
            return frame(HEADERS, flags | END_HEADERS, stream, block)
        return frame(HEADERS, flags, stream, block[:cut]) + frame(
            CONTINUATION, END_HEADERS, stream, block[cut:]
        )
