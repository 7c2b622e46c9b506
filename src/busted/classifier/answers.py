"""What the answer to one request is, read as it comes: a response of a model, or MCP's.

Strategy: the request says which dialect to read. Without it (we joined late, or there is only
this buffer) the first body or event that looks like a dialect's answer decides. A stream is
reported at its semantic end, since clients stop reading there and the last chunk of the
HTTP body is never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from busted.classifier import a2a, dialects, event_framing, mcp, mcp_http
from busted.classifier.assembly import MAX_ERROR_CHARS, Answer, error_of
from busted.classifier.collect import MAX_BODY_BYTES, BodyStore
from busted.classifier.dialects import Dialect
from busted.classifier.event_framing import Framing, ServerSentEvents
from busted.classifier.foreign import mapping, to_json
from busted.classifier.mcp_http import Carrier
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import Options
from busted.classifier.providers import Provider
from busted.classifier.requests import ContentClass, Request
from busted.events import Action, Response
from busted.protocols import jsonrpc, partial_json
from busted.protocols.http import Headers, HttpResponse, by_name
from busted.protocols.jsonrpc import JsonRpc
from busted.protocols.sse import SseEvent

NANOSECONDS = 1_000_000_000
_NO_CARRIER = Carrier()


class AnswerReader:
    """Feed it the body of one answer; it returns the actions that become complete.

    `request` is None when it was not seen, `framing` how the answer comes in events where no head
    says it. `content_class` says what the answer is so far.
    """

    def __init__(
        self,
        head: HttpResponse | None,
        request: Request | None,
        provider: Provider | None,
        *,
        pending: Pending | None,
        options: Options,
        asked_ns: int | None = None,
        framing: Callable[[], Framing] | None = None,
    ) -> None:
        self.reported = False
        self.content_class: ContentClass = "http" if head else "none"
        self.rpc: tuple[JsonRpc, ...] = ()
        self.dialect: Dialect | None = request.dialect if request else None
        self.provider = provider
        self.answer = Answer()
        self._head = head
        self._request = request
        self._pending = pending
        self._prices = options.prices
        self._asked_ns = asked_ns
        self._first_token_ns: int | None = None
        headers = by_name(head.headers) if head else {}
        self._type = headers.get("content-type", "").lower()
        asked = request.carrier if request else _NO_CARRIER
        self._carrier = mcp_http.answering(asked, headers)
        self._events: Framing | None = None
        self._opening: bytes | None = b""
        self._may_open = False
        self._expected = self.dialect.framing if self.dialect else ServerSentEvents
        kind = self._type
        if announced := framing or event_framing.of_type(kind, self._expected):
            self._open_stream(announced)
        elif "json" in kind and self._expected is not event_framing.JsonArray:
            self._opening = None
        # Only what was asked of a model or of MCP is read, or what nobody saw asked.
        wanted = request is None and (not kind or "json" in kind or self.is_stream)
        if request is not None:
            wanted = request.dialect is not None or request.content_class == "mcp"
            # The stream of MCP's HTTP+SSE transport, which only its first event shows.
            self._may_open = self.is_stream and request.content_class == "http"
            wanted = wanted or self._may_open
            if request.content_class in ("mcp", "a2a"):
                self.content_class = request.content_class
        limit = MAX_BODY_BYTES if wanted else 0
        encoding = headers.get("content-encoding")
        self._body = BodyStore(encoding, limit=limit, stream=self.is_stream)
        self._wanted = wanted

    @property
    def is_stream(self) -> bool:
        """Whether the answer comes as events."""
        return self._events is not None

    @property
    def confidence(self) -> float:
        """How sure `content_class` is, see `Classification`."""
        if self.dialect is not None:
            return 1.0 if self.provider else 0.8
        if self.content_class == "mcp":
            known = any(mcp.category(message.method) for message in self.rpc)
            return (0.0, 0.5, 0.8, 1.0)[1 + known + self._carrier.declared]
        return float(self.content_class != "none")

    @property
    def is_ai(self) -> bool:
        """Whether the answer, or what asked for it, is what we report."""
        return self.dialect is not None or self.content_class in ("mcp", "a2a")

    @property
    def kept(self) -> int:
        """How many bytes of the body it holds."""
        return self._body.kept

    def feed(self, data: bytes, time_ns: int) -> list[Action]:
        """Consume a piece of the body, seen at `time_ns`."""
        if not self._wanted:
            return []
        piece = self._body.feed(data)
        if self.reported:
            return []
        if self._opening is not None:
            self._opening += piece
            if len(self._opening) < event_framing.OPENING_BYTES:
                return []
            piece = self._settle()
        return self._stream(piece, time_ns)

    def gap(self, missing: int) -> None:
        """Tell that the next `missing` bytes of the body were never seen."""
        self._body.gap(missing)
        if self._events:
            self._events.gap(missing)

    def end(self, truncated: bool, time_ns: int, trailers: Headers = ()) -> list[Action]:
        """The answer is over at `time_ns`: return what was not reported yet."""
        if not self._wanted or self.reported:
            return []
        if self.dialect is not None and self.dialect.read_end:
            head = self._head.headers if self._head else ()
            self.dialect.read_end(self.answer, (*head, *trailers))
        actions: list[Action] = []
        if self._opening is not None:
            actions += self._stream(self._settle(), time_ns)
        if not self.is_stream and (unannounced := self._unannounced()):
            self._open_stream(unannounced)
            actions += self._stream(self._body.decoded, time_ns)
        if self._events:
            actions += self._told(self._events.finish(), time_ns)
        else:
            actions += self._whole(truncated)
        if self.reported or self.dialect is None:
            return actions
        return actions + self._report(truncated, time_ns)

    def _settle(self) -> bytes:
        """Decide by its opening what a body without a type is, and return the opening."""
        opening, self._opening = self._opening or b"", None
        if shown := event_framing.of_opening(opening, self._expected):
            self._open_stream(shown)
            self._body.stream = True
        return opening

    def _unannounced(self) -> Callable[[], Framing] | None:
        """Return how a body is cut in events that was kept, since nothing said it is a stream."""
        raw = self._body.decoded
        if (self._request is not None and self.dialect is None) or b'"jsonrpc"' in raw:
            return None

        def streams_as(event: bytes) -> Callable[[], Framing] | None:
            dialect = self.dialect or dialects.by_answer(mapping(partial_json.parse(event).value))
            return dialect.framing if dialect else None

        return event_framing.of_body(raw, streams_as)

    def _open_stream(self, reader: Callable[[], Framing]) -> None:
        self._events = reader()
        self._opening = None

    # Streams

    def _stream(self, data: bytes, time_ns: int) -> list[Action]:
        return self._told(self._events.feed(data), time_ns) if self._events else []

    def _told(self, events: Iterator[SseEvent], time_ns: int) -> list[Action]:
        actions: list[Action] = []
        for event in events:
            actions += self._event(event, time_ns)
            if self.reported or not self._wanted:
                break
        return actions

    def _event(self, event: SseEvent, time_ns: int) -> Sequence[Action]:
        if self._may_open:
            self._open(event)
            return ()
        raw = event.data.encode("utf-8", "replace")
        if self.dialect is None and b'"jsonrpc"' in raw:
            return self._rpc(raw)
        is_object = raw.startswith(b"{")
        if self.dialect is None or not (
            is_object and self.dialect.read_usual_event(self.answer, raw)
        ):
            value = mapping(partial_json.parse(raw).value) if is_object else {}
            if self.dialect is None and self._request is None:
                self.dialect = dialects.by_answer(value)
            if self.dialect is None:
                return ()
            self.dialect.read_event(self.answer, event.data, value)
        self.content_class = "llm_stream"
        self.answer.truncated |= event.truncated
        if self.answer.started and self._first_token_ns is None:
            self._first_token_ns = time_ns
        return self._report(False, time_ns) if self.answer.finished else ()

    def _open(self, event: SseEvent) -> None:
        """Read the first event of a stream that may be MCP's; another's is read no further."""
        self._may_open = False
        opened = mcp_http.opened(self._carrier, event)
        self._wanted = opened is not None
        if opened is not None:
            self.content_class = "mcp"
            self._carrier = opened
            self._waiting().memory.endpoints.put(opened.place, None)

    def _waiting(self) -> Pending:
        """Return what waits for an answer: nothing, if this is a buffer by itself."""
        if self._pending is None:
            self._pending = Pending()
        return self._pending

    def _rpc(self, raw: bytes) -> tuple[Action, ...]:
        messages = jsonrpc.read(raw)
        self.rpc = self.rpc or messages
        carrier = self._carrier
        if self.content_class == "mcp" and not carrier.declared:
            carrier = msgspec.structs.replace(carrier, declared=True)
        found = mcp.actions(messages, carrier, self._waiting(), "server", len(raw))
        if found:
            self.content_class = "mcp"
        elif messages and self.content_class in ("http", "none"):
            self.content_class = "json_rpc"
        return found

    # Whole answers

    def _whole(self, truncated: bool) -> list[Action]:
        raw = self._body.decoded
        if self.dialect is None and b'"jsonrpc"' in raw:
            return list(self._rpc(raw))
        parsed = partial_json.parse(raw, cut=truncated)
        value = mapping(parsed.value) if parsed.ok else {}
        status = self._head.status if self._head else 0
        if self.dialect is None and self._request is None:
            self.dialect = dialects.by_answer(value)
            if self.dialect is None and self.provider and status >= 400 and error_of(value):
                # An error names no dialect, but says enough at a host of models.
                self.dialect = dialects.by_name(self.provider.api)
        if self.dialect is None:
            if self._request is None and a2a.is_agent_card(value):
                self.content_class = "a2a"
            return []
        by_itself = self._request is None or self._request.fetches is not None
        if by_itself and self.dialect.is_piece(value):
            self.content_class, self.reported = "llm_stream", True
            return []
        self.content_class = "llm_response"
        if value:
            self.dialect.read_answer(self.answer, value)
        elif raw and status < 400 and self.dialect.read_bytes:
            kind = self._type.partition(";")[0].strip()
            self.dialect.read_bytes(self.answer, kind, raw, self._body.size)
            return []
        if status >= 400 and not self.answer.error:
            text = raw[: 4 * MAX_ERROR_CHARS].decode("utf-8", "replace")
            self.answer.error = (to_json(value, MAX_ERROR_CHARS)[0] if value else "") or (
                text.strip()[:MAX_ERROR_CHARS] or None
            )
        self.answer.truncated |= parsed.truncated or (bool(raw) and not value and status < 400)
        return []

    def _report(self, truncated: bool, time_ns: int) -> list[Action]:
        self.reported = True
        answer, dialect = self.answer, self.dialect
        if dialect is None:
            return []
        # Some servers say why they stop and then close without [DONE]: nothing is missing.
        ended = answer.finished or answer.finish_reason is not None or answer.error is not None
        if self.is_stream:
            truncated = not ended
        truncated = truncated or answer.truncated or self._body.missing > 0
        if not self.is_stream:
            truncated = truncated or self._body.truncated
        provider = self.provider.id if self.provider else None
        response = Response(
            api=dialect.api,
            provider=provider,
            model=answer.model,
            status=self._head.status if self._head else 0,
            text=answer.text,
            reasoning=answer.reasoning,
            finish_reason=answer.finish_reason,
            error=answer.error,
            usage=answer.usage,
            cost=self._cost(provider) if ended or not self.is_stream else None,
            latency=self._since_asked(time_ns),
            time_to_first_token=self._since_asked(self._first_token_ns),
            stream=self.is_stream,
            bytes=self._body.size - self._unread,
            truncated=truncated,
            missing_bytes=self._body.missing,
        )
        return [
            response,
            *answer.tool_calls(provider, truncated=truncated),
            *answer.tool_results(provider, truncated=truncated),
        ]

    @property
    def _unread(self) -> int:
        """How many bytes of the body came behind the end of its stream, in the same piece."""
        # Where a coding hides what belongs to what, all of the piece counts.
        return self._events.unread if self._events and not self._body.is_coded else 0

    def _cost(self, provider: str | None) -> float | None:
        if self.dialect is not None and self.dialect.operation == "count_tokens":
            return None  # what it counted was not yet used
        # Some answers name no model; then it is the one that was asked.
        model = self.answer.model or (self._request.model if self._request else None)
        return self._prices.cost(provider, model, self.answer.usage)

    def _since_asked(self, time_ns: int | None) -> float | None:
        if time_ns is None or self._asked_ns is None or time_ns < self._asked_ns:
            return None
        return (time_ns - self._asked_ns) / NANOSECONDS
