"""Server-sent events, read from an HTTP body that arrives in pieces.

Strategy: lines end in LF, CR or CRLF, and the body may be cut anywhere, even inside a CRLF, a
byte order mark or a UTF-8 character. So we work on bytes, keep the unfinished last line, and
decode only values of whole lines.

Left out: `retry` and reconnection, which concern the client that reads, not what it reads.

Reference: https://html.spec.whatwg.org/multipage/server-sent-events.html (quoted below)
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

# LLM deltas are a few hundred bytes; a whole answer sent as one event can be several hundred
# kilobytes. Past this we report the event as truncated, not buffer without end.
MAX_EVENT_BYTES = 1 << 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SseEvent(msgspec.Struct, frozen=True):
    """One dispatched event; `data` joins its data lines, `id` is the last one the stream gave."""

    data: str
    event: str = "message"
    id: str | None = None
    truncated: bool = False


class SseParser:
    """Feed it body bytes; it yields the events they complete. It never raises.

    `max_event_bytes` bounds both a line and the data of an event, line ends included; what
    exceeds it is dropped and the event is marked truncated.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        # A byte more than a line may have tells that it is too long.
        self._max_held = max_event_bytes + 1 + len(_BYTE_ORDER_MARK)
        self._begin()

    def _begin(self) -> None:
        self._line = bytearray()  # unfinished
        self._first = True  # whether the unfinished line is the stream's first
        self._after_cr = False
        self._id: str | None = None
        self._fed, self._lines_read = b"", 0
        self._begin_event()

    def _begin_event(self) -> None:
        self._data: list[bytes] = []
        self._event = ""
        self._room = self._max
        self._truncated = False

    @property
    def pending(self) -> bool:
        """Whether bytes were seen that belong to an event not dispatched yet."""
        return bool(self._line or self._data or self._event or self._truncated)

    @property
    def unread(self) -> int:
        """How many bytes of what is being fed come behind the event that was yielded last."""
        return sum(map(len, self._fed.splitlines(keepends=True)[self._lines_read :]))

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Consume `data`, yielding every event that it completes; exhaust it before the next."""
        # "Lines must be separated by either a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF)
        # character pair, a single U+000A LINE FEED (LF) character, or a single U+000D CARRIAGE
        # RETURN (CR) character."
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # the other half of a CRLF cut in two
            self._after_cr = False
        if not data:
            return
        self._fed = data
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and (self._line or self._first):
            lines[0] = self._unfinished_with(lines[0])
        for self._lines_read, line in enumerate(lines, 1):
            if line:
                self._field(line)
            # "If the line is empty (a blank line): Dispatch the event"; and, dispatching, "If the
            # data buffer is an empty string, set the data buffer and the event type buffer to
            # the empty string and return."
            else:
                if self._data or self._truncated:
                    text = b"\n".join(self._data).decode("utf-8", "replace")
                    yield SseEvent(text, self._event or "message", self._id, self._truncated)
                self._begin_event()
        self._fed = b""
        if rest:
            self._line += rest[: self._max_held - len(self._line)]

    def close(self) -> Iterator[SseEvent]:
        """End the stream: yields nothing, and the parser is as new.

        "Once the end of the file is reached, any pending data must be discarded. (If the file
        ends in the middle of an event, before the final empty line, the incomplete event is not
        dispatched.)" Ask `pending` before, to know whether that was so.
        """
        self._begin()
        return iter(())

    def _unfinished_with(self, end: bytes) -> bytes:
        """Return the line whose beginning came with earlier pieces."""
        line = bytes(self._line) + end
        self._line.clear()
        if self._first:
            # "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any."
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._first = False
        return line

    def _field(self, line: bytes) -> None:
        if len(line) > self._max:
            line = line[: self._max]
            # A comment that long is no loss.
            self._truncated |= not line.startswith(b":")
        # "Collect the characters on the line before the first U+003A COLON character (:) [...]
        # If value starts with a U+0020 SPACE character, remove it from value."
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            # The line end counts too, so that empty lines cannot pile up.
            self._room -= len(value) + 1
            if self._room < -1:
                self._truncated = True
                value = value[: self._room + 1]
            if value or self._room >= -1:
                self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            # "If the field value does not contain U+0000 NULL, then set the last event ID buffer
            # to the field value. Otherwise, ignore the field."
            self._id = value.decode("utf-8", "replace")
