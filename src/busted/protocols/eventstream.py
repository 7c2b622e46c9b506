"""AWS event-stream messages (Bedrock's streamed answers), from an HTTP body that comes in pieces.

Strategy: a message opens with a prelude of its own: its length, that of its headers, and a
checksum of these eight bytes. A prelude whose checksum fits is one, by all odds, so out of step we
look for the next at any byte. Once the prelude is known the end of the message is, and neither
damage nor a gap inside costs more than the message itself, which is reported as damaged.

Left out: signatures of messages that clients send (header `:chunk-signature`).

Reference: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from uuid import UUID

import msgspec

from busted.protocols.bounded import TAIL_BYTES, Bounded

# Bedrock sends a token or a few in a message, base64 in JSON; past this the middle is lost.
MAX_MESSAGE_BYTES = 1 << 20

# https://github.com/boto/botocore/blob/develop/botocore/eventstream.py: its bounds for a payload
# (16 MB at first, then 24) and for the headers.
_LONGEST = 24 * 1024 * 1024
_LONGEST_HEADERS = 128 * 1024

_PRELUDE = struct.Struct(">III")
_CHECKSUM_BYTES = 4
_SHORTEST = _PRELUDE.size + _CHECKSUM_BYTES

# Lengths within those bounds; what the checksum then decides is one place in 250,000.
_PLAUSIBLE = re.compile(rb"[\x00\x01]...\x00[\x00-\x02].", re.DOTALL)

HeaderValue = bool | int | bytes | str
"""Integers are of 8 to 64 bits, timestamps among them (milliseconds since 1970); a UUID is text."""


class EventStreamMessage(msgspec.Struct, frozen=True):
    """One message. `damaged` when its checksum is wrong, or bytes of it are missing.

    Then `headers` may be wrong or empty, and the payload wrong or only its beginning.
    `truncated` tells that `payload` is cut because it is too long; `tail` is its end then.
    """

    headers: dict[str, HeaderValue]
    payload: bytes
    damaged: bool = False
    truncated: bool = False
    tail: bytes = b""


class EventStreamParser:
    """Feed it body bytes; it returns the messages they complete. It never raises.

    `max_message_bytes` bounds headers and payload together, `max_tail_bytes` what is kept of the
    end of longer ones; `skipped` counts the bytes that were thrown away while looking for a
    message.
    """

    def __init__(
        self, max_message_bytes: int = MAX_MESSAGE_BYTES, max_tail_bytes: int = TAIL_BYTES
    ) -> None:
        self.skipped = 0
        self._max = max_message_bytes
        self._max_tail = max_tail_bytes
        self._held = bytearray()  # an unfinished prelude
        self._left = 0  # of the message that is being read, its checksum included
        self._begin(0, 0, 0)

    def _begin(self, length: int, headers_length: int, checksum: int) -> None:
        self._left = length
        self._headers_length = headers_length
        self._body = Bounded(self._max, self._max_tail)
        self._ending = bytearray()  # the last bytes of the message: its checksum
        self._checksum = checksum
        self._is_damaged = False

    def feed(self, data: bytes) -> list[EventStreamMessage]:
        """Consume `data` and return the messages that it completes."""
        messages: list[EventStreamMessage] = []
        if self._held:
            data = bytes(self._held) + data
            self._held.clear()
        position = 0
        while position < len(data):
            if not self._left:
                position = self._seek(data, position)
                continue
            piece = data[position : position + self._left]
            self._add(piece)
            position += len(piece)
            self._advance(len(piece), messages)
        return messages

    def gap(self, missing: int) -> list[EventStreamMessage]:
        """Tell that the next `missing` bytes of the body were never seen."""
        messages: list[EventStreamMessage] = []
        if missing > 0:
            self.skipped += len(self._held)
            self._held.clear()
        if missing > 0 and self._left:
            self._is_damaged = True
            self._advance(min(missing, self._left), messages)
        return messages

    def close(self) -> list[EventStreamMessage]:
        """Tell that the body is over, and return what is unfinished, as damaged."""
        messages: list[EventStreamMessage] = []
        self.skipped += len(self._held)
        self._held.clear()
        if self._left:
            self._is_damaged = True
            self._advance(self._left, messages)
        return messages

    def _seek(self, data: bytes, position: int) -> int:
        """Begin the next message, or hold what may be the beginning of its prelude."""
        begin = position
        while begin + _PRELUDE.size <= len(data):
            length, headers_length, checksum = _PRELUDE.unpack_from(data, begin)
            fits = _SHORTEST + headers_length <= length <= _LONGEST
            fits = fits and headers_length <= _LONGEST_HEADERS
            # The CRC-32 of gzip, of the two lengths.
            if fits and zlib.crc32(memoryview(data)[begin : begin + 8]) == checksum:
                self.skipped += begin - position
                prelude = memoryview(data)[begin : begin + _PRELUDE.size]
                self._begin(length - _PRELUDE.size, headers_length, zlib.crc32(prelude))
                return begin + _PRELUDE.size
            following = _PLAUSIBLE.search(data, begin + 1)
            begin = following.start() if following else len(data)
        # A prelude may begin in the last bytes.
        begin = max(position, min(begin, len(data) - _PRELUDE.size + 1))
        self.skipped += begin - position
        self._held += memoryview(data)[begin:]
        return len(data)

    def _add(self, piece: bytes) -> None:
        if self._is_damaged:
            return
        # Headers and payload come first, and then four bytes that are neither.
        size = min(len(piece), max(self._left - _CHECKSUM_BYTES, 0))
        self._checksum = zlib.crc32(memoryview(piece)[:size], self._checksum)
        self._body.add(piece[:size])
        self._ending += piece[size:]

    def _advance(self, count: int, messages: list[EventStreamMessage]) -> None:
        """`count` bytes of the message are done with."""
        self._left -= count
        if self._left:
            return
        # The CRC-32 of the whole message up to here.
        damaged = self._is_damaged or int.from_bytes(self._ending, "big") != self._checksum
        body = self._body
        headers = _read_headers(bytes(body.head[: self._headers_length]))
        payload = bytes(body.head[self._headers_length :])
        damaged = damaged or headers is None
        messages.append(EventStreamMessage(headers or {}, payload, damaged, body.is_cut, body.tail))
        self._begin(0, 0, 0)


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _string(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _uuid(data: bytes) -> str:
    return str(UUID(bytes=data))


# The types of header values: how long they are, None where two bytes say so, and what they are.
_VALUES: dict[int, tuple[int | None, Callable[[bytes], HeaderValue]]] = {
    0: (0, lambda _: True),
    1: (0, lambda _: False),
    2: (1, _integer),
    3: (2, _integer),
    4: (4, _integer),
    5: (8, _integer),
    6: (None, bytes),
    7: (None, _string),
    8: (8, _integer),  # a timestamp
    9: (16, _uuid),
}


def _read_headers(data: bytes) -> dict[str, HeaderValue] | None:
    """Return the headers, None when they are malformed or cut."""
    headers: dict[str, HeaderValue] = {}
    position = 0
    while position < len(data):
        end = position + 1 + data[position]
        name = data[position + 1 : end]
        if end >= len(data) or data[end] not in _VALUES:
            return None
        size, read = _VALUES[data[end]]
        position = end + 1
        if size is None:
            size = int.from_bytes(data[position : position + 2], "big")
            position += 2
        if position + size > len(data):
            return None
        headers[_string(name)] = read(data[position : position + size])
        position += size
    return headers
