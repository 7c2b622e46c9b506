"""HTTP/2 as a witness sees it: one direction of a connection that we may join at any byte.

Strategy: our own frame loop, since a library that speaks HTTP/2 takes any missed byte for a fatal
error. Everything rests on two facts: every frame tells its length, so a gap inside one is
harmless and only what it covered is missing; and header blocks depend on all blocks before, so
where one may be lost the table is emptied (see `http2_headers`).

- Out of step (we joined late, a gap covered a frame's header) we look for two plausible headers,
  one where the frame of the other ends. Of 1000 arbitrary places that found the right one every
  time, while one header alone was wrong six times.
- A message whose head was not seen is reported all the same: as a request with the method and
  target "?", or a response with the status 0, without fields, and its end is truncated.
  Fields that a head takes from an unseen table entry are ("?", "?").
- Out of step, messages under way may have lost anything or nothing. All of them get an
  `HttpGap` of what the connection lost, which is the most they can have lost.

Left out: server push (no message of a pushed stream is reported),
priorities, flow control, and GOAWAY, after which the streams under way go on as they did
(RFC 9113 section 6.8). Extended CONNECT (RFC 8441) is reported as the request it is.

Reference: RFC 9113 (HTTP/2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from busted.protocols import http2_frames as frames
from busted.protocols.http import (
    Headers,
    HttpBody,
    HttpEnd,
    HttpGap,
    HttpMessage,
    HttpRequest,
    HttpResponse,
)
from busted.protocols.http1 import Side
from busted.protocols.http2_frames import HEADER_BYTES, Frame
from busted.protocols.http2_headers import UNKNOWN, Fields, HeaderBlockDecoder

# RFC 9113 section 3.4: what a client sends first.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# As in HTTP/1, here of a header block and of what it is decoded to.
MAX_HEAD_BYTES = 64 * 1024

# Servers allow 100 to 250 streams at a time. Past this, the oldest are those whose end we missed.
MAX_STREAMS = 512

# How far apart two chained headers may be. Out of step we hold that much. It must be more than
# the default window (65,535), which clients fill with one frame where a server allows it.
SEARCH_BYTES = 128 * 1024

# Plausible headers that wait for the second one. Real bytes have one or two at a time.
MAX_CANDIDATES = 64

# What was not fetched is no longer of use: there are never more streams to reset.
MAX_NOTICES = MAX_STREAMS

# RFC 9113 section 6.5.2
_SETTINGS_HEADER_TABLE_SIZE = 0x1
_SETTING_BYTES = 6

_State = Literal[
    "opening",  # nothing read yet
    "search",  # out of step
    "header",  # in step, between frames
    "padding_length",
    "data",
    "collect",  # in a frame that is read when it is complete
    "skip",  # in a frame, or in the padding of one, that tells us nothing
]


class StreamReset(msgspec.Struct, frozen=True):
    """A RST_STREAM: neither direction of the stream goes on."""

    stream_id: int


class HeaderTableSize(msgspec.Struct, frozen=True):
    """A SETTINGS_HEADER_TABLE_SIZE, in bytes: it binds the sender in the other direction."""

    size: int


Notice = StreamReset | HeaderTableSize
"""What one direction says that concerns the other."""


class _Block:
    """A header block, maybe of several frames."""

    def __init__(self, frame: Frame, fragment: bytes | None) -> None:
        self.stream = frame.stream
        self.is_last = bool(frame.flags & frames.END_STREAM)
        self.is_promise = frame.type == frames.PUSH_PROMISE
        self.data = fragment or b""
        self.is_broken = fragment is None


class Http2Parser:
    """Reads one direction of an HTTP/2 connection. It never raises on input.

    Pieces of a message share its `stream_id`; messages of several streams interleave. `skipped`
    counts the bytes that were thrown away while looking for a frame. `is_http2` tells that frames
    were found, `has_opened` that the connection begins as this side begins it, `is_mirrored`
    that something was said that only the other side says. With `is_aligned` the first byte is
    taken to begin a frame, without looking for a second one. Pass what `notices` of one
    direction's parser returns to `notice` of the other's.
    """

    def __init__(
        self,
        side: Side,
        *,
        is_aligned: bool = False,
        max_head_bytes: int = MAX_HEAD_BYTES,
        max_streams: int = MAX_STREAMS,
        search_bytes: int = SEARCH_BYTES,
    ) -> None:
        self.skipped = 0
        self.is_http2 = False
        self.has_opened = False
        self.is_mirrored = False
        self._side: Side = side
        self._is_aligned = is_aligned
        self._max_head = max_head_bytes
        self._max_streams = max_streams
        self._search_bytes = search_bytes
        self._reset()

    def _reset(self) -> None:
        self._state: _State = "opening"
        self._held = bytearray()  # an unfinished preface or header; out of step, what is searched
        self._searched = 0  # how much of that was looked at
        self._candidates: dict[int, int] = {}  # where a second header ends: where the first begins
        self._passed = 0  # bytes skipped since we were last in step
        self._frame = Frame(0, 0, 0, 0)
        self._left = 0  # of the frame's payload, without the padding once that is known
        self._padding = 0
        self._payload = bytearray()
        self._is_payload_broken = False
        self._block: _Block | None = None
        self._headers = HeaderBlockDecoder(self._max_head)
        self._open: dict[int, bool] = {}  # stream: whether part of its message is missing
        self._closed: dict[int, None] = {}  # the latest, in order: late frames are not for us
        self._notices: deque[Notice] = deque(maxlen=MAX_NOTICES)

    def feed(self, data: bytes) -> list[HttpMessage]:
        """Consume `data` and return the messages, or parts of them, that it completes."""
        messages: list[HttpMessage] = []
        if self._held and self._state != "search":
            data = bytes(self._held) + data
            self._held.clear()
        position = 0
        while position < len(data):
            if self._state == "search":
                data, position = self._search(memoryview(data)[position:], messages), 0
            else:
                position = _READERS[self._state](self, data, position, messages)
        return messages

    def gap(self, missing: int) -> list[HttpMessage]:
        """Tell that the next `missing` bytes of the stream were never seen."""
        messages: list[HttpMessage] = []
        while missing > 0 and self._state in ("padding_length", "data", "collect", "skip"):
            missing -= self._miss(missing, messages)
        if missing > 0:
            self._lose_step(missing, messages)
        return messages

    def close(self) -> list[HttpMessage]:
        """Tell that the stream is over, and return what ends with it."""
        messages: list[HttpMessage] = []
        for stream in list(self._open):
            self._end(stream, messages, truncated=True)
        self._skip_bytes(len(self._held))
        self._reset()
        return messages

    @property
    def is_amid(self) -> bool:
        """Whether a message, or a frame, has begun and not ended, as far as that can be told."""
        in_frame = self._state not in ("opening", "search", "header")
        return bool(self._open or self._block or in_frame or (self._held and self.is_http2))

    def notices(self) -> list[Notice]:
        """Return what this direction said to the other one since the last call."""
        notices = list(self._notices)
        self._notices.clear()
        return notices

    def notice(self, notice: Notice) -> list[HttpMessage]:
        """Tell what the other direction said, and return what ends with it."""
        messages: list[HttpMessage] = []
        if isinstance(notice, HeaderTableSize):
            self._headers.limit_table(notice.size)
        elif notice.stream_id in self._open:
            self._end(notice.stream_id, messages, truncated=True)
        else:
            self._remember_closed(notice.stream_id)
        return messages

    # Getting into step, and losing it

    def _hold(self, data: bytes, position: int) -> int:
        self._held += memoryview(data)[position:]
        return len(data)

    def _skip_bytes(self, count: int) -> None:
        self.skipped += count
        self._passed += count

    def _opening(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        opening = data[position : position + len(PREFACE)]
        if len(opening) < HEADER_BYTES or (opening != PREFACE and PREFACE.startswith(opening)):
            return self._hold(data, position)
        if opening == PREFACE:
            self._get_in_step()
            self.has_opened = self._side == "request"
            self.is_mirrored = not self.has_opened
            return position + len(PREFACE)
        self._state = "search"
        if self._is_aligned:
            self._get_in_step()
            return position
        # RFC 9113 section 3.4: a server begins with "a potentially empty SETTINGS frame (Section
        # 6.5) that MUST be the first frame". It may be all that comes for a while.
        if self._side == "response" and frames.frame_end(opening, 0) is not None:
            first = frames.read(opening, 0)
            self.has_opened = first.type == frames.SETTINGS and not first.flags & frames.ACK
            if self.has_opened:
                self._get_in_step()
        return position

    def _search(self, data: memoryview, messages: list[HttpMessage]) -> bytes:
        """Return what is held from the first frame on that is certain; nothing without one.

        The order of the bytes decides, not how they come: a pair of headers counts from the
        byte that completes it, so the rest of a frame that only seems to begin here is not
        waited for.
        """
        held = self._held
        held += data
        while True:
            begin = frames.find(held, self._searched)
            seen = len(held) if begin is None else begin + HEADER_BYTES
            for chained in sorted(end for end in self._candidates if end <= seen):
                candidate = self._candidates.pop(chained)
                if frames.frame_end(held, chained - HEADER_BYTES) is not None:
                    self._skip_bytes(candidate)
                    rest = bytes(held[candidate:])
                    if self._passed:
                        messages += [HttpGap(self._passed, stream) for stream in self._open]
                    self._get_in_step()
                    return rest
            if begin is None:
                break
            self._searched = begin + 1
            chained = begin + frames.read(held, begin).length + 2 * HEADER_BYTES
            if chained - begin <= self._search_bytes:
                self._candidates.setdefault(chained, begin)
            if len(self._candidates) > MAX_CANDIDATES:
                del self._candidates[next(iter(self._candidates))]
        # The last bytes may be the beginning of a header.
        self._searched = max(self._searched, len(held) - HEADER_BYTES + 1)
        passed = min([self._searched, *self._candidates.values()])
        self._skip_bytes(passed)
        del held[:passed]
        self._searched -= passed
        self._candidates = {
            chained - passed: begin - passed for chained, begin in self._candidates.items()
        }
        return b""

    def _get_in_step(self) -> None:
        self.is_http2 = True
        self._passed = 0
        self._forget_search()
        self._state = "header"

    def _forget_search(self) -> None:
        self._held.clear()
        self._searched = 0
        self._candidates = {}

    def _lose_step(self, missing: int, messages: list[HttpMessage]) -> None:
        """`missing` bytes, maybe none, hide where the next frame begins."""
        self._skip_bytes(len(self._held))
        self._forget_search()
        self._block = None
        self._headers.forget()
        for stream in self._open:
            self._open[stream] = True
            if missing:
                messages.append(HttpGap(missing, stream))
        self._state = "search"

    # Frames

    def _header(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        if len(data) - position < HEADER_BYTES:
            return self._hold(data, position)
        frame = frames.read(data, position)
        if not frames.is_well_formed(frame):
            self._lose_step(0, messages)
            return position
        block = self._block
        if block and (frame.type, frame.stream) != (frames.CONTINUATION, block.stream):
            # RFC 9113 section 6.10: "Any other type of frame [...] MUST be treated as a
            # connection error". The rest of the block is not coming.
            block.is_broken = True
            self._read_block(block, messages)
        self._frame = frame
        self._left = frame.length
        self._padding = 0
        self._payload.clear()
        self._is_payload_broken = False
        if frame.type == frames.DATA:
            self._state = "padding_length" if frame.flags & frames.PADDED else "data"
        else:
            self._state = "collect" if frame.type in _FINISHERS else "skip"
        if not frame.length:
            self._finish(messages)
        return position + HEADER_BYTES

    def _padding_length(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        self._left -= 1
        self._padding = data[position]
        if self._padding > self._left:
            # RFC 9113 section 6.1: "a connection error"; none of it can be told from padding.
            self._damage(self._frame.stream)
            self._padding = self._left
        self._left -= self._padding
        self._state = "data"
        if not self._left:
            self._begin_padding(messages)
        return position + 1

    def _data(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        piece = data[position : position + self._left]
        if self._is_followed(self._frame.stream):
            self._find_open(self._frame.stream, messages)
            messages.append(HttpBody(piece, self._frame.stream))
        self._left -= len(piece)
        if not self._left:
            self._begin_padding(messages)
        return position + len(piece)

    def _begin_padding(self, messages: list[HttpMessage]) -> None:
        self._state = "skip"
        self._left, self._padding = self._padding, 0
        if not self._left:
            self._finish(messages)

    def _collect(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        piece = memoryview(data)[position : position + self._left]
        self._payload += piece[: self._max_head - len(self._payload)]
        self._is_payload_broken |= self._frame.length > self._max_head
        self._left -= len(piece)
        if not self._left:
            self._finish(messages)
        return position + len(piece)

    def _skip(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        end = min(len(data), position + self._left)
        self._left -= end - position
        if not self._left:
            self._finish(messages)
        return end

    def _miss(self, missing: int, messages: list[HttpMessage]) -> int:
        """Go on inside a frame as if bytes had come; return how many that were."""
        if self._state == "padding_length":
            # How much of the frame is padding will not be known: none of it is used.
            self._miss_data(self._left - 1, messages)
            self._state = "skip"
        missing = min(missing, self._left)
        self._left -= missing
        if self._state == "data":
            self._miss_data(missing, messages)
            if not self._left:
                self._begin_padding(messages)
            return missing
        self._is_payload_broken = True
        if not self._left:
            self._finish(messages)
        return missing

    def _miss_data(self, missing: int, messages: list[HttpMessage]) -> None:
        stream = self._frame.stream
        if missing and self._is_followed(stream):
            self._find_open(stream, messages)
            self._open[stream] = True
            messages.append(HttpGap(missing, stream))

    def _finish(self, messages: list[HttpMessage]) -> None:
        """The frame is complete."""
        self._state = "header"
        if finisher := _FINISHERS.get(self._frame.type):
            finisher(self, messages)
        elif self._frame.type == frames.DATA and self._frame.flags & frames.END_STREAM:
            stream = self._frame.stream
            if self._is_followed(stream):
                self._find_open(stream, messages)
                self._end(stream, messages)

    def _finish_settings(self, messages: list[HttpMessage]) -> None:
        if self._is_payload_broken or self._frame.flags & frames.ACK:
            return
        for begin in range(0, len(self._payload), _SETTING_BYTES):
            if int.from_bytes(self._payload[begin : begin + 2], "big") == (
                _SETTINGS_HEADER_TABLE_SIZE
            ):
                value = self._payload[begin + 2 : begin + _SETTING_BYTES]
                self._notices.append(HeaderTableSize(int.from_bytes(value, "big")))

    def _finish_reset(self, messages: list[HttpMessage]) -> None:
        stream = self._frame.stream
        self._notices.append(StreamReset(stream))
        if stream in self._open:
            self._end(stream, messages, truncated=True)

    def _finish_headers(self, messages: list[HttpMessage]) -> None:
        self._add_to_block(_Block(self._frame, self._fragment()), messages)

    def _finish_continuation(self, messages: list[HttpMessage]) -> None:
        block = self._block
        if block is None:
            self._headers.forget()  # we joined, or lost something, in the middle of a block
            return
        fragment = self._fragment()
        block.is_broken |= fragment is None or len(block.data) + len(fragment) > self._max_head
        block.data = b"" if block.is_broken else block.data + (fragment or b"")
        self._add_to_block(block, messages)

    def _add_to_block(self, block: _Block, messages: list[HttpMessage]) -> None:
        if self._frame.flags & frames.END_HEADERS:
            self._read_block(block, messages)
        else:
            self._block = block

    def _fragment(self) -> bytes | None:
        """Return the part of a header block that the frame carries, None if it is damaged."""
        if self._is_payload_broken:
            return None
        begin, end = 0, len(self._payload)
        if self._frame.type != frames.CONTINUATION and self._frame.flags & frames.PADDED:
            if not end:
                return None
            begin, end = 1, end - self._payload[0]
        if self._frame.type == frames.HEADERS and self._frame.flags & frames.PRIORITY_FLAG:
            begin += 5
        if self._frame.type == frames.PUSH_PROMISE:
            begin += 4
        return bytes(self._payload[begin:end]) if begin <= end else None

    # Messages

    def _read_block(self, block: _Block, messages: list[HttpMessage]) -> None:
        self._block = None
        fields: Fields | None = None
        if block.is_broken:
            self._headers.forget()
        else:
            fields = self._headers.decode(block.data)
        # Blocks that are of no interest are decoded too, for the table.
        if block.is_promise or not self._is_followed(block.stream):
            return
        # On an open stream these are trailers.
        trailers = fields if block.stream in self._open else None
        if block.stream not in self._open:
            if self._side == "response" and fields and _is_interim(fields) and not block.is_last:
                return
            self._begin_message(block, fields, messages)
        if block.is_last:
            self._end(block.stream, messages, trailers=tuple(trailers or ()))

    def _begin_message(
        self, block: _Block, fields: Fields | None, messages: list[HttpMessage]
    ) -> None:
        # RFC 9113 section 8.1: trailers end the stream and have no pseudo-header fields. So this
        # is a head, or the trailers of a message that we have not seen.
        is_head = fields is not None and (
            not block.is_last or any(name.startswith(":") for name, _ in fields)
        )
        self._open_stream(block.stream, messages, is_damaged=not is_head)
        messages.append(self._head(fields if fields and is_head else [], block.stream))

    def _head(self, fields: Fields, stream: int) -> HttpRequest | HttpResponse:
        pseudo = {name: value for name, value in fields if name.startswith(":")}
        headers = [field for field in fields if not field[0].startswith(":")]
        self.is_mirrored |= (":method" if self._side == "response" else ":status") in pseudo
        if self._side == "response":
            status = pseudo.get(":status", "")
            return HttpResponse(
                int(status) if len(status) == 3 and status.isascii() and status.isdigit() else 0,
                tuple(headers),
                "2",
                stream,
            )
        authority = pseudo.get(":authority")
        method = pseudo.get(":method", UNKNOWN)
        if authority is not None:
            # RFC 9113 section 8.3.1: a Host field must not differ, and may be missing.
            headers = [("host", authority), *(field for field in headers if field[0] != "host")]
        # "The ":scheme" and ":path" pseudo-header fields MUST be omitted" with CONNECT.
        default = authority if method == "CONNECT" and authority else UNKNOWN
        return HttpRequest(method, pseudo.get(":path", default), tuple(headers), "2", stream)

    def _is_followed(self, stream: int) -> bool:
        # RFC 9113 section 5.1.1: streams initiated by a server, for push, have even numbers.
        return stream % 2 == 1 and stream not in self._closed

    def _find_open(self, stream: int, messages: list[HttpMessage]) -> None:
        """Open the stream of a message whose head was never seen, unless it is open."""
        if stream not in self._open:
            self._open_stream(stream, messages, is_damaged=True)
            messages.append(self._head([], stream))

    def _open_stream(self, stream: int, messages: list[HttpMessage], *, is_damaged: bool) -> None:
        if len(self._open) >= self._max_streams:
            self._end(next(iter(self._open)), messages, truncated=True)
        self._open[stream] = is_damaged

    def _damage(self, stream: int) -> None:
        if stream in self._open:
            self._open[stream] = True

    def _end(
        self,
        stream: int,
        messages: list[HttpMessage],
        *,
        truncated: bool = False,
        trailers: Headers = (),
    ) -> None:
        is_damaged = self._open.pop(stream)
        messages.append(HttpEnd(truncated or is_damaged, stream, trailers))
        self._remember_closed(stream)

    def _remember_closed(self, stream: int) -> None:
        self._closed[stream] = None
        if len(self._closed) > self._max_streams:
            del self._closed[next(iter(self._closed))]


_READERS: dict[_State, Callable[[Http2Parser, bytes, int, list[HttpMessage]], int]] = {
    "opening": Http2Parser._opening,
    "header": Http2Parser._header,
    "padding_length": Http2Parser._padding_length,
    "data": Http2Parser._data,
    "collect": Http2Parser._collect,
    "skip": Http2Parser._skip,
}

# The frames that are read when they are complete.
_FINISHERS: dict[int, Callable[[Http2Parser, list[HttpMessage]], None]] = {
    frames.HEADERS: Http2Parser._finish_headers,
    frames.PUSH_PROMISE: Http2Parser._finish_headers,
    frames.CONTINUATION: Http2Parser._finish_continuation,
    frames.SETTINGS: Http2Parser._finish_settings,
    frames.RST_STREAM: Http2Parser._finish_reset,
}


def _is_interim(fields: Fields) -> bool:
    """Whether these are the fields of a 1xx response (RFC 9110 section 15.2)."""
    return any(name == ":status" and value.startswith("1") for name, value in fields)
