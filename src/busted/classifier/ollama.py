"""Ollama's own API; the one it has besides is OpenAI's.

An answer comes as JSON lines unless the request says `"stream": false`. Tool calls and their
results have no identifiers here.
Left out: embeddings themselves, `context` (a conversation as tokens), and log probabilities.
Source: https://docs.ollama.com/api
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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

Body = Mapping[str, object]


def is_chat_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, is a chat."""
    return is_conversation(body.get("messages")) and _has_model(body)


def is_generate_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, is a prompt."""
    return isinstance(body.get("prompt"), str) and _has_model(body)


def is_embed_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, is to be embedded."""
    return isinstance(body.get("input") or body.get("prompt"), str | list) and _has_model(body)


def _has_model(body: Body) -> bool:
    return string(body.get("model")) is not None


def read_chat_request(body: Body) -> ModelRequest:
    """Return what a request with a conversation says."""
    turns = items(body.get("messages"))
    messages = tuple(_message(mapping(turn)) for turn in turns[-MAX_MESSAGES:])
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        messages=messages,
        system_prompt="\n".join(m.content for m in messages if m.role == "system") or None,
        user_message=last_user_text(messages),
        tools=tools_of(body),
        stream=_stream(body),
        params=_params(body),
        results=_last_results(turns),
        truncated=len(turns) > MAX_MESSAGES,
    )


def read_generate_request(body: Body) -> ModelRequest:
    """Return what a request with one prompt says."""
    asked = "\n".join(filter(None, (text_of(body.get("prompt")), _images(body))))
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        system_prompt=string(body.get("system"), MAX_TEXT_CHARS),
        user_message=asked[:MAX_TEXT_CHARS] or None,
        stream=_stream(body),
        params=_params(body),
        truncated=len(asked) > MAX_TEXT_CHARS,
    )


def read_embed_request(body: Body) -> ModelRequest:
    """Return what a request for embeddings says, by `input` or, before 0.3, by `prompt`."""
    asked = text_of(body.get("input") or body.get("prompt"))
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        user_message=asked[:MAX_TEXT_CHARS] or None,
        params=_params(body),
        truncated=len(asked) > MAX_TEXT_CHARS,
    )


def is_chat_answer(body: Body) -> bool:
    """Tell whether a body or line of unknown origin is a piece of a chat."""
    return _is_piece(body) and isinstance(body.get("message"), dict)


def is_generate_answer(body: Body) -> bool:
    """Tell whether a body or line of unknown origin is a piece of generated text."""
    return _is_piece(body) and isinstance(body.get("response"), str)


def _is_piece(body: Body) -> bool:
    return _has_model(body) and isinstance(body.get("done"), bool) and "created_at" in body


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer that came whole."""
    _read(answer, body)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one line of a streamed answer; the last one has `done`, and the counts."""
    _read(answer, body)
    answer.finished = body.get("done") is True or answer.error is not None


def _read(answer: Answer, body: Body) -> None:
    answer.model = answer.model or string(body.get("model"), MAX_NAME_CHARS)
    answer.error = answer.error or error_of(body)
    answer.finish_reason = string(body.get("done_reason"), MAX_NAME_CHARS) or answer.finish_reason
    message = mapping(body.get("message"))
    answer.think(message.get("thinking") or body.get("thinking"))
    answer.say(message.get("content") or body.get("response"))
    for call in map(mapping, items(message.get("tool_calls"))):
        function = mapping(call.get("function"))
        index = answer.call_count
        answer.call(index, call.get("id"), function.get("name"))
        answer.argue(index, to_json(mapping(function.get("arguments")), MAX_TEXT_CHARS)[0])
    read, written = integer(body.get("prompt_eval_count")), integer(body.get("eval_count"))
    if read is not None or written is not None:
        answer.usage = Usage(input=read, output=written)


def _stream(body: Body) -> bool:
    # "stream: if false the response will be returned as a single response object"
    return body.get("stream") is not False


def _params(body: Body) -> dict[str, bool | int | float | str]:
    options = mapping(body.get("options"))
    return params_of(
        {**options, "max_tokens": options.get("num_predict"), "thinking": body.get("think")}
    )


def _message(turn: Body) -> ChatMessage:
    calls = [mapping(mapping(call).get("function")) for call in items(turn.get("tool_calls"))]
    called = [f"[tool call: {str(call.get('name'))[:MAX_NAME_CHARS]}]" for call in calls]
    said = (text_of(turn.get("content")), _images(turn), *called)
    return ChatMessage(
        role=string(turn.get("role"), MAX_NAME_CHARS) or "unknown",
        content="\n".join(filter(None, said)),
    )


def _images(body: Body) -> str:
    images = map(string, items(body.get("images")))
    return "\n".join(described("image", encoded_size(image)) for image in images if image)


def _last_results(turns: Sequence[object]) -> tuple[ToolResult, ...]:
    results: list[ToolResult] = []
    for turn in map(mapping, reversed(turns)):
        if turn.get("role") == "assistant":
            break
        if turn.get("role") == "tool":
            name = string(turn.get("tool_name") or turn.get("name"), MAX_NAME_CHARS)
            content = text_of(turn.get("content"))
            results.append(ToolResult(name=name, content=content, truncated=False))
    return tuple(reversed(results))
