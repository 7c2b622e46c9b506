"""What the requests of all dialects have in common: what they ask, and how it is read.

A dialect module turns parsed JSON into a `ModelRequest` or into calls of an `Answer`, and
nothing else: it knows no HTTP, no host and no clock. The limits bound one text each; together
texts are bounded by the bytes kept of a body.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from busted.classifier.foreign import integer, items, mapping, string
from busted.events import ChatMessage, ToolResult

# A text of that length has some 250,000 tokens, more than models write or users paste.
MAX_TEXT_CHARS = 1 << 20
# Agents keep whole sessions in the conversation; beyond this the oldest turns are left out.
MAX_MESSAGES = 2_000
# OpenAI takes 128 tools; agents with many MCP servers send some hundred to others.
MAX_TOOLS = 1_000
MAX_NAME_CHARS = 256

# Settings of a request that are worth telling and hold no content. Strings of any other
# name may carry what people said, so this is a list of what may be shown.
PARAMS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "parallel_tool_calls",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "thinking",
    "verbosity",
    "service_tier",
    "store",
    "dimensions",
    "encoding_format",
    "previous_response_id",
    "background",
    "truncation",
    "max_tokens_to_sample",
    "voice",
    "language",
    "speed",
    "size",
    "quality",
    "output_format",
    "purpose",
    "endpoint",
    "completion_window",
)

_RANKS = {name: rank for rank, name in enumerate(PARAMS)}

Param = bool | int | float | str


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the body of a request to a model says; `results` are those of the last turn."""

    model: str | None = None
    messages: tuple[ChatMessage, ...] = ()
    system_prompt: str | None = None
    user_message: str | None = None
    tools: tuple[str, ...] = ()
    stream: bool = False
    params: dict[str, Param] = {}
    results: tuple[ToolResult, ...] = ()
    truncated: bool = False


def text_of(content: object) -> str:
    """Return the text of a message's content; what is not text is described, not dumped."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_of, content)))
    if isinstance(content, dict):
        return _part(content)
    return str(content)[:MAX_NAME_CHARS]


def _part(part: Mapping[str, object]) -> str:
    for key in ("text", "refusal", "transcript", "content"):
        text = part.get(key)
        if isinstance(text, str):
            return text
        if isinstance(text, list):
            return text_of(text)
    kind = string(part.get("type"), MAX_NAME_CHARS) or "unknown"
    # OpenAI: {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}},
    # {"type": "input_audio", "input_audio": {"data": ..., "format": "wav"}},
    # {"type": "file", "file": {"filename": ..., "file_data": ...}}, and in responses
    # {"type": "input_image", "image_url": "data:..."}; Anthropic:
    # {"type": "image", "source": {"type": "base64", "media_type": ..., "data": ...}}.
    source = mapping(part.get("source"))
    inner = source or mapping(part.get(kind)) or part
    data = next(filter(None, map(string, map(inner.get, _DATA))), None)
    if source.get("type") == "text":  # Anthropic's documents of plain text
        return data or ""
    name = inner.get("media_type") or inner.get("filename") or kind.removesuffix("_url")
    if data is None:
        return described(str(name))
    if data.startswith("data:"):
        media_type, _, data = data[5:].partition(";base64,")
        name = media_type
    elif data.startswith(("https://", "http://")):
        return described(str(name))
    return described(str(name), encoded_size(data))


_DATA = ("data", "url", "file_data", "image_url")


def described(name: str, size: int | None = None) -> str:
    """Return what stands for data that is not shown, as in `[image/png, 12 KB]`."""
    name = name[:MAX_NAME_CHARS]
    if size is None:
        return f"[{name}]"
    if size < 1024:
        return f"[{name}, {size} B]"
    if size < 1 << 20:
        return f"[{name}, {size // 1024} KB]"
    return f"[{name}, {size / (1 << 20):.1f} MB]"


def encoded_size(data: str) -> int:
    """Return how many bytes stand in this Base64 text, padding aside."""
    return len(data) * 3 // 4


def params_of(body: Mapping[str, object]) -> dict[str, Param]:
    """Return the settings of a request that hold no content; of an object, its type."""
    found: dict[str, Param] = {}
    for name in sorted(body.keys() & _RANKS.keys(), key=_RANKS.__getitem__):
        value = body[name]
        if isinstance(value, dict):
            value = value.get("type")
        if isinstance(value, bool | float):
            found[name] = value
        elif (number := integer(value)) is not None:
            found[name] = number
        elif text := string(value, MAX_NAME_CHARS):
            found[name] = text
    return found


def tools_of(body: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of the tools that a request offers; of a nameless one, its type."""
    names = []
    for tool in items(body.get("tools"))[:MAX_TOOLS]:
        if isinstance(tool, dict):
            name = string(tool.get("name"), MAX_NAME_CHARS)
            if function := mapping(tool.get("function")):
                name = string(function.get("name"), MAX_NAME_CHARS)
            if name := name or string(tool.get("type"), MAX_NAME_CHARS):
                names.append(name)
    return tuple(names)


def last_user_text(messages: tuple[ChatMessage, ...]) -> str | None:
    """Return what the user said last, tool results aside."""
    return next((m.content for m in reversed(messages) if m.role == "user" and m.content), None)


def is_conversation(value: object) -> bool:
    """Tell a conversation from any other array: each element has a role and says something.

    The last one may be cut short, since bodies are.
    """
    turns = items(value)
    for turn in turns[:-1]:
        if not isinstance(turn, dict) or turn.get("role") not in ROLES:
            return False
        if turn.keys().isdisjoint(_SAYING):
            return False
    last = turns[-1] if turns else None
    return isinstance(last, dict) and (len(turns) > 1 or last.get("role") in ROLES)


_SAYING = ("content", "tool_calls", "function_call", "refusal")
# A tuple: what is looked up may be a list, which a set refuses.
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
