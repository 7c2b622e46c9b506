"""How a streamed answer is cut in events: one reader for each content type that does it.

Strategy: whatever separates them on the wire, events come out as those of SSE do, so that a
dialect does not know what carried it. All readers keep no more than one unfinished event, give
the same events however the bytes are cut, and tell at the end what was left unfinished. The
messages of an AWS event stream, whose names stand in headers, are told as objects with that
name as their only key.

Left out: what follows a gap in a JSON array; where an event begins, only the brackets before it
say.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Protocol

from busted.classifier.foreign import mapping, string, to_json
from busted.protocols import partial_json
from busted.protocols.eventstream import EventStreamMessage, EventStreamParser
from busted.protocols.grpc import GrpcMessage, GrpcParser, is_grpc
from busted.protocols.sse import MAX_EVENT_BYTES, SseEvent, SseParser


class Framing(Protocol):
    """Feed it what a body consists of, its coding undone."""

    @property
    def unread(self) -> int:
        """How many bytes of what is being fed come behind the event that was yielded last."""

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Yield the events that `data` completes; exhaust it before the next."""

    def gap(self, missing: int) -> None:
        """Tell that the next `missing` bytes were never seen: the unfinished event is lost."""

    def finish(self) -> Iterator[SseEvent]:
        """Yield the event that the end of the body leaves unfinished, if there is one."""


class ServerSentEvents:
    """`text/event-stream`, for which see `protocols.sse`."""

    def __init__(self) -> None:
        self._parser = SseParser()

    @property
    def unread(self) -> int:
        """How many bytes of what is being fed come behind the event that was yielded last."""
        return self._parser.unread

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Yield the events that `data` completes."""
        return self._parser.feed(data)

    def gap(self, missing: int) -> None:
        """Begin anew: what follows is the rest of an unknown event."""
        self._parser = SseParser()

    def finish(self) -> Iterator[SseEvent]:
        """Yield the unfinished event: a browser would discard it; we want what was seen."""
        return self._parser.feed(b"\n\n")


class JsonLines:
    """One JSON value a line, as Ollama streams; blank lines are nothing.

    https://github.com/ndjson/ndjson-spec: "The parser MAY silently ignore empty lines".
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._unfinished = _Unfinished(max_event_bytes)
        self.unread = 0
        """How many bytes of what is being fed come behind the line that was yielded last."""

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Yield the lines that `data` completes."""
        *lines, rest = data.split(b"\n")
        self.unread = len(data)
        for line in lines:
            self.unread -= len(line) + 1
            self._unfinished.add(line)
            yield from self.finish()
        self.unread = 0
        self._unfinished.add(rest)

    def gap(self, missing: int) -> None:
        """Drop the unfinished line; the rest of one that the gap began in is no object."""
        self._unfinished.drop()

    def finish(self) -> Iterator[SseEvent]:
        """Yield the unfinished line."""
        return self._unfinished.take()


class JsonArray:
    """The elements of one JSON array that grows while it is sent, as Gemini streams.

    Only objects and arrays are events. What comes before and after the array is nothing.
    """

    unread = 0
    """No dialect ends its answer before the array does."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._unfinished = _Unfinished(max_event_bytes)
        self._depth = 0
        self._in_string = False
        self._after_backslash = False
        self._lost = False

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Yield the elements that `data` completes."""
        if self._lost:
            return
        place = begin = 0
        if self._after_backslash and data:
            self._after_backslash = False
            place = 1
        while token := (_IN_STRING if self._in_string else _STRUCTURE).search(data, place):
            place = token.end()
            match token[0]:
                case b'"':
                    self._in_string = not self._in_string
                case b"[" | b"{":
                    self._depth += 1
                    if self._depth == 2:
                        begin = token.start()
                case b"]" | b"}":
                    self._depth = max(self._depth - 1, 0)
                    if self._depth == 1:
                        self._unfinished.add(data[begin:place])
                        yield from self.finish()
                case _:
                    self._after_backslash = place == len(data)
                    place += 1
        if self._depth > 1:
            self._unfinished.add(data[begin:])

    def gap(self, missing: int) -> None:
        """Drop the unfinished element, and all that follows."""
        self._unfinished.drop()
        self._lost = True

    def finish(self) -> Iterator[SseEvent]:
        """Yield the unfinished element."""
        return self._unfinished.take()


_STRUCTURE = re.compile(rb'["\[\]{}]')
_IN_STRING = re.compile(rb'["\\]')


class _Unfinished:
    """The bytes of one event so far, as many as there is room for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = bytearray()
        self._cut = False

    def add(self, data: bytes) -> None:
        room = self._limit - len(self._bytes)
        self._cut |= len(data) > room
        self._bytes += data[:room]

    def take(self) -> Iterator[SseEvent]:
        data, cut = bytes(self._bytes).strip(), self._cut
        self.drop()
        if data:
            yield SseEvent(data.decode("utf-8", "replace"), truncated=cut)

    def drop(self) -> None:
        self._bytes.clear()
        self._cut = False


class AwsEventStream:
    """`application/vnd.amazon.eventstream`, for which see `protocols.eventstream`.

    Invoke wraps what the model wrote: {"bytes": Base64}. An exception becomes an error in the
    form that most dialects have. A damaged message tells only that something is missing.
    """

    unread = 0
    """Bedrock sends nothing behind what ends an answer."""

    def __init__(self) -> None:
        self._parser = EventStreamParser()

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Yield the messages that `data` completes."""
        return map(_aws_event, self._parser.feed(data))

    def gap(self, missing: int) -> None:
        """Drop the messages that the gap falls in."""
        self._parser.gap(missing)

    def finish(self) -> Iterator[SseEvent]:
        """Yield the unfinished message."""
        return map(_aws_event, self._parser.close())


class GrpcMessages:
    """Messages of gRPC, for which see `protocols.grpc`: an event without data for each."""

    unread = 0
    """What ends a call is not in its body."""

    def __init__(self) -> None:
        self._parser = GrpcParser()

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Yield the messages that `data` completes."""
        return map(_grpc_event, self._parser.feed(data))

    def gap(self, missing: int) -> None:
        """Drop the message that the gap falls in, and all that follows if it hides its end."""
        self._parser.gap(missing)

    def finish(self) -> Iterator[SseEvent]:
        """Yield the unfinished message."""
        return map(_grpc_event, self._parser.close())


def _grpc_event(message: GrpcMessage) -> SseEvent:
    return SseEvent("", truncated=message.truncated)


class Messages:
    """Messages of a WebSocket: each piece that is fed is an event by itself."""

    unread = 0
    """Nothing comes behind an event in the same piece."""

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Yield the message."""
        yield SseEvent(data.strip().decode("utf-8", "replace"))

    def gap(self, missing: int) -> None:
        """Do nothing: what a message misses is told with it."""

    def finish(self) -> Iterator[SseEvent]:
        """Yield nothing: each message is whole, or told as far as it was seen."""
        return iter(())


def _aws_event(message: EventStreamMessage) -> SseEvent:
    # https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html names the headers.
    payload = message.payload.decode("utf-8", "replace")
    if message.damaged:
        return SseEvent("", truncated=True)
    if message.headers.get(":message-type", "event") != "event":
        kind = message.headers.get(":exception-type") or message.headers.get(":error-code")
        told = mapping(partial_json.parse(message.payload).value)
        text = string(told.get("message")) or string(message.headers.get(":error-message"))
        error = {"type": "error", "error": {"type": kind, "message": text or payload}}
        return SseEvent(to_json(error, MAX_EVENT_BYTES)[0], truncated=message.truncated)
    name = string(message.headers.get(":event-type")) or ""
    if name == "chunk":
        wrapped = string(mapping(partial_json.parse(message.payload).value).get("bytes")) or ""
        return SseEvent(_from_base64(wrapped), truncated=message.truncated)
    return SseEvent(f'{{"{name}": {payload}}}', truncated=message.truncated)


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except ValueError:  # cut, or no Base64 at all
        return ""


# By the beginning of the content type. Ollama: application/x-ndjson; Cohere's first version:
# application/stream+json.
_TYPES: tuple[tuple[str, Callable[[], Framing]], ...] = (
    ("text/event-stream", ServerSentEvents),
    ("application/vnd.amazon.eventstream", AwsEventStream),
    ("application/x-ndjson", JsonLines),
    ("application/ndjson", JsonLines),
    ("application/jsonl", JsonLines),
    ("application/stream+json", JsonLines),
)
_STREAM_TYPES = tuple(start for start, _ in _TYPES)


def of_type(
    content_type: str, expected: Callable[[], Framing] = ServerSentEvents
) -> Callable[[], Framing] | None:
    """Return what reads a body of this type, None when it does not come in events.

    `expected` is how the dialect that was asked streams; gRPC's type does not say if it does.
    """
    kind = content_type.strip().lower()
    if expected is GrpcMessages and is_grpc(kind):
        return GrpcMessages
    if not kind.startswith(_STREAM_TYPES):
        return None
    return next((framing for start, framing in _TYPES if kind.startswith(start)), None)


def of_opening(opening: bytes, expected: Callable[[], Framing]) -> Callable[[], Framing] | None:
    """Return what reads a body that begins so, where its type says no more than JSON or nothing.

    `expected` is how the dialect that was asked streams; a whole answer is always an object.
    """
    start = opening.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(_SSE_OPENINGS):
        return ServerSentEvents
    return JsonArray if start.startswith(b"[") and expected is JsonArray else None


_SSE_OPENINGS = (b"data:", b"event:", b"id:", b"retry:", b":")
OPENING_BYTES = max(map(len, _SSE_OPENINGS))


def of_body(body: bytes, streams_as: Callable[[bytes], object]) -> Callable[[], Framing] | None:
    """Return what reads a body that was kept whole, if it consists of a stream's events.

    `streams_as` is asked with the first event what reads the streams that it can be of.
    """
    body = body.strip()
    start = body[:1]
    # An object alone is a whole answer, unless another one follows on the next line.
    framing: Callable[[], Framing] = JsonArray if start == b"[" else JsonLines
    least = 1 if start == b"[" else 2
    if least == 2 and b"\n" not in body:
        return None
    reader = framing()
    first = list(islice(chain(reader.feed(body), reader.finish()), least))
    if len(first) == least and streams_as(first[0].data.encode("utf-8", "replace")) is framing:
        return framing
    return None
