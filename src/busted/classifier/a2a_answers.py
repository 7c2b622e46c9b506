"""What an agent of A2A answers: a message, a task with its artifacts, a card, or an error.

Strategy: the request says what is awaited. A stream of events is assembled into one answer, as a
model's is: what was said, the artifacts by their ids, the state at the end. It is reported when the
other agent has come to an end or waits for its client, since clients stop reading there.

Left out: the history of a task, which was told as it happened; lists of tasks.

Source: https://a2a-protocol.org/latest/specification (v1, section 4; 0.3, section 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from busted.classifier import a2a
from busted.classifier.assembly import MAX_ERROR_CHARS
from busted.classifier.chat import MAX_NAME_CHARS, MAX_TEXT_CHARS
from busted.classifier.collect import BodyStore
from busted.classifier.event_framing import ServerSentEvents
from busted.classifier.foreign import integer, items, mapping, string
from busted.classifier.mcp_memory import Memory
from busted.events import A2aRequest, A2aResponse, Action
from busted.protocols import jsonrpc, partial_json
from busted.protocols.http import Headers, HttpResponse, by_name
from busted.protocols.sse import SseEvent

# Artifacts of one task that are told, and pieces of all of them.
MAX_ARTIFACTS = 256
MAX_PIECES = 65_536
_NANOSECONDS = 1_000_000_000

# v1, section 4.1.3: terminal states, and those in which the agent waits for its client.
_AT_REST = frozenset(
    ("completed", "failed", "canceled", "rejected", "input_required", "auth_required")
)


class A2aReader:
    """Feed it the body of the answer to a request; it returns the action when it is complete."""

    is_ai = True
    """Its request was A2A's."""

    def __init__(
        self, head: HttpResponse, asked: A2aRequest, memory: Memory, asked_ns: int | None
    ) -> None:
        self._head, self._asked, self._memory, self._asked_ns = head, asked, memory, asked_ns
        headers = by_name(head.headers)
        is_stream = headers.get("content-type", "").lower().startswith("text/event-stream")
        self._events = ServerSentEvents() if is_stream else None
        self._body = BodyStore(headers.get("content-encoding"), stream=is_stream)
        self._told = _Told()
        self._agent = asked.agent
        self._reported = False

    @property
    def kept(self) -> int:
        """How many bytes it holds, of the body and of what was said in events."""
        return self._body.kept + self._told.kept

    def feed(self, data: bytes, time_ns: int) -> list[Action]:
        """Consume a piece of the body, seen at `time_ns`."""
        piece = self._body.feed(data)
        if self._events is None or self._reported:
            return []
        return self._read(self._events.feed(piece), time_ns)

    def gap(self, missing: int) -> None:
        """Tell that the next `missing` bytes of the body were never seen."""
        self._body.gap(missing)
        if self._events:
            self._events.gap(missing)

    def end(self, truncated: bool, time_ns: int, trailers: Headers = ()) -> list[Action]:
        """The answer is over at `time_ns`: return it if it was not reported yet."""
        if self._reported:
            return []
        if self._events:
            return self._read(self._events.finish(), time_ns) or self._report(truncated, time_ns)
        raw = self._body.decoded
        truncated = self._take(raw, cut=truncated) or truncated or self._body.truncated
        return self._report(truncated, time_ns)

    def _read(self, events: Iterable[SseEvent], time_ns: int) -> list[Action]:
        for event in events:
            self._told.truncated |= event.truncated
            self._take(event.data.encode("utf-8", "replace"), cut=event.truncated)
            if self._told.at_rest:
                return self._report(False, time_ns)
        return []

    def _take(self, raw: bytes, cut: bool) -> bool:
        """Take one answer, or one event of it; return whether some of that is missing."""
        if b'"jsonrpc"' in raw and (messages := jsonrpc.read(raw)):
            message = messages[0]
            self._value(mapping(message.result), mapping(message.error))
            return message.truncated
        if not raw:
            return False
        parsed = partial_json.parse(raw, cut=cut)
        value = mapping(parsed.value) if parsed.ok else {}
        failed = self._head.status >= 400
        # v1, section 11.6: {"error": {"code", "status", "message"}}; 0.3 had no wrapping.
        self._value(value, mapping(value.get("error")) or (value if failed else {}))
        return parsed.truncated or not parsed.ok

    def _value(self, value: Mapping[str, object], error: Mapping[str, object]) -> None:
        if error:
            self._told.fail(error)
        elif self._asked.method in a2a.CARDS:
            self._agent = a2a.agent_of(value) or self._agent
            if self._agent:
                a2a.remember(value, self._agent, self._memory)
        else:
            self._told.take(value)

    def _report(self, truncated: bool, time_ns: int) -> list[Action]:
        self._reported = True
        told, asked, since = self._told, self._asked, self._asked_ns
        return [
            A2aResponse(
                method=asked.method,
                binding=asked.binding,
                revision=asked.revision,
                id=asked.id,
                task_id=told.task_id or asked.task_id,
                context_id=told.context_id or asked.context_id,
                agent=self._agent,
                status=self._head.status,
                state=told.state,
                role=told.role,
                text=told.text,
                error=told.error,
                error_code=told.error_code,
                latency=(time_ns - since) / _NANOSECONDS if since and time_ns >= since else None,
                stream=self._events is not None,
                bytes=self._body.size,
                truncated=truncated or told.truncated or self._body.missing > 0,
                missing_bytes=self._body.missing,
            )
        ]


class _Told:
    """What the answer says so far."""

    def __init__(self) -> None:
        self.task_id: str | None = None
        self.context_id: str | None = None
        self.state: str | None = None
        self.role: str | None = None
        self.error: str | None = None
        self.error_code: int | None = None
        self.truncated = False
        self.at_rest = False
        self.kept = 0
        self._pieces = 0
        self._said: list[str] = []
        self._artifacts: dict[str, list[str]] = {}

    @property
    def text(self) -> str | None:
        """What was said and then the artifacts, each as a paragraph."""
        texts = (*self._said, *("".join(pieces) for pieces in self._artifacts.values()))
        return "\n".join(filter(None, texts)) or None

    def fail(self, error: Mapping[str, object]) -> None:
        code = integer(error.get("code"))
        message = string(error.get("message")) or ""
        self.error = f"{error.get('code')}: {message}"[:MAX_ERROR_CHARS]
        self.error_code, self.at_rest = code, True

    def take(self, value: Mapping[str, object]) -> None:
        # v1 wraps each kind in its name; 0.3 says `kind`, and GetTask of both gives a bare task.
        kind = string(value.get("kind"))
        if (message := mapping(value.get("message"))) or kind == "message":
            self._message(message or value)
            self.at_rest = True
        elif (update := mapping(value.get("statusUpdate"))) or kind == "status-update":
            self._status(update or value)
        elif (update := mapping(value.get("artifactUpdate"))) or kind == "artifact-update":
            update = update or value
            self._of(update, update.get("taskId"))
            self._artifact(mapping(update.get("artifact")), append=update.get("append") is True)
        elif task := mapping(value.get("task")) or (value if "status" in value else {}):
            self._of(task, task.get("id"))
            for artifact in items(task.get("artifacts"))[:MAX_ARTIFACTS]:
                self._artifact(mapping(artifact), append=False)
            self._status(task)

    def _message(self, message: Mapping[str, object]) -> None:
        self._of(message, message.get("taskId"))
        self.role = a2a.role_of(message) or self.role
        if text := self._text(message):
            self._said.append(text)

    def _of(self, value: Mapping[str, object], task_id: object) -> None:
        self.task_id = string(task_id, MAX_NAME_CHARS) or self.task_id
        self.context_id = string(value.get("contextId"), MAX_NAME_CHARS) or self.context_id

    def _status(self, value: Mapping[str, object]) -> None:
        status = mapping(value.get("status"))
        self._of(value, value.get("taskId"))
        self.state = a2a.state_of(status) or self.state
        if message := mapping(status.get("message")):
            self._message(message)
        self.at_rest |= value.get("final") is True or self.state in _AT_REST

    def _artifact(self, artifact: Mapping[str, object], append: bool) -> None:
        name = string(artifact.get("artifactId"), MAX_NAME_CHARS) or ""
        if name not in self._artifacts and len(self._artifacts) >= MAX_ARTIFACTS:
            self.truncated = True
            return
        pieces = self._artifacts.setdefault(name, [])
        if not append:
            self.kept -= sum(map(len, pieces))
            pieces.clear()
        if text := self._text(artifact):
            pieces.append(text)

    def _text(self, value: Mapping[str, object]) -> str:
        text, cut = a2a.text_of(value.get("parts"))
        room = max(MAX_TEXT_CHARS - self.kept, 0) if self._pieces < MAX_PIECES else 0
        self._pieces += 1
        self.truncated |= cut or len(text) > room
        self.kept += len(text[:room])
        return text[:room]
