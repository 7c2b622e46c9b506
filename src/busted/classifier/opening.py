"""How a connection begins: what it speaks, and on which side of it the process is.

Strategy: HTTP/2 opens with 24 fixed bytes, which are held back until they differ. The
process is the client if it writes requests or reads responses, the server if it is the
other way round: so until that is known, the same bytes are read both ways.
"""

from __future__ import annotations

from typing import Literal

from busted.classifier.direction import Direction
from busted.protocols.http import HttpRequest, HttpResponse
from busted.protocols.http1 import Http1Parser

Role = Literal["client", "server"]
Protocol = Literal["http1", "http2", "websocket", "other"]

# RFC 9113 section 3.4: "In HTTP/2, each endpoint is required to send a connection preface".
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Opening:
    """Feed it all bytes until `role` is known and nothing is held back."""

    def __init__(self) -> None:
        self.role: Role | None = None
        self.protocol: Protocol = "http1"
        self._held: dict[Direction, bytes] = {direction: b"" for direction in Direction}
        self._mirrored = {
            Direction.WRITE: Http1Parser("response"),
            Direction.READ: Http1Parser("request"),
        }

    def feed(self, direction: Direction, data: bytes) -> bytes:
        """Return the bytes of HTTP/1 to read now, `data` or what was held back before it."""
        held = self._held.get(direction)
        if held is not None:
            data = held + data
            if len(data) < len(HTTP2_PREFACE) and HTTP2_PREFACE.startswith(data):
                self._held[direction] = data
                return b""
            del self._held[direction]
            if data.startswith(HTTP2_PREFACE):
                self.protocol = "http2"
                self.decide("client" if direction is Direction.WRITE else "server")
                return b""
        if self.role is None:
            self._mirror(direction, data)
        return data

    def release(self, direction: Direction) -> bytes:
        """Return what is held back: there is a gap, or nothing more to come."""
        return self._held.pop(direction, b"")

    def gap(self, direction: Direction, missing: int) -> None:
        """Tell that the next `missing` bytes of a direction were never seen."""
        if self.role is None:
            self._mirrored[direction].gap(missing)

    def decide(self, role: Role) -> None:
        """Tell on which side the process is; the first to know is right."""
        if self.role is None:
            self.role = role
            self._mirrored.clear()

    def _mirror(self, direction: Direction, data: bytes) -> None:
        parser = self._mirrored[direction]
        messages = parser.feed(data)
        # A page that quotes a request is no request: only what stands at the very beginning.
        if parser.skipped == 0 and any(
            isinstance(message, HttpRequest | HttpResponse) for message in messages
        ):
            self.decide("server")
