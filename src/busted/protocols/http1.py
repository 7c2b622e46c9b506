"""HTTP/1 as a witness sees it: one direction of a connection that we may join at any byte.

Strategy: a start line is looked for, the head after it is read when it is complete, and its fields
(see `http1_fields`) say how the body ends:

- a body of known length, or one that ends with the connection, is counted, not parsed, so a gap
  of any size inside it costs nothing and the end stays exact; so it is inside a chunk;
- where the framing is lost (a gap in a head or among chunks, junk, a start line in the middle)
  the message ends truncated and we search for the next start line, from the line at fault on.

A witness reads what the two ends may have agreed on, so it must be no stricter than any server:
each leniency names the software that was seen to have it.

The same messages come out however the input is cut, except for where one `HttpBody` ends and
the next begins.

Left out: trailers (dropped), HTTP/0.9, other methods than those below, and spaces in a target.

References: RFC 9110 (semantics), RFC 9112 (HTTP/1.1).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Literal

from busted.protocols.http import (
    Headers,
    HttpBody,
    HttpEnd,
    HttpGap,
    HttpMessage,
    HttpRequest,
    HttpResponse,
    HttpUpgrade,
    header,
)
from busted.protocols.http1_fields import body_length, read_fields

Side = Literal["request", "response"]

# Go's and Node's servers stop at 16 KiB to 1 MiB; LLM clients send one to four. Past this it is
# no head we need, and a peer could make us hold it without end.
MAX_HEAD_BYTES = 64 * 1024

# RFC 9112 section 3: "It is RECOMMENDED that all HTTP senders and recipients support, at a
# minimum, request-line lengths of 8000 octets." Lines among chunks have the same limit: "A server
# MUST limit the total length of chunk extensions" (section 7.1.1).
MAX_START_LINE_BYTES = 8192

# Requests whose response has not come. Clients pipeline a handful; a response side that we do
# not see at all must not make the list grow.
MAX_EXPECTED = 256

# RFC 9110 section 9.1, RFC 5789 (PATCH) and QUERY (draft-ietf-httpbis-safe-method-w-body). A
# table rather than "any token": in the middle of foreign bytes a token begins anywhere.
METHODS = (
    "CONNECT",
    "DELETE",
    "GET",
    "HEAD",
    "OPTIONS",
    "PATCH",
    "POST",
    "PUT",
    "QUERY",
    "TRACE",
)

# RFC 9112 section 2.2: "a recipient MAY recognize a single LF as a line terminator".
_START_LINES: dict[Side, re.Pattern[bytes]] = {
    # The target may hold any byte but space and line ends: nginx and Go accept raw UTF-8. h11 and
    # http.server take methods in lower case, nginx and Node several spaces, http.server tabs,
    # nginx any minor version of up to two digits and spaces behind it.
    "request": re.compile(
        rb"((?i:%s))[ \t]+([^ \t\r\n]+)[ \t]+HTTP/(1\.[0-9]{1,2})[ \t]*\r?\n"
        % "|".join(METHODS).encode(),
    ),
    "response": re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9][0-9])(?: [^\n]*)?\r?\n"),
}

_OPENINGS: dict[Side, tuple[bytes, ...]] = {
    "request": tuple(f"{method} ".encode() for method in METHODS),
    "response": (b"HTTP/1.",),
}
_OPENING_BYTES = 8

_HEAD_END = re.compile(rb"\n\r?\n")

# RFC 9112 section 7.1, maybe not all of it yet. nginx takes any extension and a single LF, Apache
# 1.3 pads sizes with spaces; more digits, zeros aside, are no size.
_CHUNK_LINE = re.compile(rb"(?=[0-9a-fA-F])0*([0-9a-fA-F]{0,15})[ \t]*(?:[;\r][^\n]*)?")
# As nearly everybody writes it, for speed.
_USUAL_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


_State = Literal[
    "seek",  # between messages, or lost: the next start line decides
    "head",  # a start line was found, its head is not complete
    "length",  # in a body whose remaining length is known
    "chunk_line",
    "chunk_data",
    "chunk_end",  # behind the data of a chunk
    "trailers",
    "until_close",  # in a body that only the end of the connection ends
    "raw",  # upgraded: no longer HTTP
]


_AMONG_CHUNKS: tuple[_State, ...] = ("chunk_line", "chunk_end", "trailers")
_IN_CHUNKS: tuple[_State, ...] = ("chunk_data", *_AMONG_CHUNKS)


class Http1Parser:
    """Reads one direction of an HTTP/1 connection. It never raises on input.

    `skipped` counts the bytes that were thrown away while looking for a start line.
    After an upgrade it yields the bytes that follow as `HttpBody`, without an `HttpEnd`.
    """

    def __init__(self, side: Side, *, max_head_bytes: int = MAX_HEAD_BYTES) -> None:
        self.skipped = 0
        self._side: Side = side
        self._max_head = max_head_bytes
        self._max_start_line = min(MAX_START_LINE_BYTES, max_head_bytes)
        self._expected: deque[str] = deque(maxlen=MAX_EXPECTED)
        self._reset()

    def _reset(self) -> None:
        self._state: _State = "seek"
        self._held = bytearray()  # an unfinished line when seeking, or an unfinished head
        self._searched = 0  # how much of a held head is known to hold no end
        self._blank_line = 0  # where the next one ends in the data being read, once known
        self._final = False  # whether nothing will follow what is being read
        self._start_line: tuple[str, ...] = ()
        self._start_length = 0
        self._answers = ""  # the method that the current response answers, when known
        self._left = 0
        self._instead: int | None = None  # the length of a body that turns out not to be chunked
        self._damaged = False  # part of the body is missing, or its end disputed
        self._upgrade = ""  # asked for, or granted but not yet seen to be used

    @property
    def is_amid(self) -> bool:
        """Whether a message has begun, or what may be the start line of one, and has not ended."""
        if self._state == "seek":
            held = bytes(self._held[:_OPENING_BYTES]).upper()
            return bool(held) and any(
                held.startswith(known) or known.startswith(held) for known in _OPENINGS[self._side]
            )
        return self._state not in ("until_close", "raw")

    def expect(self, method: str) -> None:
        """Tell the method of a request whose response is to come; in the order of requests."""
        self._expected.append(method)

    def feed(self, data: bytes) -> list[HttpMessage]:
        """Consume `data` and return the messages, or parts of them, that it completes."""
        messages: list[HttpMessage] = []
        if self._held:
            self._held += data
            if not self._worth_reading(data):
                return messages
            data = bytes(self._held)
            self._held.clear()
        self._read(data, messages)
        return messages

    def gap(self, missing: int) -> list[HttpMessage]:
        """Tell that the next `missing` bytes of the stream were never seen."""
        messages: list[HttpMessage] = []
        if missing <= 0:
            return messages
        if self._state in ("length", "chunk_data"):
            in_body = min(missing, self._left)
            messages.append(HttpGap(in_body))
            self._damaged = True
            self._took(in_body, messages)
            missing -= in_body
        elif self._state in ("until_close", "raw"):
            messages.append(HttpGap(missing))
            self._damaged = True
            missing = 0
        if missing and self._state in _AMONG_CHUNKS:
            self._end(messages, truncated=True)
        if missing and self._state in ("seek", "head"):
            self._lose_place(missing, messages)
        return messages

    def close(self) -> list[HttpMessage]:
        """Tell that the stream is over, and return what ends with it."""
        messages: list[HttpMessage] = []
        self._give_up_held(messages)
        if self._state == "until_close":
            self._end(messages)
        elif self._state == "length" or self._state in _IN_CHUNKS:
            self._end(messages, truncated=True)
        self._expected.clear()
        self._reset()
        return messages

    def _read(self, data: bytes, messages: list[HttpMessage]) -> None:
        self._blank_line = position = 0
        while position < len(data):
            position = _READERS[self._state](self, data, position, messages)

    # Held bytes

    def _worth_reading(self, new: bytes) -> bool:
        """Whether the held bytes, which now end with `new`, can lead to anything yet."""
        if self._state == "head":
            # The end is up to three bytes long and may have been cut.
            ended = _HEAD_END.search(self._held, max(self._searched - 2, 0))
            self._searched = len(self._held)
            return ended is not None or len(self._held) >= self._max_head
        # Trimmed only now and then, so that single bytes do not cost a copy each.
        return bool(self._upgrade) or b"\n" in new or len(self._held) > 2 * self._max_start_line

    def _hold(self, data: bytes, position: int) -> int:
        self._held += memoryview(data)[position:]
        self._searched = len(self._held)
        return len(data)

    def _give_up_held(self, messages: list[HttpMessage]) -> None:
        """Nothing will complete the held bytes: report a head as far as it was seen."""
        if self._state == "head":
            data = bytes(self._held)
            self._held.clear()
            self._final = True
            self._read(data, messages)
            self._final = False
        self.skipped += len(self._held)
        self._held.clear()

    def _lose_place(self, missing: int, messages: list[HttpMessage]) -> None:
        """`missing` bytes between messages or in a head: we no longer know what comes next."""
        self._give_up_held(messages)
        # Whole responses may lie in the gap. A wrong HEAD would swallow an answer, so forget.
        self._expected.clear()
        if self._upgrade:
            self._go_raw(messages)
            messages.append(HttpGap(missing))

    # The states. Each reads `data` from `position` on and returns how far it came.

    def _seek(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        if self._upgrade:
            opening = data[position : position + _OPENING_BYTES].upper()
            if any(opening.startswith(known) for known in _OPENINGS[self._side]):
                # Refused or ignored (a 426, a 407, a server that does not know h2c), or
                # plain HTTP in a tunnel: either way we can go on reading.
                self._upgrade = ""
            elif any(known.startswith(opening) for known in _OPENINGS[self._side]):
                return self._hold(data, position)
            else:
                self._go_raw(messages)
                return position
        match = self._find_start_line(data, position)
        if match is None:
            line = max(data.rfind(b"\n", position) + 1, position, len(data) - self._max_start_line)
            self.skipped += line - position
            return self._hold(data, line)
        self.skipped += match.start() - position
        self._start_line = tuple([part.decode("latin-1") for part in match.groups()])
        self._start_length = match.end() - match.start()
        self._state = "head"
        return match.start()

    def _find_start_line(self, data: bytes, position: int) -> re.Match[bytes] | None:
        """Return the first complete start line, which may begin amid a line of junk."""
        start_line = _START_LINES[self._side]
        match = start_line.match(data, position)
        if match and match.end() - position <= self._max_start_line:
            return match
        mark = position
        while (mark := data.find(b"HTTP/1.", mark)) >= 0:
            end = data.find(b"\n", mark) + 1
            if not end:
                return None
            line = max(data.rfind(b"\n", position, mark) + 1, position, end - self._max_start_line)
            if match := start_line.search(data, line, end):
                return match
            mark = end
        return None

    def _head(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        # Searched once for all start lines before it, or many of them would cost the square.
        if self._blank_line <= position:
            self._blank_line = _blank_line(data, position)
        unfinished = self._blank_line > len(data)
        if self._blank_line > position + self._max_head or (unfinished and self._final):
            return self._cut_head(data, position, messages)
        if unfinished:
            return self._hold(data, position)
        lines = memoryview(data)[position + self._start_length : self._blank_line]
        headers = read_fields(lines)
        if headers is None:
            return self._skip_start_line(position)
        self._state = "seek"
        if message := self._message(headers):
            messages.append(message)
            self._begin_body(message, messages)
        return self._blank_line

    def _cut_head(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        """Report a head that is too long, or will never be complete, as far as it goes."""
        lines_end = data.rfind(b"\n", position, position + self._max_head) + 1
        lines = memoryview(data)[position + self._start_length : lines_end]
        headers = read_fields(lines)
        if headers is None:
            return self._skip_start_line(position)
        self._state = "seek"
        if message := self._message(headers):
            messages += (message, HttpEnd(truncated=True))
        return lines_end

    def _skip_start_line(self, position: int) -> int:
        """What follows it is no head, but may hold the start line of one."""
        self._state = "seek"
        self.skipped += self._start_length
        return position + self._start_length

    def _counted(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        piece = data[position : position + self._left]
        messages.append(HttpBody(piece))
        self._took(len(piece), messages)
        return position + len(piece)

    def _took(self, count: int, messages: list[HttpMessage]) -> None:
        """`count` bytes of the body, or of a chunk of it, are done with."""
        self._left -= count
        if self._left:
            return
        if self._state == "chunk_data":
            self._state = "chunk_end"
        else:
            self._end(messages)

    def _until_close(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        messages.append(HttpBody(data[position:]))
        return len(data)

    def _chunk_line(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        if taken := self._whole_chunks(data, position, messages):
            return taken
        end, is_whole = self._line_end(data, position)
        line = _CHUNK_LINE.fullmatch(data, position, end)
        if line is None or end - position >= self._max_start_line:
            return self._break_chunks(position, messages)
        if not is_whole:
            return self._hold(data, position)
        self._instead = None
        self._left = int(line[1] or b"0", 16)
        self._state = "chunk_data" if self._left else "trailers"
        return end + 1

    def _whole_chunks(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        """Read the chunks that are whole and as everybody writes them, at once; 0 if none is."""
        pieces: list[bytes] = []
        while line := _USUAL_CHUNK_LINE.match(data, position):
            begin = line.end()
            end = begin + int(line[1], 16)
            if end == begin or not data.startswith(b"\r\n", end):
                break
            pieces.append(data[begin:end])
            position = end + 2
        if not pieces:
            return 0
        self._instead = None
        messages.append(HttpBody(b"".join(pieces)))
        return position

    def _chunk_end(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        if data.startswith((b"\r\n", b"\n"), position):
            self._state = "chunk_line"
            return data.index(b"\n", position) + 1
        if data[position:] == b"\r":
            return self._hold(data, position)
        return self._break_chunks(position, messages)

    def _trailers(self, data: bytes, position: int, messages: list[HttpMessage]) -> int:
        """Pass over a line, whatever it is: nginx does."""
        end, is_whole = self._line_end(data, position)
        if end - position >= self._max_start_line:
            return self._break_chunks(position, messages)
        if not is_whole:
            return self._hold(data, position)
        if data[position:end] in (b"", b"\r"):
            self._end(messages)
        return end + 1

    def _line_end(self, data: bytes, position: int) -> tuple[int, bool]:
        """Return where a line among chunks ends, as far as the limit, and whether it ends there."""
        limit = position + self._max_start_line
        end = data.find(b"\n", position, limit)
        return (min(len(data), limit), False) if end < 0 else (end, True)

    def _break_chunks(self, position: int, messages: list[HttpMessage]) -> int:
        """What stands at `position` is not of a chunked body."""
        if self._instead is None:
            self._end(messages, truncated=True)
        else:
            # http.server knows no chunks: the body is as it stands, of the length that is given.
            self._begin_length(self._instead, messages)
        return position

    # Messages

    def _message(self, headers: Headers) -> HttpRequest | HttpResponse | None:
        """Return the message that a head opens; None for an interim response."""
        if self._side == "request":
            method, target, version = self._start_line
            return HttpRequest(method.upper(), target, headers, version)
        version, status = self._start_line
        # RFC 9110 section 15.2: a 1xx response is "an interim response [...] prior to completing
        # the requested action and sending a final response". 101 is the last in HTTP/1.
        if status[0] == "1" and status != "101":
            return None
        self._answers = self._expected.popleft() if self._expected else ""
        return HttpResponse(int(status), headers, version)

    def _begin_body(self, message: HttpRequest | HttpResponse, messages: list[HttpMessage]) -> None:
        """Choose how the body ends, as RFC 9112 section 6.3 orders it."""
        if isinstance(message, HttpRequest):
            status = 0
            self._upgrade = _asked_upgrade(message)
            bodiless = message.method == "CONNECT"
        else:
            status = message.status
            bodiless = self._answers == "HEAD" or status in (101, 204, 304)
            if self._answers == "CONNECT" and 200 <= status < 300:
                self._upgrade, bodiless = "connect", True

        told = body_length(message.headers)
        if bodiless:
            self._end(messages)
            if status == 101:
                self._upgrade = (header(message.headers, "upgrade") or "unknown").lower()
                self._go_raw(messages)
        elif told.chunked:
            # "If a message is received with both a Transfer-Encoding and a Content-Length header
            # field, the Transfer-Encoding overrides the Content-Length."
            self._state = "chunk_line"
            self._instead = told.length
        elif told.length is not None:
            self._damaged = told.disputed
            self._begin_length(told.length, messages)
        elif isinstance(message, HttpResponse):
            self._state = "until_close"
        else:
            self._end(messages)

    def _begin_length(self, length: int, messages: list[HttpMessage]) -> None:
        self._instead = None
        self._left = length
        self._state = "length"
        if not length:
            self._end(messages)

    def _end(self, messages: list[HttpMessage], truncated: bool = False) -> None:
        messages.append(HttpEnd(truncated=truncated or self._damaged))
        self._damaged = False
        self._left = 0
        self._instead = None
        self._state = "seek"

    def _go_raw(self, messages: list[HttpMessage]) -> None:
        messages.append(HttpUpgrade(self._upgrade))
        self._upgrade = ""
        self._state = "raw"


_READERS: dict[_State, Callable[[Http1Parser, bytes, int, list[HttpMessage]], int]] = {
    "seek": Http1Parser._seek,
    "head": Http1Parser._head,
    "length": Http1Parser._counted,
    "chunk_line": Http1Parser._chunk_line,
    "chunk_data": Http1Parser._counted,
    "chunk_end": Http1Parser._chunk_end,
    "trailers": Http1Parser._trailers,
    "until_close": Http1Parser._until_close,
    "raw": Http1Parser._until_close,
}


def _blank_line(data: bytes, position: int) -> int:
    """Return where the first blank line from `position` on ends, beyond the data if none does."""
    end = data.find(b"\n\r\n", position)
    bare = data.find(b"\n\n", position, end + 1 if end >= 0 else len(data))
    if bare >= 0:
        return bare + 2
    return end + 3 if end >= 0 else len(data) + 1


def _asked_upgrade(request: HttpRequest) -> str:
    """Return the protocol that the connection may switch to after this request, or ""."""
    if request.method == "CONNECT":
        return "connect"
    connection = header(request.headers, "connection") or ""
    if "upgrade" not in connection.lower():
        return ""
    return (header(request.headers, "upgrade") or "").lower()
