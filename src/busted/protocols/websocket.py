"""WebSocket messages, read from one direction of a connection after its upgrade.

Strategy: frames tell their length, so a gap inside one costs only the message it is in, and the
next frame is found exactly. A gap over a frame's header is the end: two bytes of header are
too little to find another one among masked or compressed bytes, so we give up and say so
(`is_lost`). A message is inflated when it is complete, or as far as it was seen, within a limit.

The compressor keeps its window from message to message unless the extension says otherwise.
Where we miss a part of that we begin with an empty window: a message that reaches back into what
was missed is an error for zlib, never wrong bytes. It is told as truncated.

Left out: other extensions (those that were registered have no users), and the window sizes of
permessage-deflate: a reader with the largest window understands all of them.

Reference: RFC 6455 (WebSocket), RFC 7692 (permessage-deflate).
"""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

from busted.protocols.bounded import TAIL_BYTES, Bounded
from busted.protocols.http1 import Side

# A request to a model with its whole context fits, as in HTTP. Of longer ones the middle is lost.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

# How many times as much is inflated to get at the tail of a longer message: a bomb costs some 0.2
# seconds, and then that connection's messages are no longer read.
MAX_INFLATED = 4

# What the inflater may put out before we look at the limit again.
STEP_BYTES = 64 * 1024

# Of what it decoded in a call that ends in an error, zlib tells nothing. Less costs more calls.
SLICE_BYTES = 1024

# RFC 6455 section 5.2: two bytes, up to eight of length, four of mask.
_MAX_HEADER_BYTES = 14

# RFC 7692 section 7.2.2: the compressor removes these from a message's end, the reader adds them.
_DEFLATE_END = b"\x00\x00\xff\xff"

_FINAL, _COMPRESSED, _RESERVED, _OPCODE = 0x80, 0x40, 0x30, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_CONTINUATION = 0x0
_FIRST_CONTROL = 0x8

# RFC 6455 section 5.5: control frames "MUST have a payload length of 125 bytes or less".
_MAX_CONTROL_BYTES = 125

Kind = Literal["text", "binary", "close", "ping", "pong", "unknown"]

# RFC 6455 section 11.8
_KINDS: dict[int, Kind] = {0x1: "text", 0x2: "binary", 0x8: "close", 0x9: "ping", 0xA: "pong"}


class WebSocketMessage(msgspec.Struct, frozen=True):
    """A whole message, or a control frame, unmasked and inflated.

    `truncated` when `data` is only its beginning: the rest is missing, too long, or cannot be
    inflated. Then `tail` is the end of it, as far as that was seen, and `missing` how many bytes
    were not. The kind is "unknown" when the frame that tells it was not seen.
    """

    kind: Kind
    data: bytes
    truncated: bool = False
    tail: bytes = b""
    missing: int = 0


class _Message:
    """What has come of the payload of a message."""

    def __init__(self, kind: Kind, payload: Bounded, *, is_compressed: bool = False) -> None:
        self.kind = kind
        self.payload = payload
        self.is_compressed = is_compressed
        self.is_truncated = False


class WebSocketParser:
    """Reads what one side sends, "request" the client or "response" the server. It never raises.

    `extensions` is the Sec-WebSocket-Extensions header of the response, which says what was
    agreed on. `skipped` counts the bytes that came after the place was lost.
    """

    def __init__(
        self,
        side: Side,
        extensions: str | None = None,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_tail_bytes: int = TAIL_BYTES,
    ) -> None:
        self.is_lost = False
        self.skipped = 0
        self._limit = max_message_bytes
        self._tail_limit = max_tail_bytes
        parameters = _deflate_parameters(extensions)
        self._may_compress = parameters is not None
        own = "client_no_context_takeover" if side == "request" else "server_no_context_takeover"
        self._keeps_window = own not in (parameters or ())
        self._inflate: zlib._Decompress | None = None
        self._held = bytearray()  # an unfinished header
        self._left: int | None = None  # of the frame's payload, None between frames
        self._mask = b""
        self._is_final = True
        self._is_control = False
        self._message: _Message | None = None
        self._control: _Message | None = None

    def feed(self, data: bytes) -> list[WebSocketMessage]:
        """Consume `data` and return the messages that it completes."""
        messages: list[WebSocketMessage] = []
        if self._held:
            data = bytes(self._held) + data
            self._held.clear()
        position = 0
        while position < len(data):
            if self.is_lost:
                self.skipped += len(data) - position
                break
            if self._left is None:
                position = self._header(data, position, messages)
            else:
                piece = data[position : position + self._left]
                self._payload(piece)
                position += len(piece)
                self._advance(len(piece), messages)
        return messages

    @property
    def is_amid(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held) or self._left is not None or self._message is not None

    def gap(self, missing: int) -> list[WebSocketMessage]:
        """Tell that the next `missing` bytes of the stream were never seen."""
        messages: list[WebSocketMessage] = []
        if missing <= 0 or self.is_lost:
            return messages
        if self._left is not None:
            missed = min(missing, self._left)
            self._current().payload.gap(missed)
            self._mask = _rotated(self._mask, missed)
            self._advance(missed, messages)
            missing -= missed
        if missing:
            self._lose_place(messages)
        return messages

    def close(self) -> list[WebSocketMessage]:
        """Tell that the stream is over, and return what is unfinished."""
        messages: list[WebSocketMessage] = []
        self._lose_place(messages)
        return messages

    def _lose_place(self, messages: list[WebSocketMessage]) -> None:
        self.is_lost = True
        self.skipped += len(self._held)
        self._held.clear()
        for message in (self._message, self._control):
            if message is not None:
                message.is_truncated = True
                messages.append(self._told(message))
        self._message = self._control = self._inflate = None

    # Frames

    def _header(self, data: bytes, position: int, messages: list[WebSocketMessage]) -> int:
        """Read the header at `position`, or keep it until it is whole."""
        head = data[position : position + _MAX_HEADER_BYTES]
        size, length = _header_size(head)
        if len(head) < size:
            self._held += head
            return len(data)
        opcode = head[0] & _OPCODE
        self._is_final = bool(head[0] & _FINAL)
        self._is_control = opcode >= _FIRST_CONTROL
        if not self._is_frame(head[0], length):
            self._lose_place(messages)
            return position
        self._mask = head[size - 4 : size] if head[1] & _MASKED else b""
        is_compressed = bool(head[0] & _COMPRESSED)
        if self._is_control:
            self._control = _Message(_KINDS[opcode], self._bounded())
        elif opcode != _CONTINUATION or self._message is None:
            if self._message is not None:
                # RFC 6455 section 5.4: messages do not interleave. Its end will not come.
                self._message.is_truncated = True
                messages.append(self._told(self._message))
            self._message = _Message(
                _KINDS.get(opcode, "unknown"), self._bounded(), is_compressed=is_compressed
            )
            # A continuation without a beginning: what it continues is missing.
            self._message.payload.is_cut = opcode == _CONTINUATION
        self._left = length
        self._advance(0, messages)
        return position + size

    def _is_frame(self, first: int, length: int) -> bool:
        """Whether these can be a header; else we are no longer where we thought to be."""
        opcode = first & _OPCODE
        if first & _RESERVED or length >> 63 or opcode not in (_CONTINUATION, *_KINDS):
            return False
        if self._is_control:
            return self._is_final and length <= _MAX_CONTROL_BYTES and not first & _COMPRESSED
        # RFC 7692 section 6.1: the bit is set "on the first fragment" only.
        return not first & _COMPRESSED or (self._may_compress and opcode != _CONTINUATION)

    def _current(self) -> _Message:
        message = self._control if self._is_control else self._message
        return message or _Message("unknown", Bounded(0))

    def _bounded(self) -> Bounded:
        return Bounded(self._limit, self._tail_limit)

    def _payload(self, piece: bytes) -> None:
        if self._mask:
            piece = _unmasked(piece, self._mask)
            self._mask = _rotated(self._mask, len(piece))
        self._current().payload.add(piece)

    def _advance(self, count: int, messages: list[WebSocketMessage]) -> None:
        """`count` bytes of the payload are done with."""
        if self._left is None:
            return
        self._left -= count
        if self._left:
            return
        self._left = None
        if self._is_control:
            messages.append(self._told(self._current()))
            self._control = None
        elif self._is_final:
            messages.append(self._told(self._current()))
            self._message = None

    def _told(self, message: _Message) -> WebSocketMessage:
        payload = message.payload
        data, tail, missing = payload.head, payload.tail, payload.missing
        is_truncated = message.is_truncated or payload.is_cut
        if message.is_compressed:
            inflated, is_whole = self._inflated(data, not is_truncated)
            data, tail = inflated.head, inflated.tail if is_whole else b""
            is_truncated = inflated.is_cut or not is_whole
            if not (is_whole and self._keeps_window):
                self._inflate = None
        return WebSocketMessage(message.kind, bytes(data), is_truncated, tail, missing)

    def _inflated(self, data: bytearray, is_whole: bool) -> tuple[Bounded, bool]:
        """Return what the payload is inflated to, and whether that is all."""
        if self._inflate is None or self._inflate.eof:
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        decoded, left = self._bounded(), MAX_INFLATED * self._limit
        if is_whole:
            data += _DEFLATE_END
        for begin in range(0, len(data), SLICE_BYTES):
            piece: bytes | bytearray = data[begin : begin + SLICE_BYTES]
            step = b"-"
            while step and not self._inflate.eof:
                try:
                    step = self._inflate.decompress(piece, STEP_BYTES)
                except zlib.error:
                    return decoded, False
                decoded.add(step)
                left -= len(step)
                if left < 0:
                    return decoded, False
                piece = self._inflate.unconsumed_tail
        return decoded, is_whole


def _header_size(head: bytes) -> tuple[int, int]:
    """Return the size of the header and the length of the payload, as far as they are known."""
    if len(head) < 2:
        return 2, 0
    length = head[1] & _LENGTH
    # RFC 6455 section 5.2: "If 126, the following 2 bytes [...] are the payload length. If 127,
    # the following 8 bytes".
    extended = {126: 2, 127: 8}.get(length, 0)
    size = 2 + extended + (4 if head[1] & _MASKED else 0)
    if extended:
        length = int.from_bytes(head[2 : 2 + extended], "big")
    return size, length


def _unmasked(data: bytes, mask: bytes) -> bytes:
    """RFC 6455 section 5.3: each byte is XORed with the byte of the mask at its place modulo 4."""
    size = len(data)
    key = mask * (size // 4 + 1)
    return (int.from_bytes(data, "big") ^ int.from_bytes(key[:size], "big")).to_bytes(size, "big")


def _rotated(mask: bytes, count: int) -> bytes:
    turn = count % 4
    return mask[turn:] + mask[:turn]


def _deflate_parameters(extensions: str | None) -> list[str] | None:
    """Return the parameters of permessage-deflate, their values left out, None without it."""
    for extension in (extensions or "").split(","):
        name, *parameters = [part.strip().lower() for part in extension.split(";")]
        if name == "permessage-deflate":
            return [parameter.partition("=")[0].strip() for parameter in parameters]
    return None
