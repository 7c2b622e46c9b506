"""OpenAI's chat completions, the dialect that most providers and local servers speak.

Each deviation is named where it is read. Of spoken answers the transcript is told.
Left out: log probabilities, citations, and choices after the first.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from busted.classifier.assembly import MAX_ERROR_CHARS, Answer, error_of
from busted.classifier.chat import (
    MAX_MESSAGES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ModelRequest,
    is_conversation,
    last_user_text,
    params_of,
    text_of,
    tools_of,
)
from busted.classifier.foreign import integer, items, mapping, string, to_json
from busted.events import ChatMessage, ToolResult, Usage


def is_request(body: Mapping[str, object]) -> bool:
    """Tell whether a body of unknown origin asks for a chat completion.

    A body cut before its model is still one: old SDKs send the messages first.
    """
    return (
        is_conversation(body.get("messages"))
        and isinstance(body.get("model", ""), str)
        and isinstance(body.get("stream", False), bool)
    )


def is_distinct_request(body: Mapping[str, object]) -> bool:
    """Tell a request where no path names the dialect: only with a model is it more than a log."""
    return is_request(body) and string(body.get("model")) is not None


def read_request(body: Mapping[str, object]) -> ModelRequest:
    """Return what a request says."""
    turns = items(body.get("messages"))
    messages = tuple([_message(mapping(turn)) for turn in turns[-MAX_MESSAGES:]])
    system = "\n".join([m.content for m in messages if m.role in ("system", "developer")])
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        messages=messages,
        system_prompt=system or None,
        user_message=last_user_text(messages),
        tools=tools_of(body),
        stream=body.get("stream") is True,
        params=params_of(body),
        results=_last_results(turns),
        truncated=len(turns) > MAX_MESSAGES,
    )


def is_answer(body: Mapping[str, object]) -> bool:
    """Tell whether a body or stream event of unknown origin is a chat completion."""
    choices = items(body.get("choices"))
    return (
        str(body.get("object")).startswith("chat.completion")
        or (bool(choices) and not mapping(choices[0]).keys().isdisjoint(("delta", "message")))
    ) and "choices" in body


def read_answer(answer: Answer, body: Mapping[str, object]) -> None:
    """Read an answer that came whole."""
    _read(answer, body, "message")
    answer.finished = True


def read_event(answer: Answer, data: str, body: Mapping[str, object]) -> None:
    """Read one event of a streamed answer: `data` as it came, and parsed."""
    # "data-only server-sent events ... terminated by a data: [DONE] message"; usage comes
    # in a chunk after the one with the finish reason, so that one is not the end.
    if data.strip() == "[DONE]":
        answer.finished = True
    else:
        _read(answer, body, "delta")


class _UsualDelta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    content: str | None = None
    role: str | None = None


class _UsualChoice(msgspec.Struct, frozen=True):
    delta: _UsualDelta
    index: Literal[0] = 0
    finish_reason: None = None
    usage: None = None


class _UsualChunk(msgspec.Struct, frozen=True):
    """A chunk that adds text to the first choice and says nothing else that is read here."""

    choices: tuple[_UsualChoice]
    object: Literal["chat.completion.chunk"]
    model: str = ""
    error: None = None
    usage: None = None
    x_groq: None = None
    base_resp: None = None


_usual_chunk = msgspec.json.Decoder(_UsualChunk)


def read_usual_event(answer: Answer, data: bytes) -> bool:
    """Read what nearly every event of a stream is, at a third of the cost; False if it is other."""
    try:
        chunk = _usual_chunk.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    answer.model = answer.model or string(chunk.model, MAX_NAME_CHARS)
    answer.say(chunk.choices[0].delta.content)
    return True


def _read(answer: Answer, body: Mapping[str, object], key: str) -> None:
    answer.model = answer.model or string(body.get("model"), MAX_NAME_CHARS)
    answer.error = answer.error or error_of(body) or _error(body)
    answer.usage = usage_of(body) or answer.usage
    for choice in map(mapping, items(body.get("choices"))):
        if choice.get("index", 0) != 0:
            continue
        reason = string(choice.get("finish_reason"), MAX_NAME_CHARS)
        answer.finish_reason = reason or answer.finish_reason
        _say(answer, mapping(choice.get(key)))


def _say(answer: Answer, said: Mapping[str, object]) -> None:
    content = said.get("content")
    if isinstance(content, str) and said.keys() <= _PLAIN:  # nearly every event of a stream
        answer.say(content)
        return
    thought, spoken = _parts(content)
    answer.say(text_of(spoken))
    answer.say(said.get("refusal"))
    # https://platform.openai.com/docs/guides/audio: {"audio": {"data", "transcript"}}
    answer.say(mapping(said.get("audio")).get("transcript"))
    answer.say(text_of(said.get("images")))  # OpenRouter: parts of the type image_url
    # DeepSeek and vLLM say `reasoning_content`, OpenRouter and Groq `reasoning`, Mistral parts.
    answer.think(said.get("reasoning_content") or said.get("reasoning") or text_of(thought))
    for place, call in enumerate(map(mapping, items(said.get("tool_calls")))):
        _call(answer, place, call)
    if legacy := mapping(said.get("function_call")):
        _call(answer, 0, {"function": legacy})


_PLAIN = frozenset(("role", "content"))


def _parts(content: object) -> tuple[object, object]:
    """Split content in what is thought and what is said.

    Mistral: [{"type": "thinking", "thinking": [{"type": "text", "text": ...}]}, ...]
    https://docs.mistral.ai/capabilities/reasoning
    """
    thoughts = [p for p in map(mapping, items(content)) if p.get("type") == "thinking"]
    if not thoughts:
        return None, content
    said = [part for part in items(content) if mapping(part).get("type") != "thinking"]
    return [part.get("thinking") for part in thoughts], said


def _error(body: Mapping[str, object]) -> str | None:
    # MiniMax answers 200 with {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}.
    if "base_resp" not in body:
        return None
    told = mapping(body.get("base_resp"))
    code = integer(told.get("status_code"))
    return f"{code}: {string(told.get('status_msg'), MAX_ERROR_CHARS) or ''}" if code else None


def _call(answer: Answer, place: int, call: Mapping[str, object]) -> None:
    index = integer(call.get("index"))
    index = place if index is None else index
    call_id = string(call.get("id"), MAX_NAME_CHARS)
    known = answer.call_id(index)
    if call_id and known and call_id != known:
        # Gemini's compatible endpoint sends every call, whole, as index 0.
        index = answer.call_count
    function = mapping(call.get("function"))
    answer.call(index, call_id, function.get("name"))
    arguments = function.get("arguments")
    if isinstance(arguments, dict):  # Ollama's objects instead of JSON text
        arguments, _ = to_json(arguments, MAX_TEXT_CHARS)
    answer.argue(index, arguments)


def usage_of(body: Mapping[str, object]) -> Usage | None:
    """Return the tokens that an answer, or an event of it, counts."""
    # Groq puts the usage of a stream in `x_groq`, Moonshot in the choice.
    usage = mapping(body.get("usage"))
    if not usage and "x_groq" in body:
        usage = mapping(mapping(body["x_groq"]).get("usage"))
    if not usage and (choices := items(body.get("choices"))):
        usage = mapping(mapping(choices[0]).get("usage"))
    if not usage:
        return None
    asked = integer(usage.get("prompt_tokens"))
    output = integer(usage.get("completion_tokens"))
    details = mapping(usage.get("prompt_tokens_details"))
    # DeepSeek, Moonshot.
    alternatives = (usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens"))
    cached = _first(details.get("cached_tokens"), *alternatives)
    thought = mapping(usage.get("completion_tokens_details")).get("reasoning_tokens")
    reasoning = _first(thought, usage.get("reasoning_tokens"))  # Perplexity
    if asked is not None and output is not None and reasoning:
        # xAI counts what was thought beside the completion; its total tells.
        beside = usage.get("total_tokens") == asked + output + reasoning
        output += reasoning if beside else 0
    return Usage(
        input=asked,
        output=output,
        cached=cached,
        cache_written=integer(details.get("cache_write_tokens")),  # OpenRouter
        reasoning=reasoning,
    )


def _first(*values: object) -> int | None:
    return next((number for number in map(integer, values) if number is not None), None)


def _message(turn: Mapping[str, object]) -> ChatMessage:
    content = text_of(turn.get("content"))
    if made := items(turn.get("tool_calls")):
        calls = [mapping(mapping(call).get("function")) for call in made]
        called = [f"[tool call: {str(c.get('name'))[:MAX_NAME_CHARS]}]" for c in calls]
        content = "\n".join(filter(None, (content, *called)))
    return ChatMessage(role=string(turn.get("role"), MAX_NAME_CHARS) or "unknown", content=content)


def _last_results(turns: Sequence[object]) -> tuple[ToolResult, ...]:
    results: list[ToolResult] = []
    names: dict[object, str | None] = {}
    for turn in map(mapping, reversed(turns)):
        if turn.get("role") == "assistant":
            for call in map(mapping, items(turn.get("tool_calls"))):
                names[string(call.get("id"))] = string(
                    mapping(call.get("function")).get("name"), MAX_NAME_CHARS
                )
            break
        if turn.get("role") in ("tool", "function"):
            content = text_of(turn.get("content"))
            results.append(
                ToolResult(
                    id=string(turn.get("tool_call_id"), MAX_NAME_CHARS),
                    name=string(turn.get("name"), MAX_NAME_CHARS),
                    content=content,
                    truncated=False,
                )
            )
    return tuple(
        ToolResult(
            id=result.id,
            name=result.name or names.get(result.id),
            content=result.content,
            truncated=result.truncated,
        )
        for result in reversed(results)
    )
