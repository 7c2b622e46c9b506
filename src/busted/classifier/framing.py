"""What a connection speaks, on which side of it the process is, and its messages.

Strategy: each direction has a parser, which an upgrade replaces. Until a head of HTTP/1 is found
the same bytes are also read as HTTP/2, which may have begun before we joined, and as if the
process were the server: it is the client if it writes requests or reads responses, the server
if it is the other way round.

Left out: what goes through a tunnel (CONNECT), and upgrades to anything but WebSocket and h2c.
Of an upgrade to h2c the first answer comes without its request, which HTTP/1 carried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from busted.classifier.direction import Direction
from busted.protocols.http import (
    HttpBody,
    HttpGap,
    HttpMessage,
    HttpRequest,
    HttpResponse,
    HttpUpgrade,
)
from busted.protocols.http1 import Http1Parser, Side
from busted.protocols.http2 import PREFACE, Http2Parser
from busted.protocols.http2_headers import UNKNOWN
from busted.protocols.websocket import WebSocketMessage, WebSocketParser

Role = Literal["client", "server"]
Protocol = Literal["http1", "http2", "websocket", "other"]

Message = HttpMessage | WebSocketMessage
Read = tuple[Direction, Message]
"""A message and the direction it went."""

_SIDES: dict[Direction, Side] = {Direction.WRITE: "request", Direction.READ: "response"}
_MIRRORED: dict[Direction, Side] = {Direction.WRITE: "response", Direction.READ: "request"}
_OTHER = {Direction.WRITE: Direction.READ, Direction.READ: Direction.WRITE}

_Parser = Http1Parser | Http2Parser | WebSocketParser


class Framing:
    """Feed it all bytes of both directions; it returns their messages. It never raises.

    `role` is None until a head was seen. The messages are of use to a client only: of a
    server they are neither requests nor responses but nonsense.
    """

    def __init__(self) -> None:
        self.role: Role | None = None
        self.protocol: Protocol = "http1"
        self._extensions: str | None = None  # of a WebSocket, as they were agreed on
        self._parsers: dict[Direction, _Parser | None] = {
            direction: Http1Parser(side) for direction, side in _SIDES.items()
        }
        self._look_both_ways()

    @property
    def is_writing(self) -> bool:
        """Whether the process has begun to write a message and not ended it."""
        parser = self._parsers[Direction.WRITE]
        looked_at = self._http2.get(Direction.WRITE)
        return (parser is not None and parser.is_amid) or (
            looked_at is not None and looked_at.is_http2 and looked_at.is_amid
        )

    def expect(self, method: str) -> None:
        """Tell the method of a request in HTTP/1, in order: its answer depends on that."""
        parser = self._parsers[Direction.READ]
        if isinstance(parser, Http1Parser):
            parser.expect(method)

    def feed(self, direction: Direction, data: bytes) -> list[Read]:
        """Consume the next bytes of a direction."""
        parser = self._parsers[direction]
        if parser is None:
            return []
        if self.role is None and isinstance(parser, Http1Parser):
            messages: Sequence[Message] = self._look(direction, parser, data)
        else:
            messages = parser.feed(data)
        return self._told(direction, messages)

    def gap(self, direction: Direction, missing: int) -> list[Read]:
        """Tell that the next `missing` bytes of a direction were never seen."""
        parser = self._parsers[direction]
        if parser is None:
            return []
        if self.role is None and isinstance(parser, Http1Parser):
            self._mirrored[direction].gap(missing)
            self._http2[direction].gap(missing)
        return self._told(direction, parser.gap(missing))

    def close(self) -> list[Read]:
        """The connection is over: return what ends with it."""
        read: list[Read] = []
        for direction, parser in self._parsers.items():
            if parser is not None:
                read += self._told(direction, parser.close())
        return read

    def restart(self) -> None:
        """Tell that bytes were missed and nobody knows how many: what was begun is forgotten."""
        for direction, parser in self._parsers.items():
            side = _SIDES[direction]
            if isinstance(parser, Http1Parser):
                self._parsers[direction] = Http1Parser(side)
            elif isinstance(parser, Http2Parser):
                self._parsers[direction] = Http2Parser(side)
            else:
                self._parsers[direction] = None  # a WebSocket without its place is lost
        if self.role is None:
            self._look_both_ways()

    def _look_both_ways(self) -> None:
        self._http2 = {direction: Http2Parser(side) for direction, side in _SIDES.items()}
        self._mirrored = {direction: Http1Parser(side) for direction, side in _MIRRORED.items()}

    def _look(self, direction: Direction, parser: Http1Parser, data: bytes) -> list[HttpMessage]:
        """See what this is: HTTP/1 is only read as HTTP/2 until a head is found."""
        http2 = self._http2[direction]
        messages = http2.feed(data[: len(PREFACE)])
        if not http2.is_http2:
            read = parser.feed(data)
            mirrored = self._mirrored[direction]
            if _has_head(read):
                return read
            # A page that quotes a request is no request: only what stands at the very beginning.
            # By lines, since what follows a head in the same piece says nothing about it.
            for line in data.splitlines(keepends=True):
                found = _has_head(mirrored.feed(line))
                if mirrored.skipped:
                    break
                if found:
                    self._decide("server")
                    return []
        messages += http2.feed(data[len(PREFACE) :])
        if http2.is_http2:
            self.protocol = "http2"
            self._parsers = dict(self._http2)
        return messages

    def _decide(self, role: Role) -> None:
        """The first to know is right."""
        if self.role is None:
            self.role = role
            self._mirrored.clear()
            self._http2.clear()

    def _told(self, direction: Direction, messages: Sequence[Message]) -> list[Read]:
        read: list[Read] = []
        parser = self._parsers[direction]
        if isinstance(parser, Http2Parser) and (parser.has_opened or parser.is_mirrored):
            self._decide("client" if parser.has_opened else "server")
        for place, message in enumerate(messages):
            if isinstance(message, HttpUpgrade):
                self._upgrade(direction, message.protocol)
                return read + self._raw(direction, messages[place + 1 :])
            if _is_known_head(message):
                self._decide("client")
            if isinstance(message, HttpResponse) and message.status == 101:
                self._extensions = ",".join(
                    value for name, value in message.headers if name == "sec-websocket-extensions"
                )
            read.append((direction, message))
        if isinstance(parser, Http2Parser):
            read += self._pass_on(parser, _OTHER[direction])
        return read

    def _pass_on(self, parser: Http2Parser, direction: Direction) -> list[Read]:
        """Tell the other direction of HTTP/2 what this one said to it."""
        other = self._parsers[direction]
        read: list[Read] = []
        for notice in parser.notices():
            if isinstance(other, Http2Parser):
                read += [(direction, message) for message in other.notice(notice)]
        return read

    def _upgrade(self, direction: Direction, protocol: str) -> None:
        side = _SIDES[direction]
        if protocol == "websocket":
            self.protocol = "websocket"
            self._parsers[direction] = WebSocketParser(side, self._extensions)
        elif protocol == "h2c":
            self.protocol = "http2"
            self._parsers[direction] = Http2Parser(side)
        else:
            self.protocol = "other"
            self._parsers[direction] = None

    def _raw(self, direction: Direction, messages: Iterable[Message]) -> list[Read]:
        """Read what came after an upgrade in the same piece."""
        read: list[Read] = []
        for message in messages:
            if isinstance(message, HttpBody):
                read += self.feed(direction, message.data)
            elif isinstance(message, HttpGap):
                read += self.gap(direction, message.missing)
        return read


def _has_head(messages: Iterable[Message]) -> bool:
    return any(isinstance(message, HttpRequest | HttpResponse) for message in messages)


def _is_known_head(message: Message) -> bool:
    """Whether it is the head of a request or response, and was seen at least in part."""
    if isinstance(message, HttpRequest):
        return message.method != UNKNOWN
    return isinstance(message, HttpResponse) and message.status != 0
