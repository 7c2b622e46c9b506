"""An answer of a model, assembled from what its dialect reads in a body or in events."""

from __future__ import annotations

import msgspec

from busted.classifier.chat import MAX_NAME_CHARS, MAX_TEXT_CHARS
from busted.classifier.foreign import mapping, string
from busted.events import ToolCall, ToolResult, Usage

# Models call a handful of tools at once.
MAX_CALLS = 128
# ... and the provider runs no more than that itself.
MAX_RESULTS = 128
MAX_ERROR_CHARS = 2_000


class _Call:
    """A tool call of which pieces are still coming."""

    def __init__(self, call_id: str | None, name: str | None) -> None:
        self.id = call_id
        self.name = name
        self.server_side = False
        self.arguments: list[str] = []


class Answer:
    """An answer being assembled by its dialect; read it at any time.

    `started` once a token or tool call was seen, `finished` at the semantic end.
    """

    def __init__(self, max_text_chars: int = MAX_TEXT_CHARS) -> None:
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.error: str | None = None
        self.usage: Usage | None = None
        self.started = False
        self.finished = False
        self.truncated = False
        self._room = max_text_chars
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._results: list[ToolResult] = []

    def say(self, text: object) -> None:
        """Append to the answer's text."""
        self._append(self._text, text)

    def think(self, text: object) -> None:
        """Append to the reasoning that the model shows."""
        self._append(self._reasoning, text)

    def call(
        self, index: int, call_id: object = None, name: object = None, *, server_side: bool = False
    ) -> None:
        """Begin tool call `index`, or complete what is known about it."""
        self.started = True
        call = self._calls.get(index)
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                self.truncated = True
                return
            call = self._calls[index] = _Call(None, None)
        call.id = call.id or string(call_id, MAX_NAME_CHARS)
        call.name = call.name or string(name, MAX_NAME_CHARS)
        call.server_side |= server_side

    def argue(self, index: int, piece: object) -> None:
        """Append to the arguments of tool call `index`."""
        if index not in self._calls:
            self.call(index)
        if index in self._calls:
            self._append(self._calls[index].arguments, piece)

    def result(
        self, call_id: object, name: object, content: str, *, is_error: bool = False
    ) -> None:
        """Add what a tool returned that the provider ran itself."""
        self.started = True
        if len(self._results) >= MAX_RESULTS:
            self.truncated = True
            return
        kept: list[str] = []
        self._append(kept, content)
        self._results.append(
            ToolResult(
                id=string(call_id, MAX_NAME_CHARS),
                name=string(name, MAX_NAME_CHARS),
                content="".join(kept),
                is_error=is_error,
                server_side=True,
                truncated=False,
            )
        )

    def call_id(self, index: int) -> str | None:
        """Return the identifier of tool call `index`, if it is known."""
        return self._calls[index].id if index in self._calls else None

    def call_name(self, call_id: object) -> str | None:
        """Return the name of the tool that the call of this identifier asks for."""
        return next((c.name for c in self._calls.values() if call_id and c.id == call_id), None)

    def has_result(self, call_id: object) -> bool:
        """Tell whether the result of the call of this identifier is there."""
        return any(result.id == call_id for result in self._results)

    def has_arguments(self, index: int) -> bool:
        """Tell whether arguments of tool call `index` were seen."""
        return index in self._calls and bool(self._calls[index].arguments)

    @property
    def call_count(self) -> int:
        """How many tool calls there are so far."""
        return len(self._calls)

    @property
    def text(self) -> str | None:
        """The text so far, or None if there is none."""
        return "".join(self._text) or None

    @property
    def reasoning(self) -> str | None:
        """The reasoning so far, or None if there is none."""
        return "".join(self._reasoning) or None

    def tool_calls(self, provider: str | None, *, truncated: bool) -> tuple[ToolCall, ...]:
        """Return the tool calls so far, in the order they came."""
        return tuple(
            ToolCall(
                name=call.name or "",
                id=call.id,
                arguments="".join(call.arguments),
                provider=provider,
                server_side=call.server_side,
                truncated=truncated,
            )
            for call in self._calls.values()
        )

    def tool_results(self, provider: str | None, *, truncated: bool) -> tuple[ToolResult, ...]:
        """Return what the provider's own tools returned so far."""
        return tuple(
            msgspec.structs.replace(result, provider=provider, truncated=truncated)
            for result in self._results
        )

    def _append(self, pieces: list[str], piece: object) -> None:
        if not isinstance(piece, str) or not piece:
            return
        self.started = True
        if len(piece) > self._room:
            self.truncated = True
        if self._room > 0:
            pieces.append(piece[: self._room])
            self._room -= len(piece)


def error_of(value: object) -> str | None:
    """Return the error that an answer tells, as `type: message`, or None.

    Shapes seen: {"error": {"message", "type"}} (OpenAI, Anthropic), {"error": "text"} (Ollama,
    Hugging Face), {"object": "error", "message"} (vLLM, Mistral), {"error": {"message",
    "status", "code": 400}} (Google).
    """
    body = mapping(value)
    error = body.get("error")
    if error is None and body.get("object") != "error":
        return None
    if isinstance(error, str) and error:
        return error[:MAX_ERROR_CHARS]
    found = mapping(error)
    if not found and body.get("object") == "error":
        found = body
    message = string(found.get("message"))
    kind = next(filter(None, (string(found.get(key)) for key in ("type", "status", "code"))), None)
    told = ": ".join(filter(None, (kind, message)))
    return told[:MAX_ERROR_CHARS] or None
