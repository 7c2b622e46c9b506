"""What a buffer is, from one look at its start.

Strategy: the cheap and certain signs first (a start line, HTTP/2's preface), then the shapes of
text (events, JSON), and only then the shapes of binary frames, whose fields must agree with
one another and with the length of the buffer.

Left out: anything that needs what came before. A buffer from the middle of a body is told
as what it looks like.
"""

from __future__ import annotations

import codecs
import re
from typing import Literal

from busted.protocols import http2_frames
from busted.protocols.http1 import METHODS

Protocol = Literal[
    "http1_request",
    "http1_response",
    "http2",
    "sse",
    "websocket",
    "json",
    "text",
    "binary",
    "unknown",
]

# As much as a start line, a few events or the opening of a JSON body need; looking further
# would cost more and change nothing.
LOOK_BYTES = 512

_METHODS = "|".join(METHODS).encode()
# A start line may be cut; then its target must look like one, for "GET ready" is prose. Which
# spellings some server takes, and empty lines before it, `http1` says.
_REQUEST = re.compile(
    rb"[\r\n]{0,64}(?i:%s)[ \t]+(?:[^ \t\r\n]+[ \t]+HTTP/1\.[0-9]{1,2}[ \t]*\r?\n"
    rb"|(?:/|\*|https?://)[^ \t\r\n]*(?:[ \t]+[HTP/0-9.\r]*)?\Z)" % _METHODS
)
_RESPONSE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9][ \r\n]")

# RFC 9113 section 3.4: how the connection preface of a client begins.
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"

# https://html.spec.whatwg.org/multipage/server-sent-events.html; the first line may be the size
# of an HTTP/1 chunk, when one read returned one chunk. "data:image/png" is a URL, not an event.
_SSE = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[0-9a-fA-F]{1,8}\r\n)?"
    rb"(?:(?:data|event):(?![a-z]+/[a-z])[^\r\n]*(?:[\r\n]|\Z)"
    rb"|(?:id|retry):[^\r\n]*[\r\n]"
    rb"|:[^:\r\n][^\r\n]*[\r\n])"
)
_SSE_LINES = re.compile(
    rb"(?:(?:(?:data|event|id|retry)?(?::[^\r\n]*)?|[0-9a-fA-F]{1,8})(?:\r\n|\n|\r))*+[^\r\n]*"
)

# A number that opens a list must end like one: "[2026-11-22] started" is a log line.
_JSON = re.compile(
    rb"(?:\xef\xbb\xbf)?[ \t\r\n]*"
    rb"(?:\{[ \t\r\n]*(?:[\"}]|\Z)"
    rb"|\[[ \t\r\n]*(?:[\"\[{\]]|\Z"
    rb"|(?:-?[0-9]+(?:\.[0-9]+)?|true|false|null)[ \t\r\n]*(?:[,\]]|\Z)))"
)

# Control characters that text has: tab, line feed, form feed, carriage return, escape.
_NOT_TEXT = bytes({*range(0x20), 0x7F} - set(b"\t\n\f\r\x1b"))


def detect(data: bytes) -> Protocol:
    """Return what `data` looks like; "unknown" when it is empty or blank."""
    start = data[:LOOK_BYTES]
    if not start.strip():
        return "unknown"
    if _REQUEST.match(start):
        return "http1_request"
    if _RESPONSE.match(start):
        return "http1_response"
    if start.startswith(_HTTP2_PREFACE):
        return "http2"
    if _is_text(start):
        if _is_sse(start):
            return "sse"
        return "json" if _JSON.match(start) else "text"
    if _is_http2(data):
        return "http2"
    if _is_websocket(data):
        return "websocket"
    # A body with stray bytes, in Latin-1 perhaps, is still JSON.
    return "json" if _JSON.match(start) and b"\0" not in start else "binary"


def _is_text(start: bytes) -> bool:
    if len(start.translate(None, _NOT_TEXT)) < len(start):
        return False
    if start.isascii():
        return True
    try:
        # Not final: the last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return True


def _is_sse(start: bytes) -> bool:
    # "id: 7" also begins YAML, so all lines that are whole must be lines of events.
    if not _SSE.match(start):
        return False
    return _SSE_LINES.fullmatch(start.removeprefix(codecs.BOM_UTF8)) is not None


def _is_http2(data: bytes) -> bool:
    """Whether a frame begins here, and another one where it ends."""
    end = http2_frames.frame_end(data, 0)
    if end is None:
        return False
    # A larger frame would have had to be agreed on, and fills many buffers.
    if end > http2_frames.HEADER_BYTES + http2_frames.DEFAULT_MAX_FRAME:
        return False
    rest = len(data) - end
    return rest < http2_frames.HEADER_BYTES or http2_frames.frame_end(data, end) is not None


def _is_websocket(data: bytes) -> bool:
    """Whether a frame as in RFC 6455 section 5.2 begins here and fits what follows."""
    if len(data) < 2:
        return False
    final, opcode, masked, length = data[0] >> 7, data[0] & 15, data[1] >> 7, data[1] & 127
    # RSV1 is set on messages compressed by RFC 7692; RSV2 and RSV3 have no use. A continuation
    # (opcode 0) begins nothing, and zeros would look like many.
    if data[0] & 0x30 or opcode not in (0x1, 0x2, 0x8, 0x9, 0xA):
        return False
    if opcode >= 0x8 and (not final or length > 125):
        return False
    head = 2
    if length >= 126:
        size = 2 if length == 126 else 8
        head += size
        length = int.from_bytes(data[2:head], "big")
        # "the minimal number of bytes MUST be used to encode the length"
        if len(data) < head or length < (126 if size == 2 else 1 << 16) or length >> 63:
            return False
    end = head + 4 * masked + length
    if end == len(data):
        return True
    # More of the frame is to come: only a long one is cut, and then it fills the buffer.
    if end > len(data):
        return head > 2 and final == 1
    return data[end] & 0x30 == 0 and data[end] & 15 in (0x0, 0x1, 0x2, 0x8, 0x9, 0xA)
