"""gRPC, as far as a witness without the schemas can read it: which method, how many messages,
how large.

Strategy: HTTP/2 carries a call as a request whose path names the method; its body, and that of
the response, is a sequence of messages, each with its length before it. They are counted and
measured, not kept. A gap inside a message is harmless; one over a length is the end.

Left out: what the messages say (Protocol Buffers need their schema), and the text form of
gRPC-Web, which is base64.

Reference: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and PROTOCOL-WEB.md
"""

from __future__ import annotations

import re

import msgspec

_PREFIX_BYTES = 5
_COMPRESSED, _TRAILERS = 0x01, 0x80

# "Path -> "/" Service-Name "/" {method name}"
_METHOD = re.compile(r"/([^/?]+)/([^/?]+)")

# "Content-Type -> "content-type" "application/grpc" [("+proto" / "+json" / {custom})]", and
# "application/grpc-web" with the same endings.
_CONTENT_TYPE = re.compile(r"application/grpc(?:-web)?(?:[+;].*)?", re.IGNORECASE | re.DOTALL)


class GrpcMethod(msgspec.Struct, frozen=True):
    """The full name of a service, with its package, and that of a method."""

    service: str
    name: str


class GrpcMessage(msgspec.Struct, frozen=True):
    """A message of `size` bytes; `truncated` when not all of them were seen.

    gRPC-Web's trailers are not counted as messages.
    """

    size: int
    compressed: bool = False
    truncated: bool = False


def is_grpc(content_type: str | None) -> bool:
    """Whether a Content-Type says that the body is read by `GrpcParser`."""
    return content_type is not None and _CONTENT_TYPE.fullmatch(content_type.strip()) is not None


def read_method(target: str) -> GrpcMethod | None:
    """Return the method that the path of a call names."""
    match = _METHOD.fullmatch(target)
    return GrpcMethod(match[1], match[2]) if match else None


class GrpcParser:
    """Feed it the body of a call or of its response. It never raises.

    `is_lost` tells that the body is no longer understood; `skipped` counts what came then.
    """

    def __init__(self) -> None:
        self.is_lost = False
        self.skipped = 0
        self._held = b""  # an unfinished prefix
        self._left: int | None = None  # of the message, None between messages
        self._message = GrpcMessage(0)
        self._is_trailers = False
        self._is_truncated = False

    def feed(self, data: bytes) -> list[GrpcMessage]:
        """Consume `data` and return the messages that it completes."""
        messages: list[GrpcMessage] = []
        data = self._held + data
        self._held = b""
        position = 0
        while position < len(data):
            if self.is_lost:
                self.skipped += len(data) - position
                break
            if self._left is not None:
                size = min(self._left, len(data) - position)
                position += size
                self._advance(size, messages)
            elif len(data) - position < _PREFIX_BYTES:
                self._held = data[position:]
                break
            elif data[position] & ~(_COMPRESSED | _TRAILERS):
                self.is_lost = True
            else:
                self._begin(data[position], data[position + 1 : position + _PREFIX_BYTES])
                position += _PREFIX_BYTES
                self._advance(0, messages)
        return messages

    def gap(self, missing: int) -> list[GrpcMessage]:
        """Tell that the next `missing` bytes of the body were never seen."""
        messages: list[GrpcMessage] = []
        if missing > 0 and self._left is not None:
            self._is_truncated = True
            missed = min(missing, self._left)
            missing -= missed
            self._advance(missed, messages)
        if missing > 0:
            self._lose_place()
        return messages

    def close(self) -> list[GrpcMessage]:
        """Tell that the body is over, and return the unfinished message."""
        messages: list[GrpcMessage] = []
        if self._left is not None:
            self._is_truncated = True
            self._advance(self._left, messages)
        self._lose_place()
        return messages

    def _begin(self, flags: int, length: bytes) -> None:
        self._left = int.from_bytes(length, "big")
        self._message = GrpcMessage(self._left, bool(flags & _COMPRESSED))
        self._is_trailers = bool(flags & _TRAILERS)
        self._is_truncated = False

    def _advance(self, count: int, messages: list[GrpcMessage]) -> None:
        """`count` bytes of the message are done with."""
        self._left = (self._left or 0) - count
        if self._left:
            return
        self._left = None
        if not self._is_trailers:
            messages.append(msgspec.structs.replace(self._message, truncated=self._is_truncated))

    def _lose_place(self) -> None:
        self.is_lost = True
        self.skipped += len(self._held)
        self._held = b""
