"""What goes over a WebSocket: conversations with models, told as exchanges, and messages of MCP.

Strategy: the dialect of the conversation (see `conversation`) is known by the path at a host of
models, or by the first message that shows it. It says which messages of the client are a request,
and which answer a message of the server belongs to: by lane and identifier, where there are
several at a time, else by order. A message of no such dialect is judged by itself, as a body
without a head.

Left out: text that is no JSON, and WebSockets over HTTP/2 (RFC 8441).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from busted.classifier import dialects, requests, routes
from busted.classifier.answers import AnswerReader
from busted.classifier.collect import BodyStore
from busted.classifier.conversation import Asked, Body, Conversation, Place
from busted.classifier.direction import Direction
from busted.classifier.event_framing import Messages
from busted.classifier.exchange import Observed, observe
from busted.classifier.foreign import mapping
from busted.classifier.google_live import LiveConversation
from busted.classifier.mcp_memory import Pending
from busted.classifier.openai_realtime import RealtimeConversation
from busted.classifier.openai_responses import ResponsesConversation
from busted.classifier.options import Options
from busted.classifier.privacy import path_of
from busted.classifier.requests import Request
from busted.events import Action
from busted.protocols import partial_json
from busted.protocols.http import HttpRequest, HttpResponse
from busted.protocols.websocket import WebSocketMessage

# Realtime allows a few responses beside the conversation, responses some lanes.
MAX_TURNS = 64

# dialect: the end of the path that is its own, and its conversation about the model of the URL
_CONVERSATIONS: dict[str, tuple[str, Callable[[str | None], Conversation]]] = {
    "openai.responses": ("/responses", lambda model: ResponsesConversation()),
    "openai.realtime": ("/realtime", RealtimeConversation),
    "google.live": ("BidiGenerateContent", lambda model: LiveConversation()),
}

# Stands for the identifier of an answer that is an error and no more.
_APART = ""

# RFC 6455 section 4.2.2: what the server answers to the request that opens a WebSocket.
_SWITCHED = HttpResponse(101)


class _Turn:
    """A request, and the answer that is read as it comes."""

    def __init__(self, number: int, lane: str | None, answer: AnswerReader) -> None:
        self.number = number
        self.lane = lane
        self.answer = answer
        self.last_ns = 0


class WebSocketReader:
    """Feed it the messages of both directions; it returns the actions that they complete.

    `head` is the request that opened the WebSocket, None if nobody saw it; `number` gives the next
    exchange its number. It holds at most `MAX_TURNS` answers, and of what is said and not yet told
    as much as a body may have.
    """

    def __init__(
        self,
        head: HttpRequest | None,
        *,
        sni: str | None,
        pending: Pending,
        options: Options,
        number: Callable[[], int],
    ) -> None:
        self._head = head
        self._sni = sni
        self._pending = pending
        self._options = options
        self._number = number
        self._api: str | None = None
        self._conversation: Conversation | None = None
        # In the order they were asked and began; the latter by lane and identifier.
        self._waiting: list[_Turn] = []
        self._answering: dict[tuple[str, str | None], _Turn] = {}
        self._done: dict[tuple[str, str | None], None] = {}
        self.provider = requests.serving(head, sni, options)
        path = path_of(head.target) if head else ""
        for api, (ending, _) in _CONVERSATIONS.items():
            if self.provider and path.endswith(ending):
                self._speak(api)

    @property
    def is_ai(self) -> bool:
        """Whether it is a conversation with a model."""
        return self._conversation is not None

    @property
    def is_answering(self) -> bool:
        """Whether an answer has begun and not ended: only then does `expire` find anything."""
        return bool(self._answering)

    @property
    def under_way(self) -> Iterator[int]:
        """The numbers of the exchanges that have begun and not ended."""
        for turn in (*self._waiting, *self._answering.values()):
            yield turn.number

    def read(self, direction: Direction, message: WebSocketMessage, time_ns: int) -> list[Observed]:
        """Consume a message, seen at `time_ns`."""
        data = message.data.strip()
        if message.kind not in ("text", "binary") or data[:1] not in (b"{", b"["):
            return []
        value = mapping(partial_json.parse(data).value)
        if self._conversation is None and (api := _shown(direction, value)):
            self._speak(api)
        conversation = self._conversation
        if conversation is None or "jsonrpc" in value:
            return self._alone(direction, message, time_ns)
        if direction is Direction.WRITE:
            size = len(message.data) + len(message.tail)
            asked = conversation.ask(value, size)
            if asked:
                return self._ask(asked, message, time_ns)
            ahead = conversation.ahead(value, size) if self._options.judges_ahead else None
            return self._say_ahead(ahead, message, time_ns) if ahead else []
        place = conversation.answer(value)
        return self._answer(place, message, time_ns) if place else []

    def expire(self, oldest_ns: int, now_ns: int) -> list[Observed]:
        """Report as truncated the answers of which nothing was seen since `oldest_ns`."""
        observed: list[Observed] = []
        for key, turn in list(self._answering.items()):
            if turn.last_ns < oldest_ns:
                observed += self._end(key, now_ns)
        return observed

    def close(self, time_ns: int) -> list[Observed]:
        """The connection is over: report what is unfinished as truncated."""
        observed: list[Observed] = []
        for key in list(self._answering):
            observed += self._end(key, time_ns)
        asked = self._conversation.unasked(is_over=True) if self._conversation else None
        return observed + (self._ask(asked, None, time_ns) if asked else [])

    def _speak(self, api: str) -> None:
        self._api = api
        model = routes.in_query(self._head.target) if self._head else None
        self._conversation = _CONVERSATIONS[api][1](model)

    # Requests

    def _ask(self, asked: Asked, message: WebSocketMessage | None, time_ns: int) -> list[Observed]:
        """Report a request, which waits for its answer from now on."""
        request = self._told(asked, message)
        if request is None:
            return []
        turn = self._begin(request, asked.lane, time_ns if message else None)
        self._waiting.append(turn)
        del self._waiting[:-MAX_TURNS]
        return self._observed(request.actions, turn.number, Direction.WRITE, time_ns)

    def _say_ahead(self, asked: Asked, message: WebSocketMessage, time_ns: int) -> list[Observed]:
        """Report what was said and asks for no answer, which no answer is to then."""
        request = self._told(asked, message)
        actions = request.actions if request else ()
        said = self._observed(actions, self._number(), Direction.WRITE, time_ns)
        return [msgspec.structs.replace(one, is_ahead=True) for one in said]

    def _told(self, asked: Asked, message: WebSocketMessage | None) -> Request | None:
        dialect = dialects.by_name(self._api)
        if dialect is None:
            return None
        return requests.told(
            self._head,
            _stored(message, asked.size),
            asked.body,
            dialect,
            sni=self._sni,
            truncated=asked.truncated or (message is not None and message.truncated),
            options=self._options,
        )

    def _begin(self, request: Request, lane: str | None, asked_ns: int | None) -> _Turn:
        answer = AnswerReader(
            _SWITCHED,
            request,
            request.provider,
            pending=self._pending,
            options=self._options,
            asked_ns=asked_ns,
            framing=Messages,
        )
        return _Turn(self._number(), lane, answer)

    # Answers

    def _answer(self, place: Place, message: WebSocketMessage, time_ns: int) -> list[Observed]:
        key = (place.lane, _APART if place.apart else place.id)
        if key in self._done:
            return []
        observed: list[Observed] = []
        if key not in self._answering:
            # Most events of responses do not say of which one: of the last one in the lane.
            begun = [known for known in self._answering if known[0] == place.lane]
            if key[1] is None and begun:
                key = begun[-1]
            elif (
                not place.apart and (place.lane, None) in self._answering
            ):  # it began with an event that did not say
                self._answering[key] = self._answering.pop((place.lane, None))
            elif not place.begins:
                return []
            else:
                observed += self._awaited(key, time_ns)
        turn = self._answering[key]
        turn.last_ns = time_ns
        turn.answer.answer.truncated |= message.truncated
        if message.missing:
            turn.answer.gap(message.missing)
        told = turn.answer.feed(message.data, time_ns)
        if turn.answer.reported:
            self._forget(key)
        return observed + self._observed(told, turn.number, Direction.READ, time_ns)

    def _awaited(self, key: tuple[str, str | None], time_ns: int) -> list[Observed]:
        """Find the request that an answer which begins is to: one in its lane, or none was made."""
        observed: list[Observed] = []
        if not self._waiting and self._conversation:
            asked = self._conversation.unasked()
            observed += self._ask(asked, None, time_ns) if asked else []
        lanes = [turn.lane for turn in self._waiting]
        place = next((lanes.index(lane) for lane in (key[0], None) if lane in lanes), None)
        if place is not None:
            turn = self._waiting.pop(place)
        else:
            unseen = Request(dialect=dialects.by_name(self._api), provider=self.provider)
            turn = self._begin(unseen, key[0], None)
        self._answering[key] = turn
        if len(self._answering) > MAX_TURNS:
            observed += self._end(next(iter(self._answering)), time_ns)
        return observed

    def _end(self, key: tuple[str, str | None], time_ns: int) -> list[Observed]:
        turn = self._answering[key]
        self._forget(key)
        told = turn.answer.end(True, time_ns)
        return self._observed(told, turn.number, Direction.READ, time_ns)

    def _forget(self, key: tuple[str, str | None]) -> None:
        del self._answering[key]
        if key[1] not in (None, _APART):
            self._done[key] = None
            if len(self._done) > MAX_TURNS:
                del self._done[next(iter(self._done))]

    # Messages by themselves

    def _alone(
        self, direction: Direction, message: WebSocketMessage, time_ns: int
    ) -> list[Observed]:
        """Judge a message as a body without a head."""
        if direction is Direction.WRITE:
            actions: Iterable[Action] = requests.read(
                None,
                _stored(message, len(message.data) + len(message.tail)),
                sni=self._sni,
                truncated=message.truncated,
                pending=self._pending,
                options=self._options,
            ).actions
        else:
            answer = AnswerReader(
                None,
                None,
                self._options.providers.find(self._sni),
                pending=self._pending,
                options=self._options,
            )
            actions = answer.feed(message.data, time_ns) + answer.end(message.truncated, time_ns)
        return self._observed(actions, self._number(), direction, time_ns)

    def _observed(
        self, actions: Iterable[Action], number: int, direction: Direction, time_ns: int
    ) -> list[Observed]:
        return observe(actions, self._options, direction, time_ns=time_ns, exchange=number)


def _shown(direction: Direction, value: Body) -> str | None:
    """Return the dialect of a conversation that a message shows by itself."""
    by_shape = dialects.by_request if direction is Direction.WRITE else dialects.by_answer
    dialect = by_shape(value)
    if dialect is None or dialect.api not in _CONVERSATIONS:
        return None
    # Both have these events, but only realtime numbers them with a text.
    if dialect.api == "openai.responses" and isinstance(value.get("event_id"), str):
        return "openai.realtime"
    return dialect.api


def _stored(message: WebSocketMessage | None, size: int) -> BodyStore:
    """Return the message as a body is kept; `size` counts the messages before it too."""
    body = BodyStore()
    if message is not None:
        body.feed(message.data)
        if message.missing:
            body.gap(message.missing)
        body.feed(message.tail)
    body.size = size
    return body
