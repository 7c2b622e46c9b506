"""The two byte streams of one connection, turned into actions as they become complete.

Strategy: one parser a direction. Requests wait in order for their responses, so keep-alive and
pipelining pair rightly; when a gap may have taken responses, those that wait give way to the
next request. Only a client's side is reported; a server's is the mirror of its clients'.

Left out: HTTP/2 and WebSocket. They are recognised (`protocol`) and their bytes dropped, so
that their readers can take over there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from busted.classifier import requests
from busted.classifier.answers import NANOSECONDS
from busted.classifier.direction import Direction
from busted.classifier.exchange import Exchange, Observed
from busted.classifier.interest import Interest, Verdict
from busted.classifier.mcp_memory import Memory, Pending
from busted.classifier.opening import Opening, Protocol, Role
from busted.classifier.options import DEFAULT_OPTIONS, Options
from busted.protocols.http import (
    HttpBody,
    HttpEnd,
    HttpMessage,
    HttpRequest,
    HttpResponse,
    HttpUpgrade,
)
from busted.protocols.http1 import Http1Parser

__all__ = ["ConnectionReader", "Observed"]

# Models think for minutes, but once they answer they stream, or send pings.
IDLE_SECONDS = 300
# No AI client was seen to pipeline; one that does has few requests under way.
MAX_WAITING = 64


class ConnectionReader:
    """Feed it what the process writes and reads; it returns the actions that completes.

    `time_ns` is any clock's, in nanoseconds, the same one in all calls. Nothing in the bytes
    makes it raise, and what it holds is bounded: by the limits of `collect` and `chat` for the
    exchange under way, and little for those that wait. After the verdict "not_ai" it is silent,
    unless `name` tells that the host is one of models.
    """

    def __init__(
        self,
        sni: str | None = None,
        options: Options = DEFAULT_OPTIONS,
        memory: Memory | None = None,
    ) -> None:
        """Share `memory` among the connections of a host."""
        self._sni: str | None = None
        self._options = options
        self._opening = Opening()
        self._interest = Interest()
        self._parsers = _new_parsers()
        self._waiting: deque[Exchange] = deque(maxlen=MAX_WAITING)
        self._asking: Exchange | None = None
        self._answering: Exchange | None = None
        self._in_doubt = False
        self._pending = Pending(memory)
        self._count = 0
        if sni is not None:
            self.name(sni)

    @property
    def role(self) -> Role | None:
        """On which side of the connection the process is: a client writes requests."""
        return self._opening.role

    @property
    def protocol(self) -> Protocol:
        """What the connection speaks; only "http1" is read."""
        return self._opening.protocol

    @property
    def verdict(self) -> Verdict:
        """Whether the connection is worth watching: "not_ai" is for muting it."""
        return self._interest.verdict

    @property
    def provider(self) -> str | None:
        """The identifier of who serves the models, as far as it is known."""
        return self._interest.provider

    def name(self, sni: str) -> None:
        """Tell the name of the server, when the TLS library learns it."""
        self._sni = sni
        was_muted = self._is_muted()
        provider = self._options.providers.find(sni)
        # A host that serves more, a data warehouse say, is judged by what is asked of it.
        if provider and not provider.paths:
            self._interest.host(provider)
        if was_muted and not self._is_muted():
            self._parsers = _new_parsers()  # nobody knows how much went by meanwhile

    def feed(self, direction: Direction, data: bytes, time_ns: int) -> list[Observed]:
        """Consume the next bytes of a direction."""
        if self._is_muted():
            return []
        messages: list[HttpMessage] = []
        if self.protocol == "http1" and (fresh := self._opening.feed(direction, data)):
            messages = self._parsers[direction].feed(fresh)
        observed = self._read(direction, messages, time_ns)
        if self.role == "server":
            self._interest.mute()
        elif self.role is None or self.protocol != "http1":
            self._interest.unread(data)
        if self._is_muted():
            self._forget()
        return observed

    def gap(self, direction: Direction, missing: int, time_ns: int) -> list[Observed]:
        """Tell that the next `missing` bytes of a direction were never seen."""
        if self._is_muted() or self.protocol != "http1":
            return []
        observed = self._release(direction, time_ns)
        self._opening.gap(direction, missing)
        observed += self._read(direction, self._parsers[direction].gap(missing), time_ns)
        if direction is Direction.READ and self._answering is None:
            self._in_doubt = True
        return observed

    def close(self, time_ns: int) -> list[Observed]:
        """The connection is over: report what is unfinished as truncated."""
        if self._is_muted():
            return []
        observed: list[Observed] = []
        for direction in Direction:
            observed += self._release(direction, time_ns)
            observed += self._read(direction, self._parsers[direction].close(), time_ns)
        self._forget()
        return observed

    def expire(self, now_ns: int) -> list[Observed]:
        """Report as truncated what has begun and was idle for `IDLE_SECONDS`."""
        oldest = now_ns - IDLE_SECONDS * NANOSECONDS
        observed: list[Observed] = []
        if self._asking and self._asking.last_ns < oldest:
            observed += self._asking.end_request(True, now_ns)
            self._asking = None
        if self._answering and self._answering.last_ns < oldest:
            observed += self._answering.end_response(True, now_ns)
            self._answering = None
        return observed

    def _is_muted(self) -> bool:
        return self.verdict == "not_ai"

    def _forget(self) -> None:
        self._waiting.clear()
        self._asking = self._answering = None

    def _release(self, direction: Direction, time_ns: int) -> list[Observed]:
        """Read what was held back because it could have been the beginning of HTTP/2."""
        held = self._opening.release(direction)
        return self._read(direction, self._parsers[direction].feed(held), time_ns)

    def _read(
        self, direction: Direction, messages: Iterable[HttpMessage], time_ns: int
    ) -> list[Observed]:
        read = self._request if direction is Direction.WRITE else self._response
        observed: list[Observed] = []
        for message in messages:
            if isinstance(message, HttpRequest | HttpResponse):
                self._opening.decide("client")
            elif isinstance(message, HttpUpgrade):
                known = message.protocol == "websocket"
                self._opening.protocol = "websocket" if known else "other"
                break
            if self.role == "server" or self._is_muted():
                break
            observed += read(message, time_ns)
        return observed

    def _request(self, message: HttpMessage, time_ns: int) -> list[Observed]:
        if isinstance(message, HttpRequest):
            self._asking = self._ask(message)
        asking = self._asking
        if asking is None:
            return []
        observed = asking.request(message, time_ns)
        if isinstance(message, HttpEnd):
            self._asking = None
            self._judge(asking, 0, complete=False)
        return observed

    def _ask(self, head: HttpRequest) -> Exchange:
        """A request begins, and from now on waits for its response."""
        if self._in_doubt:
            # A gap may have taken what the others wait for: this one was sent after that.
            self._waiting.clear()
            self._in_doubt = False
        exchange = self._begin(head)
        self._waiting.append(exchange)
        self._parsers[Direction.READ].expect(head.method)
        provider = requests.serving(head, self._sni, self._options)
        if provider and not provider.local_ports:
            self._interest.host(provider)
        return exchange

    def _response(self, message: HttpMessage, time_ns: int) -> list[Observed]:
        observed: list[Observed] = []
        if isinstance(message, HttpResponse):
            self._answering = self._waiting.popleft() if self._waiting else self._begin(message)
            observed = self._answering.begin_response(message, time_ns)
            if self._answering is self._asking:
                self._asking = None
        answering = self._answering
        if answering is None:
            return observed
        observed += answering.response(message, time_ns)
        complete = isinstance(message, HttpEnd)
        if complete:
            self._answering = None
        size = len(message.data) if isinstance(message, HttpBody) else 0
        self._judge(answering, size, complete=complete)
        return observed

    def _begin(self, head: HttpRequest | HttpResponse) -> Exchange:
        self._count += 1
        return Exchange(self._count, head, self._sni, self._pending, self._options)

    def _judge(self, exchange: Exchange, size: int, *, complete: bool) -> None:
        """Let `size` more bytes of an exchange count for or against the connection."""
        if exchange.is_ai:
            self._interest.ai(exchange.provider)
        else:
            self._interest.other(size, complete=complete)


def _new_parsers() -> dict[Direction, Http1Parser]:
    return {Direction.WRITE: Http1Parser("request"), Direction.READ: Http1Parser("response")}
