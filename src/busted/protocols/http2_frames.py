"""What an HTTP/2 frame header looks like, and whether bytes can be one.

Two questions, because a witness needs both. In step, a header is only doubted when it breaks a
rule that holds for every sender (`is_well_formed`). Out of step, at any byte of anything, it
must look like what real senders write (`frame_end`, `find`).

Reference: RFC 9113 sections 4.1 and 6 (frames), RFC 9218 section 7.1 (PRIORITY_UPDATE).
"""

from __future__ import annotations

import re
import struct
from typing import Literal

import msgspec

HEADER_BYTES = 9

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9
PRIORITY_UPDATE = 0x10

# RFC 9113 section 6: the flags we read. ACK shares its bit with END_STREAM.
ACK = 0x01
END_STREAM = 0x01
END_HEADERS = 0x04
PADDED = 0x08
PRIORITY_FLAG = 0x20

# RFC 9113 section 4.2: the size that every receiver takes. Larger frames must be asked for, as
# nginx does; then clients fill them with DATA and nothing else.
DEFAULT_MAX_FRAME = 1 << 14
_LONGEST = (1 << 24) - 1


class Frame(msgspec.Struct, frozen=True):
    """A frame header; `length` is the payload's, in bytes."""

    length: int
    type: int
    flags: int
    stream: int


class _Shape(msgspec.Struct, frozen=True):
    """The flags that a type of frame defines, what it concerns, and how long it can be."""

    flags: int
    on: Literal["stream", "connection", "either"]
    shortest: int = 0
    longest: int = DEFAULT_MAX_FRAME
    multiple_of: int = 1


_SHAPES = {
    DATA: _Shape(END_STREAM | PADDED, "stream", longest=_LONGEST),
    HEADERS: _Shape(END_STREAM | END_HEADERS | PADDED | PRIORITY_FLAG, "stream"),
    PRIORITY: _Shape(0, "stream", 5, 5),
    RST_STREAM: _Shape(0, "stream", 4, 4),
    SETTINGS: _Shape(ACK, "connection", multiple_of=6),
    PUSH_PROMISE: _Shape(END_HEADERS | PADDED, "stream", 4),
    PING: _Shape(ACK, "connection", 8, 8),
    GOAWAY: _Shape(0, "connection", 8),
    WINDOW_UPDATE: _Shape(0, "either", 4, 4),
    CONTINUATION: _Shape(END_HEADERS, "stream"),
    PRIORITY_UPDATE: _Shape(0, "connection", 4),
}
# RFC 9113 section 4.1: "Implementations MUST ignore and discard frames of unknown types."
_UNKNOWN = _Shape(0xFF, "either")

# The length in two parts, type, flags, and the reserved bit with the stream identifier.
_HEADER = struct.Struct(">HBBBI")
_STREAM_BITS = 0x7FFFFFFF


def read(data: bytes | bytearray, position: int) -> Frame:
    """Return the frame header at `position`, where there must be `HEADER_BYTES`."""
    high, low, kind, flags, stream = _HEADER.unpack_from(data, position)
    return Frame(high << 8 | low, kind, flags, stream & _STREAM_BITS)


def is_well_formed(frame: Frame) -> bool:
    """Whether a header keeps the rules whose breach is an error of the connection."""
    shape = _SHAPES.get(frame.type, _UNKNOWN)
    if shape.on != "either" and (shape.on == "connection") != (frame.stream == 0):
        return False
    return shape.shortest <= frame.length <= shape.longest and not frame.length % shape.multiple_of


def _any_of(values: list[int]) -> bytes:
    return b"[%s]" % re.escape(bytes(values))


def _plausible_headers() -> bytes:
    """Return a pattern for headers that real senders write, apart from their length.

    Undefined flags and the reserved bit are "unset (0x00) when sending", and a stream that
    carries a request has an odd number (RFC 9113 section 5.1.1). Below 2**24 that leaves
    eight million of them to a connection.
    """
    stream = rb"\x00..%s" % _any_of(list(range(1, 256, 2)))
    connection = rb"\x00{4}"
    places = {
        "stream": stream,
        "connection": connection,
        "either": rb"(?:%s|%s)" % (stream, connection),
    }
    types = [
        _any_of([kind])
        + _any_of([flags for flags in range(256) if not flags & ~shape.flags])
        + places[shape.on]
        for kind, shape in _SHAPES.items()
    ]
    return rb"...(?:%s)" % b"|".join(types)


_PLAUSIBLE = re.compile(_plausible_headers(), re.DOTALL)


def frame_end(data: bytes | bytearray, position: int) -> int | None:
    """Return where the frame ends whose plausible header is at `position`, None without one."""
    if not _PLAUSIBLE.match(data, position):
        return None
    frame = read(data, position)
    return position + HEADER_BYTES + frame.length if is_well_formed(frame) else None


def find(data: bytes | bytearray, position: int) -> int | None:
    """Return where the first plausible header from `position` on begins."""
    while match := _PLAUSIBLE.search(data, position):
        if is_well_formed(read(data, match.start())):
            return match.start()
        position = match.start() + 1
    return None
