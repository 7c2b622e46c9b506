"""Anthropic's messages, also spoken by DeepSeek, Z.ai, Moonshot and others for Claude Code.

Tool results travel inside user turns here; they are told as turns of the role `tool`, as in
every other dialect, so that nobody takes them for what the user said. Tools that Anthropic
itself runs are called and answered within one answer.
Left out: citations, and the signatures of thoughts.
Source: https://docs.anthropic.com/en/api/messages, .../messages-streaming and
.../messages-count-tokens
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import (
    MAX_MESSAGES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ModelRequest,
    described,
    encoded_size,
    is_conversation,
    last_user_text,
    params_of,
    text_of,
    tools_of,
)
from busted.classifier.foreign import integer, items, mapping, string, to_json
from busted.events import ChatMessage, ToolResult, Usage

# A tuple: what is looked up may be a list, which a set refuses.
_EVENTS = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
)
# Blocks that ask for a tool, and whether the provider runs it: as such, through MCP, or not.
_CALLS = {"tool_use": False, "server_tool_use": True, "mcp_tool_use": True}


def is_request(body: Mapping[str, object]) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, asks for a message."""
    return (
        is_conversation(body.get("messages"))
        and integer(body.get("max_tokens")) is not None
        and isinstance(body.get("model", ""), str)
    )


def is_distinct_request(body: Mapping[str, object]) -> bool:
    """Tell a request that no OpenAI client would send: where no path names the dialect."""
    return is_request(body) and (
        "system" in body
        or "anthropic_version" in body
        or any("input_schema" in mapping(tool) for tool in items(body.get("tools")))
        or any(
            mapping(part).get("type") in ("tool_use", "tool_result", "image", "thinking")
            for turn in items(body.get("messages"))
            for part in items(mapping(turn).get("content"))
        )
    )


def read_request(body: Mapping[str, object]) -> ModelRequest:
    """Return what a request says."""
    turns = items(body.get("messages"))
    messages = tuple(m for turn in turns[-MAX_MESSAGES:] for m in _messages(mapping(turn)))
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        messages=messages[-MAX_MESSAGES:],
        system_prompt=text_of(body.get("system")) or None,
        user_message=last_user_text(messages),
        tools=tools_of(body),
        stream=body.get("stream") is True,
        params=params_of(body),
        results=_last_results(turns),
        truncated=len(turns) > MAX_MESSAGES or len(messages) > MAX_MESSAGES,
    )


def is_count_request(body: Mapping[str, object]) -> bool:
    """Tell whether a body sent to the path of counting, at an unknown host, is a conversation."""
    return is_conversation(body.get("messages")) and isinstance(body.get("model", ""), str)


def read_count_request(body: Mapping[str, object]) -> ModelRequest:
    """Return what a request to count says; its results are told when they are really sent."""
    return msgspec.structs.replace(read_request(body), results=())


def read_count(answer: Answer, body: Mapping[str, object]) -> None:
    """Read how many tokens a request would have: {"input_tokens": 2095}."""
    answer.error = error_of(body)
    answer.usage = _usage(None, body)
    answer.finished = True


def is_answer(body: Mapping[str, object]) -> bool:
    """Tell whether a body or stream event of unknown origin is a message."""
    kind = body.get("type")
    if kind == "message":
        return body.get("role") == "assistant" and isinstance(body.get("content"), list)
    if kind == "error":
        # OpenAI's messages over a WebSocket are alike, but have codes.
        told = mapping(body.get("error"))
        return isinstance(told.get("type"), str) and "code" not in told
    return kind in _EVENTS


def read_answer(answer: Answer, body: Mapping[str, object]) -> None:
    """Read an answer that came whole."""
    _head(answer, body)
    answer.error = error_of(body)
    for index, block in enumerate(map(mapping, items(body.get("content")))):
        _block(answer, index, block)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Mapping[str, object]) -> None:
    """Read one event of a streamed answer; the type in the data repeats the event's name."""
    index = integer(body.get("index")) or 0
    match body.get("type"):
        case "message_start":
            _head(answer, mapping(body.get("message")))
        case "content_block_start":
            _block(answer, index, mapping(body.get("content_block")))
        case "content_block_delta":
            _delta(answer, index, mapping(body.get("delta")))
        case "message_delta":
            _head(answer, {**mapping(body.get("delta")), "usage": body.get("usage")})
        case "message_stop":
            answer.finished = True
        case "error":
            answer.error = error_of(body)
            answer.finished = True


class _TextDelta(msgspec.Struct, frozen=True):
    type: Literal["text_delta"]
    text: str


class _UsualEvent(msgspec.Struct, frozen=True):
    type: Literal["content_block_delta"]
    delta: _TextDelta


_usual_event = msgspec.json.Decoder(_UsualEvent)


def read_usual_event(answer: Answer, data: bytes) -> bool:
    """Read what nearly every event of a stream is, at a third of the cost; False if it is other."""
    try:
        event = _usual_event.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    answer.say(event.delta.text)
    return True


def _head(answer: Answer, message: Mapping[str, object]) -> None:
    answer.model = answer.model or string(message.get("model"), MAX_NAME_CHARS)
    answer.finish_reason = (
        string(message.get("stop_reason"), MAX_NAME_CHARS) or answer.finish_reason
    )
    answer.usage = _usage(answer.usage, mapping(message.get("usage")))


def _block(answer: Answer, index: int, block: Mapping[str, object]) -> None:
    match block.get("type"):
        case "text":
            answer.say(block.get("text"))
        case "thinking":
            answer.think(block.get("thinking"))
        case "redacted_thinking":
            data = string(block.get("data")) or ""
            answer.think(described("redacted thinking", encoded_size(data)))
        case str(kind) if kind in _CALLS:
            answer.call(index, block.get("id"), block.get("name"), server_side=_CALLS[kind])
            if given := mapping(block.get("input")):
                answer.argue(index, to_json(given, MAX_TEXT_CHARS)[0])
        case str(kind) if kind.endswith("_tool_result"):
            called = block.get("tool_use_id")
            content, failed = _returned(block.get("content"))
            failed = failed or block.get("is_error") is True
            answer.result(called, answer.call_name(called), content, is_error=failed)


def _returned(content: object) -> tuple[str, bool]:
    """Return what a tool of Anthropic's returned, as text, and whether it failed."""
    # {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    if error := string(mapping(content).get("error_code"), MAX_NAME_CHARS):
        return error, True
    parts = [_found(part) for part in items(content) or (content,)]
    return "\n".join(filter(None, parts)), False


def _found(part: object) -> str:
    found = mapping(part)
    match found.get("type"):
        case "web_search_result":
            told = [found.get("title"), found.get("url")]
        case "web_fetch_result":
            told = [found.get("url"), text_of(found.get("content"))]
        case "code_execution_result" | "bash_code_execution_result":
            told = [found.get("stdout"), found.get("stderr")]
        case _:
            return text_of(part)
    return "\n".join(filter(None, map(string, told)))


def _delta(answer: Answer, index: int, delta: Mapping[str, object]) -> None:
    match delta.get("type"):
        case "text_delta":
            answer.say(delta.get("text"))
        case "thinking_delta":
            answer.think(delta.get("thinking"))
        case "input_json_delta":
            answer.argue(index, delta.get("partial_json"))


def _usage(known: Usage | None, usage: Mapping[str, object]) -> Usage | None:
    """Join what message_start and message_delta say; the counts are cumulative."""
    if not usage:
        return known
    known = known or Usage()
    told = integer(usage.get("input_tokens"))
    cached = integer(usage.get("cache_read_input_tokens"))
    created = integer(usage.get("cache_creation_input_tokens"))
    cached = known.cached if cached is None else cached
    created = known.cache_written if created is None else created
    # "Total input tokens ... is the summation of input_tokens, cache_creation_input_tokens,
    # and cache_read_input_tokens": here `input` is that total, as `Usage` says.
    total = None if told is None else told + (cached or 0) + (created or 0)
    output = integer(usage.get("output_tokens"))
    details = mapping(usage.get("output_tokens_details"))
    reasoning = integer(details.get("thinking_tokens"))
    return Usage(
        input=known.input if total is None else total,
        output=known.output if output is None else output,
        cached=cached,
        reasoning=known.reasoning if reasoning is None else reasoning,
        cache_written=created,
    )


def _messages(turn: Mapping[str, object]) -> Iterator[ChatMessage]:
    """Yield a turn's tool results, each as a turn of its own, then what it says."""
    role = string(turn.get("role"), MAX_NAME_CHARS) or "unknown"
    content = turn.get("content")
    said: list[str] = []
    for part in items(content) or (content,):
        block = mapping(part)
        match block.get("type"):
            case "text":
                said.append(text_of(part))
            case "tool_result":
                yield ChatMessage(role="tool", content=text_of(block.get("content")))
            case str(kind) if kind.endswith("_tool_result"):
                returned, _ = _returned(block.get("content"))
                yield ChatMessage(role="tool", content=returned)
            case str(kind) if kind in _CALLS:
                name = str(block.get("name"))[:MAX_NAME_CHARS]
                said.append(f"[tool call: {name}]")
            case _:
                said.append(text_of(part))
    if any(said):
        yield ChatMessage(role=role, content="\n".join(filter(None, said)))


def _last_results(turns: Sequence[object]) -> tuple[ToolResult, ...]:
    results: list[Mapping[str, object]] = []
    names: dict[object, str | None] = {}
    for turn in map(mapping, reversed(turns)):
        parts = [mapping(part) for part in items(turn.get("content"))]
        if turn.get("role") == "assistant":
            names = {string(p.get("id")): string(p.get("name"), MAX_NAME_CHARS) for p in parts}
            break
        results = [part for part in parts if part.get("type") == "tool_result"] + results
    return tuple(
        ToolResult(
            id=string(result.get("tool_use_id"), MAX_NAME_CHARS),
            name=names.get(string(result.get("tool_use_id"))),
            content=text_of(result.get("content")),
            is_error=result.get("is_error") is True,
            truncated=False,
        )
        for result in results
    )
