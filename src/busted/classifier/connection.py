"""The two byte streams of one connection, turned into actions as they become complete.

Strategy: one parser a direction. Requests wait in order for their responses, so keep-alive and
pipelining pair rightly; after a gap in the responses those that wait are in doubt and give way
to the next request. Which side of the connection the process is shows by which direction
carries requests; a server's side is not reported, its client's is.

Left out: HTTP/2 and WebSocket. They are recognised (`protocol`) and never judged by, so that
their readers can take over there.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import msgspec

from busted.classifier import mcp, pii, providers, requests
from busted.classifier.answers import NANOSECONDS, AnswerReader
from busted.classifier.direction import Direction
from busted.classifier.requests import Request
from busted.events import Action
from busted.protocols.detect import detect
from busted.protocols.http import (
    HttpBody,
    HttpEnd,
    HttpGap,
    HttpMessage,
    HttpRequest,
    HttpResponse,
    HttpUpgrade,
    header,
)
from busted.protocols.http1 import Http1Parser

# Models think for minutes, but then they stream what they think or send pings.
IDLE_SECONDS = 300
# No AI client pipelines; a client that does has few requests under way.
MAX_WAITING = 64
# A keep-alive connection to a host of models may begin with a few telemetry calls; a host
# that is not known gets as many.
MAX_OTHER_EXCHANGES = 8
# ... and as many bytes: a download is not an answer.
MAX_OTHER_BYTES = 4 << 20
# Without any HTTP: two full TLS records of binary, while text may be the middle of a streamed
# answer on a connection that we joined late.
MAX_BINARY_BYTES = 32 * 1024
MAX_TEXT_BYTES = 1 << 20

# RFC 9113 section 3.4.
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Role = Literal["client", "server"]
Verdict = Literal["undecided", "ai", "not_ai"]
Protocol = Literal["http1", "http2", "upgraded"]


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """An action, the time of the write or read that completed it, and its exchange, from 1 on."""

    action: Action
    time_ns: int
    exchange: int
    http_version: str | None = None
    stream_id: int | None = None


class _Exchange:
    """A request, as far as it is known, and the answer to it."""

    def __init__(self, number: int, head: HttpRequest | None, sni: str | None) -> None:
        self.number = number
        self.head = head
        self.version = head.version if head else None
        self.body = requests.body_store(head, sni) if head else None
        self.request: Request | None = None
        self.asked_ns: int | None = None
        self.answer: AnswerReader | None = None
        self.last_ns = 0


class ConnectionReader:
    """Feed it what the process writes and reads; it returns the actions that completes.

    `time_ns` is any clock's, in nanoseconds, the same in all calls. It never raises on input,
    and what it holds is bounded: the limits of `collect` and `chat` for the exchange under way.
    """

    def __init__(self, sni: str | None = None) -> None:
        self.role: Role | None = None
        self.verdict: Verdict = "undecided"
        self.protocol: Protocol = "http1"
        self.provider: str | None = None
        self._sni: str | None = None
        self._ai_host = False
        self._parsers = {
            Direction.WRITE: Http1Parser("request"),
            Direction.READ: Http1Parser("response"),
        }
        # The same bytes as a server would see them, until it is clear who we are.
        self._mirrored: dict[Direction, Http1Parser] = {
            Direction.WRITE: Http1Parser("response"),
            Direction.READ: Http1Parser("request"),
        }
        self._openings: dict[Direction, bytes] = {d: b"" for d in Direction}
        self._waiting: deque[_Exchange] = deque(maxlen=MAX_WAITING)
        self._asking: _Exchange | None = None
        self._answering: _Exchange | None = None
        self._in_doubt = False
        self._pending = mcp.Pending()
        self._count = 0
        self._other_exchanges = self._other_bytes = 0
        self._unread = {"binary": 0, "text": 0}
        if sni is not None:
            self.name(sni)

    def name(self, sni: str) -> None:
        """Tell the name of the server, when the TLS library learns it."""
        self._sni = sni
        self._recognise(providers.find(sni))

    def feed(self, direction: Direction, data: bytes, time_ns: int) -> list[Observed]:
        """Consume the next bytes of a direction."""
        if self.verdict == "not_ai":
            return []
        fresh = self._opened(direction, data)
        observed: list[Observed] = []
        if self.protocol == "http1" and fresh:
            if self.role is None:
                self._find_role(direction, fresh)
            observed = self._read(direction, self._parsers[direction].feed(fresh), time_ns)
        self._judge(data)
        return observed

    def gap(self, direction: Direction, missing: int, time_ns: int) -> list[Observed]:
        """Tell that the next `missing` bytes of a direction were never seen."""
        if self.verdict == "not_ai" or self.protocol != "http1":
            return []
        observed = self._release(direction, time_ns)
        if self.role is None:
            self._mirrored[direction].gap(missing)
        if direction is Direction.READ:
            self._in_doubt = True
        return observed + self._read(direction, self._parsers[direction].gap(missing), time_ns)

    def close(self, time_ns: int) -> list[Observed]:
        """The connection is over: report what is unfinished as truncated."""
        if self.verdict == "not_ai" or self.protocol == "http2":
            return []
        observed: list[Observed] = []
        for direction in Direction:
            observed += self._release(direction, time_ns)
            observed += self._read(direction, self._parsers[direction].close(), time_ns)
        return observed

    def expire(self, now_ns: int) -> list[Observed]:
        """Report as truncated what began and has been idle for `IDLE_SECONDS`."""
        oldest = now_ns - IDLE_SECONDS * NANOSECONDS
        observed: list[Observed] = []
        if (asking := self._asking) and asking.last_ns < oldest:
            observed += self._asked(asking, True, now_ns)
        answering = self._answering
        if answering and answering.answer and answering.last_ns < oldest:
            actions = answering.answer.end(True, now_ns)
            observed += self._observe(answering, actions, Direction.READ, now_ns)
            self._answering = None
        return observed

    # Who speaks, and what

    def _opened(self, direction: Direction, data: bytes) -> bytes:
        """Return the bytes to read; none while they may still turn out to be HTTP/2's preface."""
        opening = self._openings.get(direction)
        if opening is None:
            return data
        opening += data
        if len(opening) < len(_HTTP2_PREFACE) and _HTTP2_PREFACE.startswith(opening):
            self._openings[direction] = opening
            return b""
        del self._openings[direction]
        if opening.startswith(_HTTP2_PREFACE):
            self.protocol = "http2"
            self._decide(direction is Direction.WRITE)
            return b""
        return opening

    def _release(self, direction: Direction, time_ns: int) -> list[Observed]:
        """Read what was held back for being the beginning of a preface."""
        opening = self._openings.pop(direction, b"")
        messages = self._parsers[direction].feed(opening) if opening else []
        return self._read(direction, messages, time_ns)

    def _find_role(self, direction: Direction, data: bytes) -> None:
        parser = self._mirrored[direction]
        messages = parser.feed(data)
        # A page that quotes a request is no request: only what stands at the very beginning.
        if parser.skipped == 0 and any(
            isinstance(message, HttpRequest | HttpResponse) for message in messages
        ):
            self._decide(client=False)

    def _decide(self, client: bool) -> None:
        if self.role is None:
            self.role = "client" if client else "server"
            self._mirrored.clear()
        if self.role == "server":
            self._give_up()

    def _give_up(self) -> None:
        self.verdict = "not_ai"
        self._waiting.clear()
        self._asking = self._answering = None

    def _recognise(self, provider: providers.Provider | None) -> None:
        if provider is not None:
            self.provider = provider.id
            self._ai_host = True
            if self.role != "server":
                self.verdict = "ai"

    def _judge(self, data: bytes) -> None:
        """Decide whether to go on, after `data`."""
        if self.verdict != "undecided":
            return
        if self.role is None or self.protocol != "http1":
            kind = "text" if detect(data) in ("text", "json", "sse") else "binary"
            self._unread[kind] += len(data)
        if (
            self._unread["binary"] > MAX_BINARY_BYTES
            or self._unread["text"] > MAX_TEXT_BYTES
            or self._other_exchanges >= MAX_OTHER_EXCHANGES
            or self._other_bytes > MAX_OTHER_BYTES
        ):
            self._give_up()

    # What the parsers say

    def _read(
        self, direction: Direction, messages: list[HttpMessage], time_ns: int
    ) -> list[Observed]:
        observed: list[Observed] = []
        for message in messages:
            if self.role == "server":
                break
            if isinstance(message, HttpUpgrade):
                self.protocol = "upgraded"
                break
            if direction is Direction.WRITE:
                observed += self._request(message, time_ns)
            else:
                observed += self._response(message, time_ns)
        return observed

    def _request(self, message: HttpMessage, time_ns: int) -> list[Observed]:
        if isinstance(message, HttpRequest):
            self._decide(client=True)
            self._begin(message)
        asking = self._asking
        if asking is None or asking.body is None:
            return []
        asking.last_ns = time_ns
        match message:
            case HttpBody():
                asking.body.feed(message.data)
            case HttpGap():
                asking.body.gap(message.missing)
            case HttpEnd():
                return self._asked(asking, message.truncated, time_ns)
        return []

    def _begin(self, head: HttpRequest) -> None:
        if self._in_doubt:
            # A gap may have taken the answers they wait for; this request is sent after them.
            self._waiting.clear()
            self._in_doubt = False
        self._count += 1
        self._asking = _Exchange(self._count, head, self._sni)
        self._waiting.append(self._asking)
        self._parsers[Direction.READ].expect(head.method)
        if self._sni is None:
            self._recognise(providers.find(header(head.headers, "host")))

    def _asked(self, exchange: _Exchange, truncated: bool, time_ns: int) -> list[Observed]:
        """The request is complete, or will not be: judge and report it."""
        self._asking = None
        if exchange.body is None:
            return []
        request = requests.read(
            exchange.head,
            exchange.body,
            sni=self._sni,
            truncated=truncated,
            pending=self._pending,
            direction=Direction.WRITE,
        )
        self._other_bytes += exchange.body.size
        exchange.asked_ns = time_ns
        exchange.body = exchange.head = None
        exchange.request = msgspec.structs.replace(request, asked=None, rpc=(), actions=())
        if request.is_ai:
            self._is_ai(request.provider)
        return self._observe(exchange, request.actions, Direction.WRITE, time_ns)

    def _response(self, message: HttpMessage, time_ns: int) -> list[Observed]:
        observed: list[Observed] = []
        if isinstance(message, HttpResponse):
            self._decide(client=True)
            observed = self._answer(message, time_ns)
        answering = self._answering
        if answering is None or answering.answer is None:
            return observed
        answering.last_ns = time_ns
        answer = answering.answer
        actions: list[Action] = []
        match message:
            case HttpBody():
                actions = answer.feed(message.data, time_ns)
                self._other_bytes += len(message.data)
            case HttpGap():
                answer.gap(message.missing)
            case HttpEnd():
                actions = answer.end(message.truncated, time_ns)
                self._answering = None
                self._other_exchanges += 1
        if answer.is_ai:
            self._is_ai(answer.provider)
        return observed + self._observe(answering, actions, Direction.READ, time_ns)

    def _answer(self, head: HttpResponse, time_ns: int) -> list[Observed]:
        """A response begins: to the request that has waited longest, or to one not seen."""
        observed: list[Observed] = []
        if self._waiting:
            exchange = self._waiting.popleft()
            if exchange is self._asking:  # answered before it was all sent, as by a refusal
                observed = self._asked(exchange, True, time_ns)
        else:
            self._count += 1
            exchange = _Exchange(self._count, None, None)
            exchange.version = head.version
        request = exchange.request
        provider = request.provider if request else providers.find(self._sni)
        exchange.answer = AnswerReader(
            head, request, provider, pending=self._pending, asked_ns=exchange.asked_ns
        )
        self._answering = exchange
        return observed

    def _is_ai(self, provider: providers.Provider | None) -> None:
        self._other_exchanges = self._other_bytes = 0
        if self.verdict == "undecided":
            self.verdict = "ai"
        if provider is not None:
            self.provider = provider.id

    def _observe(
        self,
        exchange: _Exchange,
        actions: list[Action] | tuple[Action, ...],
        direction: Direction,
        time_ns: int,
    ) -> list[Observed]:
        return [
            Observed(
                action=told,
                time_ns=time_ns,
                exchange=exchange.number,
                http_version=exchange.version,
            )
            for action in actions
            for told in pii.examine(action, direction)
        ]
