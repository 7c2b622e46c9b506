"""Cohere's chat in both versions, its embeddings and its reranking, which others copied.

Version 2 asks with `messages`, as OpenAI does; version 1 with `message` and the turns before
in `chat_history`, and streams JSON lines where version 2 streams server-sent events.
Left out: citations, and the documents that an answer was grounded on.
Source: https://docs.cohere.com/reference/chat, .../chat-stream, .../chat-v1, .../embed, .../rerank
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from busted.classifier import openai
from busted.classifier.assembly import MAX_ERROR_CHARS, Answer, error_of
from busted.classifier.chat import (
    MAX_MESSAGES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ModelRequest,
    is_conversation,
    params_of,
    text_of,
    tools_of,
)
from busted.classifier.foreign import integer, items, mapping, string, to_json
from busted.events import ChatMessage, ToolResult, Usage

Body = Mapping[str, object]

_EVENTS = (
    "message-start",
    "content-start",
    "content-delta",
    "content-end",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "tool-call-end",
    "citation-start",
    "citation-end",
    "message-end",
)
_EVENTS_V1 = (
    "stream-start",
    "text-generation",
    "tool-calls-chunk",
    "tool-calls-generation",
    "citation-generation",
    "search-queries-generation",
    "search-results",
    "stream-end",
)


def is_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, is a chat."""
    if "messages" in body:
        return is_conversation(body["messages"]) and string(body.get("model")) is not None
    # A message alone is any chat's; Cohere's clients send it with a model or what was said before.
    return isinstance(body.get("message"), str) and (
        isinstance(body.get("chat_history"), list) or string(body.get("model")) is not None
    )


def read_request(body: Body) -> ModelRequest:
    """Return what a request of either version says."""
    if "messages" in body:
        return msgspec.structs.replace(openai.read_request(body), params=_params(body))
    turns = items(body.get("chat_history"))
    messages = [_message(mapping(turn)) for turn in turns[-MAX_MESSAGES:]]
    asked = string(body.get("message"), MAX_TEXT_CHARS)
    if asked:
        messages.append(ChatMessage(role="user", content=asked))
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        messages=tuple(messages),
        system_prompt=string(body.get("preamble"), MAX_TEXT_CHARS),
        user_message=asked,
        tools=tools_of(body),
        stream=body.get("stream") is True,
        params=_params(body),
        results=tuple(_result(mapping(one)) for one in items(body.get("tool_results"))),
        truncated=len(turns) > MAX_MESSAGES,
    )


def is_answer(body: Body) -> bool:
    """Tell whether a body or stream event of unknown origin is of either version's chat."""
    if body.get("type") in _EVENTS or body.get("event_type") in _EVENTS_V1:
        return True
    if "finish_reason" not in body:
        return False
    message = mapping(body.get("message"))
    return isinstance(message.get("content") or message.get("tool_calls"), list) or (
        isinstance(body.get("text"), str) and "generation_id" in body
    )


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer of either version that came whole."""
    _head(answer, body)
    answer.say(body.get("text"))
    for index, call in enumerate(map(mapping, items(body.get("tool_calls")))):
        _call_v1(answer, index, call)
    message = mapping(body.get("message"))
    answer.think(message.get("tool_plan"))
    for part in map(mapping, items(message.get("content"))):
        _say(answer, part)
    for index, call in enumerate(map(mapping, items(message.get("tool_calls")))):
        _call(answer, index, call)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one event of a streamed answer of either version."""
    delta = mapping(body.get("delta"))
    message = mapping(delta.get("message"))
    match body.get("type") or body.get("event_type"):
        case "content-start" | "content-delta":
            _say(answer, mapping(message.get("content")))
        case "tool-plan-delta":
            answer.think(message.get("tool_plan"))
        case "tool-call-start" | "tool-call-delta":
            index = integer(body.get("index")) or 0
            _call(answer, index, mapping(message.get("tool_calls")))
        case "message-end":
            _head(answer, delta)
            answer.finished = True
        case "text-generation":
            answer.say(body.get("text"))
        case "tool-calls-generation":
            for index, call in enumerate(map(mapping, items(body.get("tool_calls")))):
                _call_v1(answer, index, call)
        case "stream-end":
            # It repeats the whole answer; what was said is known already.
            _head(answer, {**mapping(body.get("response")), **body})
            answer.finished = True
        case _:
            answer.error = answer.error or _error(body)


def is_embed_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, is to be embedded."""
    asked = (body.get(key) for key in ("texts", "images", "inputs"))
    return string(body.get("model")) is not None and any(isinstance(a, list) for a in asked)


def read_embed_request(body: Body) -> ModelRequest:
    """Return what a request for embeddings says."""
    # Version 2 has {"inputs": [{"content": [parts]}]} for texts and images together.
    return _read_texts(body, body.get("texts") or body.get("inputs") or body.get("images"))


def is_rerank_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, is to be ranked."""
    return isinstance(body.get("query"), str) and isinstance(body.get("documents"), list)


def read_rerank_request(body: Body) -> ModelRequest:
    """Return what a request to rank documents says: the query, and the documents after it."""
    return _read_texts(body, [body.get("query"), body.get("documents")])


def _read_texts(body: Body, asked: object) -> ModelRequest:
    text = text_of(asked)
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        user_message=text[:MAX_TEXT_CHARS] or None,
        params=params_of({**body, "dimensions": body.get("output_dimension")}),
        truncated=len(text) > MAX_TEXT_CHARS,
    )


def _head(answer: Answer, told: Body) -> None:
    answer.model = answer.model or string(told.get("model"), MAX_NAME_CHARS)
    answer.finish_reason = string(told.get("finish_reason"), MAX_NAME_CHARS)
    answer.usage = _usage(told)
    answer.error = answer.error or _error(told)


def _error(told: Body) -> str | None:
    # A refusal is {"message": "invalid api token"}; an answer's message is an object.
    return error_of(told) or string(told.get("message"), MAX_ERROR_CHARS)


def _usage(told: Body) -> Usage | None:
    # Version 2 says `usage`, version 1 `meta`; `billed_units` are less than the tokens read.
    usage = mapping(told.get("usage")) or mapping(told.get("meta"))
    tokens = mapping(usage.get("tokens")) or mapping(usage.get("billed_units"))
    read, written = integer(tokens.get("input_tokens")), integer(tokens.get("output_tokens"))
    if read is None and written is None:
        return None
    return Usage(input=read, output=written, cached=integer(usage.get("cached_tokens")))


def _say(answer: Answer, part: Body) -> None:
    answer.say(part.get("text"))
    answer.think(part.get("thinking"))


def _call(answer: Answer, index: int, call: Body) -> None:
    function = mapping(call.get("function"))
    answer.call(index, call.get("id"), function.get("name"))
    answer.argue(index, function.get("arguments"))


def _call_v1(answer: Answer, index: int, call: Body) -> None:
    answer.call(index, None, call.get("name"))
    answer.argue(index, to_json(mapping(call.get("parameters")), MAX_TEXT_CHARS)[0])


def _params(body: Body) -> dict[str, bool | int | float | str]:
    return params_of({**body, "top_p": body.get("p"), "top_k": body.get("k")})


def _message(turn: Body) -> ChatMessage:
    results = items(turn.get("tool_results"))
    said = [text_of(turn.get("message"))]
    said += (_result(mapping(result)).content or "" for result in results)
    for call in map(mapping, items(turn.get("tool_calls"))):
        said.append(f"[tool call: {str(call.get('name'))[:MAX_NAME_CHARS]}]")
    return ChatMessage(
        # "One of CHATBOT, SYSTEM, TOOL or USER"
        role=(string(turn.get("role"), MAX_NAME_CHARS) or "unknown").lower(),
        content="\n".join(filter(None, said)),
    )


def _result(result: Body) -> ToolResult:
    return ToolResult(
        name=string(mapping(result.get("call")).get("name"), MAX_NAME_CHARS),
        content=to_json(result.get("outputs"), MAX_TEXT_CHARS)[0],
        truncated=False,
    )
