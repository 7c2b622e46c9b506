"""One request and the answer to it, told as actions as they become complete.

It knows no connection: which messages are of one exchange, the order in HTTP/1 says and the
stream's number in HTTP/2.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from busted.classifier import requests
from busted.classifier.a2a_answers import A2aReader
from busted.classifier.answers import AnswerReader
from busted.classifier.batch_results import BatchReader
from busted.classifier.collect import BodyStore
from busted.classifier.direction import Direction
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import Options
from busted.classifier.providers import Provider
from busted.classifier.requests import Request
from busted.events import Action
from busted.protocols.http import (
    Headers,
    HttpBody,
    HttpEnd,
    HttpGap,
    HttpMessage,
    HttpRequest,
    HttpResponse,
)
from busted.protocols.http2_headers import UNKNOWN


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """An action, the time of the write or read that completed it, and its exchange, from 1 on.

    What `is_ahead` was said ahead of a request, which tells it again: it is there to be judged.
    """

    action: Action
    time_ns: int
    exchange: int
    http_version: str | None = None
    stream_id: int | None = None
    is_ahead: bool = False


def observe(
    actions: Iterable[Action],
    options: Options,
    direction: Direction,
    *,
    time_ns: int,
    exchange: int,
    http_version: str | None = None,
    stream_id: int | None = None,
) -> list[Observed]:
    """Return actions, each with what it reveals, as observed."""
    return [
        Observed(
            action=told,
            time_ns=time_ns,
            exchange=exchange,
            http_version=http_version,
            stream_id=stream_id,
        )
        for action in actions
        for told in options.scanner.examine(action, direction)
    ]


class Exchange:
    """Begins with the head of a request, or with that of a response whose request nobody saw."""

    def __init__(
        self,
        number: int,
        head: HttpRequest | HttpResponse,
        sni: str | None,
        pending: Pending,
        options: Options,
    ) -> None:
        self.last_ns = 0
        """When something of it was last seen."""
        self.number = number
        """Which exchange of the connection it is, from 1 on."""
        self._version = head.version
        self._stream_id = head.stream_id or None
        self._sni = sni
        self._pending = pending
        self._options = options
        self._head: HttpRequest | None = None
        self._body: BodyStore | None = None
        if isinstance(head, HttpRequest):
            self._body = requests.body_store(head)
            # A head that was not seen is none: the body is judged by itself.
            self._head = None if head.target == UNKNOWN else head
        self._request: Request | None = None
        self._asked_ns: int | None = None
        self._answer: AnswerReader | A2aReader | BatchReader | None = None

    @property
    def is_ai(self) -> bool:
        """Whether it is something we report, as far as that is known."""
        asked = self._request is not None and self._request.is_ai
        return asked or (self._answer is not None and self._answer.is_ai)

    @property
    def kept(self) -> int:
        """How many bytes of bodies it holds."""
        body = self._body.kept if self._body else 0
        return body + (self._answer.kept if self._answer else 0)

    @property
    def provider(self) -> Provider | None:
        """Who serves it, if anyone knows."""
        if self._request:
            return self._request.provider
        return self._options.providers.find(self._sni)

    def request(self, message: HttpMessage, time_ns: int) -> list[Observed]:
        """Consume what follows the head of the request."""
        self.last_ns = time_ns
        match message:
            case HttpBody() if self._body:
                self._body.feed(message.data)
            case HttpGap() if self._body:
                self._body.gap(message.missing)
            case HttpEnd():
                return self.end_request(message.truncated, time_ns)
        return []

    def end_request(self, truncated: bool, time_ns: int) -> list[Observed]:
        """The request is complete, or no more of it will be seen: judge and report it, once."""
        if self._body is None:
            return []
        request = requests.read(
            self._head,
            self._body,
            sni=self._sni,
            truncated=truncated,
            pending=self._pending,
            options=self._options,
        )
        # What was said goes into the actions; to read the answer, the rest is enough.
        self._request = msgspec.structs.replace(request, asked=None, rpc=(), actions=())
        self._asked_ns = time_ns
        self._head = self._body = None
        return self._observed(request.actions, Direction.WRITE, time_ns)

    def begin_response(self, head: HttpResponse, time_ns: int) -> list[Observed]:
        """The response begins, maybe before the request was all sent, as a refusal does."""
        observed = self.end_request(True, time_ns)
        self.last_ns = time_ns
        asked = self._request
        if asked and asked.a2a:
            memory = self._pending.memory
            self._answer = A2aReader(head, asked.a2a, memory, self._asked_ns)
            return observed
        if asked and asked.fetches and asked.dialect is None and head.status < 400:
            self._answer = BatchReader(
                head, self.provider, pending=self._pending, options=self._options
            )
            return observed
        self._answer = AnswerReader(
            head,
            self._request,
            self.provider,
            pending=self._pending,
            options=self._options,
            asked_ns=self._asked_ns,
        )
        return observed

    def response(self, message: HttpMessage, time_ns: int) -> list[Observed]:
        """Consume what follows the head of the response."""
        self.last_ns = time_ns
        match message:
            case HttpBody() if self._answer:
                found = self._answer.feed(message.data, time_ns)
                return self._observed(found, Direction.READ, time_ns)
            case HttpGap() if self._answer:
                self._answer.gap(message.missing)
            case HttpEnd():
                return self.end_response(message.truncated, time_ns, message.trailers)
        return []

    def end_response(self, truncated: bool, time_ns: int, trailers: Headers = ()) -> list[Observed]:
        """The response is complete, or no more of it will be seen: report what was not yet."""
        if self._answer is None:
            return []
        told = self._answer.end(truncated, time_ns, trailers)
        return self._observed(told, Direction.READ, time_ns)

    def _observed(
        self, actions: Iterable[Action], direction: Direction, time_ns: int
    ) -> list[Observed]:
        return observe(
            actions,
            self._options,
            direction,
            time_ns=time_ns,
            exchange=self.number,
            http_version=self._version,
            stream_id=self._stream_id,
        )
