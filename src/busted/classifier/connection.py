"""The two byte streams of one connection, turned into actions as they become complete.

Strategy: in HTTP/1 requests wait in order for their responses, so keep-alive and pipelining
pair rightly; when a gap may have taken responses, those that wait give way to the next
request. In HTTP/2 the stream's number pairs them, however they interleave. Only a client's
side is reported; a server's is the mirror of its clients'. After an upgrade, `websocket` reads.
"""

from __future__ import annotations

from collections.abc import Iterable

from busted.classifier import requests
from busted.classifier.answers import NANOSECONDS
from busted.classifier.direction import Direction
from busted.classifier.exchange import Exchange, Observed
from busted.classifier.framing import Framing, Protocol, Read, Role
from busted.classifier.interest import Interest, Verdict
from busted.classifier.mcp_memory import Memory, Pending
from busted.classifier.options import DEFAULT_OPTIONS, Options
from busted.classifier.pii_exchanges import Revealed
from busted.classifier.websocket import WebSocketReader
from busted.protocols.http import (
    HttpBody,
    HttpEnd,
    HttpMessage,
    HttpRequest,
    HttpResponse,
    header,
)
from busted.protocols.websocket import WebSocketMessage

__all__ = ["ConnectionReader", "Observed"]

# Models think for minutes, but once they answer they stream, or send pings.
IDLE_SECONDS = 300
# Servers of HTTP/2 allow 100 to 250 requests at a time; no client of HTTP/1 was seen to pipeline.
MAX_WAITING = 256
# One body may take four megabytes. Only HTTP/2 has many under way at once, and few are long.
MAX_KEPT_BYTES = 64 << 20


class ConnectionReader:
    """Feed it what the process writes and reads; it returns the actions that completes.

    `time_ns` is any clock's, in nanoseconds, the same one in all calls. Nothing in the bytes
    makes it raise, and what it holds is bounded: by the limits of `collect` and `chat` for
    each exchange under way, by `max_kept_bytes` for all of them, and little for those that
    wait. After the verdict "not_ai" it is silent, unless `name` tells that the host is one
    of models.
    """

    def __init__(
        self,
        sni: str | None = None,
        options: Options = DEFAULT_OPTIONS,
        memory: Memory | None = None,
        *,
        max_kept_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        """Share `memory` among the connections of a host."""
        self._sni: str | None = None
        self._options = options
        self._max_kept = max_kept_bytes
        self._framing = Framing()
        self._interest = Interest()
        # All by stream, in the order they began; in HTTP/1 a request waits under its own number.
        self._waiting: dict[int, Exchange] = {}
        self._asking: dict[int, Exchange] = {}
        self._answering: dict[int, Exchange] = {}
        self._in_doubt = False
        self._upgrade: HttpRequest | None = None
        self._websocket: WebSocketReader | None = None
        self._pending = Pending(memory)
        self._revealed = Revealed()
        self._count = 0
        if sni is not None:
            self.name(sni)

    @property
    def role(self) -> Role | None:
        """On which side of the connection the process is: a client writes requests."""
        return self._framing.role

    @property
    def protocol(self) -> Protocol:
        """What the connection speaks; "other" is not read."""
        return self._framing.protocol

    @property
    def verdict(self) -> Verdict:
        """Whether the connection is worth watching: "not_ai" is for muting it."""
        return self._interest.verdict

    @property
    def provider(self) -> str | None:
        """The identifier of who serves the models, as far as it is known."""
        return self._interest.provider

    @property
    def is_waiting(self) -> bool:
        """Whether something has begun and not ended: only then does `expire` find anything."""
        socket = self._websocket
        under_way = socket is not None and socket.is_answering
        return bool(self._asking or self._answering or self._revealed) or under_way

    @property
    def is_between(self) -> bool:
        """Whether all requests that were begun are whole, as far as anybody can tell."""
        return self._is_muted() or not (self._asking or self._framing.is_writing)

    def name(self, sni: str) -> None:
        """Tell the name of the server, when the TLS library learns it."""
        self._sni = sni
        was_muted = self._is_muted()
        provider = self._options.providers.find(sni)
        # A host that serves more, a data warehouse say, is judged by what is asked of it.
        if provider and not provider.paths:
            self._interest.host(provider)
        if was_muted and not self._is_muted():
            self._framing.restart()  # nobody knows how much went by meanwhile

    def feed(self, direction: Direction, data: bytes, time_ns: int) -> list[Observed]:
        """Consume the next bytes of a direction."""
        if self._is_muted():
            return []
        observed = self._read(self._framing.feed(direction, data), time_ns)
        ended = self._end_oldest(time_ns)
        if self.role == "server":
            self._interest.mute()
        elif self.protocol == "other" or (self.role is None and self.protocol == "http1"):
            self._interest.unread(data)
        if self._is_muted():
            self._forget()
        return observed + self._summed(ended, time_ns)

    def gap(self, direction: Direction, missing: int, time_ns: int) -> list[Observed]:
        """Tell that the next `missing` bytes of a direction were never seen."""
        if self._is_muted():
            return []
        observed = self._read(self._framing.gap(direction, missing), time_ns)
        if direction is Direction.READ and not self._answering:
            self._in_doubt = True
        return observed

    def close(self, time_ns: int) -> list[Observed]:
        """The connection is over: report what is unfinished as truncated."""
        if self._is_muted():
            return []
        observed = self._read(self._framing.close(), time_ns)
        ended = self._websocket.close(time_ns) if self._websocket else []
        self._forget()
        return observed + self._summed(ended, time_ns)

    def expire(self, now_ns: int) -> list[Observed]:
        """Report as truncated what has begun and was idle for `IDLE_SECONDS`."""
        oldest = now_ns - IDLE_SECONDS * NANOSECONDS
        observed: list[Observed] = []
        for stream, asking in list(self._asking.items()):
            if asking.last_ns < oldest:
                observed += self._asking.pop(stream).end_request(True, now_ns)
        for stream, answering in list(self._answering.items()):
            if answering.last_ns < oldest:
                observed += self._answering.pop(stream).end_response(True, now_ns)
        if self._websocket:
            observed += self._websocket.expire(oldest, now_ns)
        return [*self._summed(observed, now_ns), *self._revealed.expire(now_ns)]

    def _summed(self, observed: list[Observed], time_ns: int) -> list[Observed]:
        """Return what was observed, and of the exchanges that are over what they reveal."""
        told = self._revealed.keep(observed, time_ns)
        if self._revealed:
            exchanges = (self._waiting, self._asking, self._answering)
            under_way = {one.number for some in exchanges for one in some.values()}
            under_way.update(self._websocket.under_way if self._websocket else ())
            told += self._revealed.over(under_way, time_ns)
        return told

    def _is_muted(self) -> bool:
        return self.verdict == "not_ai"

    def _forget(self) -> None:
        self._waiting.clear()
        self._asking.clear()
        self._answering.clear()
        self._websocket = None

    def _end_oldest(self, time_ns: int) -> list[Observed]:
        """Report as truncated what began first, while all that is under way takes too much."""
        observed: list[Observed] = []
        if len(self._asking) + len(self._answering) <= 1:
            return observed
        kept = sum(e.kept for e in (*self._asking.values(), *self._answering.values()))
        while kept > self._max_kept and self._asking:
            asking = self._asking.pop(next(iter(self._asking)))
            kept -= asking.kept
            observed += asking.end_request(True, time_ns)
        while kept > self._max_kept and self._answering:
            answering = self._answering.pop(next(iter(self._answering)))
            kept -= answering.kept
            observed += answering.end_response(True, time_ns)
        return observed

    def _read(self, messages: Iterable[Read], time_ns: int) -> list[Observed]:
        observed: list[Observed] = []
        for direction, message in messages:
            if self.role == "server" or self._is_muted():
                break
            if isinstance(message, WebSocketMessage):
                found = self._message(direction, message, time_ns)
            elif direction is Direction.WRITE:
                found = self._request(message, time_ns)
            else:
                found = self._response(message, time_ns)
            # After each message, so that how many of them came in one read does not matter.
            observed += self._summed(found, time_ns)
        return observed

    def _request(self, message: HttpMessage, time_ns: int) -> list[Observed]:
        stream = message.stream_id
        if isinstance(message, HttpRequest):
            self._asking[stream] = self._ask(message)
        asking = self._asking.get(stream)
        if asking is None:
            return []
        observed = asking.request(message, time_ns)
        if isinstance(message, HttpEnd):
            del self._asking[stream]
            self._judge(asking, 0, complete=False)
        return observed

    def _ask(self, head: HttpRequest) -> Exchange:
        """A request begins, and from now on waits for its response."""
        if self._in_doubt and not head.stream_id:
            # A gap may have taken what the others wait for: this one was sent after that.
            self._waiting.clear()
        self._in_doubt = False
        if (header(head.headers, "upgrade") or "").lower() == "websocket":
            self._upgrade = head
        exchange = self._begin(head)
        self._waiting[head.stream_id or self._count] = exchange
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._framing.expect(head.method)
        provider = requests.serving(head, self._sni, self._options)
        if provider and not provider.local_ports:
            self._interest.host(provider)
        return exchange

    def _response(self, message: HttpMessage, time_ns: int) -> list[Observed]:
        stream = message.stream_id
        observed: list[Observed] = []
        if isinstance(message, HttpResponse):
            answering = self._awaited(message)
            self._answering[stream] = answering
            observed = answering.begin_response(message, time_ns)
            if answering is self._asking.get(stream):
                del self._asking[stream]
        if stream not in self._answering:
            return observed
        answering = self._answering[stream]
        observed += answering.response(message, time_ns)
        complete = isinstance(message, HttpEnd)
        if complete:
            del self._answering[stream]
        size = len(message.data) if isinstance(message, HttpBody) else 0
        self._judge(answering, size, complete=complete)
        return observed

    def _awaited(self, head: HttpResponse) -> Exchange:
        """Return the exchange that a response belongs to, a new one if nobody saw its request."""
        key = head.stream_id or next(iter(self._waiting), 0)
        return self._waiting.pop(key, None) or self._begin(head)

    def _message(
        self, direction: Direction, message: WebSocketMessage, time_ns: int
    ) -> list[Observed]:
        reader = self._websocket
        if reader is None:
            reader = self._websocket = WebSocketReader(
                self._upgrade,
                sni=self._sni,
                pending=self._pending,
                options=self._options,
                number=self._next,
            )
        observed = reader.read(direction, message, time_ns)
        if observed or reader.is_ai:
            self._interest.ai(reader.provider)
        else:
            self._interest.other(len(message.data))
        return observed

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _begin(self, head: HttpRequest | HttpResponse) -> Exchange:
        return Exchange(self._next(), head, self._sni, self._pending, self._options)

    def _judge(self, exchange: Exchange, size: int, *, complete: bool) -> None:
        """Let `size` more bytes of an exchange count for or against the connection."""
        if exchange.is_ai:
            self._interest.ai(exchange.provider)
        else:
            self._interest.other(size, complete=complete)
