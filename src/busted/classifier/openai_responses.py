"""OpenAI's responses: a conversation of typed items, also spoken by Azure, xAI and Codex.

Strategy: an item that ends in `_call` asks for a tool, one that ends in `_call_output` says
what a client's tool returned; which tools the provider runs itself, a table tells. A streamed
answer repeats everything whole at the end of an item, of which only what no piece told is taken.
Over a WebSocket a request is the message `response.create`, and the events are its messages; a
`stream_id` tells several under way apart.
Left out: annotations and log probabilities.
Source: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming;
types/responses/responses_client_event.py of openai-python for the WebSocket.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import (
    MAX_MESSAGES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ROLES,
    ModelRequest,
    described,
    encoded_size,
    last_user_text,
    params_of,
    text_of,
    tools_of,
)
from busted.classifier.conversation import Asked, Place
from busted.classifier.foreign import integer, items, mapping, string, to_json
from busted.events import ChatMessage, ToolResult, Usage

Body = Mapping[str, object]

# Calls that the provider runs itself, and where such an item says what was returned.
_SERVER_SIDE = {
    "web_search_call": "results",
    "file_search_call": "results",
    "code_interpreter_call": "outputs",
    "image_generation_call": "result",
    "mcp_call": "output",
}
# Where a call says what it wants: text, or an object that is told as JSON.
_ARGUMENTS = ("arguments", "input", "code", "action", "actions", "operation", "queries")

# The end of an event's type, and what its `delta` adds to.
_ARGUMENT_DELTAS = (
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
    "response.code_interpreter_call_code.delta",
)
_TEXT_DELTAS = ("response.output_text.delta", "response.refusal.delta")
_THOUGHT_DELTAS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_EVENTS = (
    *_ARGUMENT_DELTAS,
    *_TEXT_DELTAS,
    *_THOUGHT_DELTAS,
    *_ENDS,
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
)


def is_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, asks for a response."""
    return string(body.get("model")) is not None and (
        isinstance(body.get("input"), str) or is_items(body.get("input"))
    )


def is_distinct_request(body: Body) -> bool:
    """Tell a request where no path names the dialect: only items are like no other dialect's."""
    if body.get("type") == "response.create":
        return is_request(body)
    return string(body.get("model")) is not None and is_items(body.get("input"))


def is_items(value: object) -> bool:
    """Tell a list of items by those that are whole: the last of several may be cut short."""
    found = items(value)
    return bool(found) and all(
        isinstance(item, dict)
        and (
            (item.get("role") in ROLES and "content" in item)
            or _kind(item).endswith(("_call", "_call_output"))
            or _kind(item) in ("reasoning", "item_reference", "compaction")
            or place == len(found) - 1 > 0
        )
        for place, item in enumerate(found)
    )


def _kind(item: Body) -> str:
    return string(item.get("type"), MAX_NAME_CHARS) or ""


def read_request(body: Body) -> ModelRequest:
    """Return what a request says."""
    given = body.get("input")
    turns = items(given)
    messages = tuple(_messages(turns[-MAX_MESSAGES:]))
    if asked := string(given):
        messages = (ChatMessage(role="user", content=asked),)
    system = [text_of(body.get("instructions"))]
    system += [m.content for m in messages if m.role in ("system", "developer")]
    text = mapping(body.get("text"))
    settings = {
        "reasoning_effort": mapping(body.get("reasoning")).get("effort"),
        "verbosity": text.get("verbosity"),
        "response_format": text.get("format"),
    }
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        messages=messages,
        system_prompt="\n".join(filter(None, system)) or None,
        user_message=last_user_text(messages),
        tools=tools_of(body),
        stream=body.get("stream") is True or _kind(body) in ("response.create", "response.steer"),
        params=params_of({**body, **settings}),
        results=_last_results(turns),
        truncated=len(turns) > MAX_MESSAGES,
    )


def read_count_request(body: Body) -> ModelRequest:
    """Return what a request to count says; its results are told when they are really sent."""
    return msgspec.structs.replace(read_request(body), results=())


def _messages(turns: Sequence[object]) -> Iterator[ChatMessage]:
    for item in map(mapping, turns):
        kind = _kind(item)
        if kind.endswith("_call_output"):
            yield ChatMessage(role="tool", content=text_of(item.get("output")))
        elif kind.endswith("_call"):
            yield ChatMessage(role="assistant", content=f"[tool call: {_name(item)}]")
        elif kind == "reasoning":
            thought = "\n".join(filter(None, _thoughts(item)))
            yield ChatMessage(role="assistant", content=thought or described(kind))
        elif kind in ("", "message"):
            role = string(item.get("role"), MAX_NAME_CHARS) or "unknown"
            yield ChatMessage(role=role, content=text_of(item.get("content")))
        else:
            yield ChatMessage(role="unknown", content=described(kind))


def _name(item: Body) -> str:
    name = string(item.get("name"), MAX_NAME_CHARS)
    return name or _kind(item).removesuffix("_output").removesuffix("_call")


def _call_id(item: Body) -> str | None:
    return string(item.get("call_id"), MAX_NAME_CHARS) or string(item.get("id"), MAX_NAME_CHARS)


def _last_results(turns: Sequence[object]) -> tuple[ToolResult, ...]:
    """Return the results since the model spoke last."""
    found: list[Body] = []
    for item in map(mapping, reversed(turns)):
        kind = _kind(item)
        if kind.endswith("_call_output"):
            found.insert(0, item)
        elif kind.endswith("_call") or kind == "reasoning" or item.get("role") == "assistant":
            break
    calls = [item for item in map(mapping, turns) if _kind(item).endswith("_call")] if found else []
    names = {_call_id(item): _name(item) for item in calls}
    return tuple(
        ToolResult(
            id=_call_id(item),
            name=names.get(_call_id(item)),
            content=text_of(item.get("output")),
            is_error=item.get("status") in ("failed", "incomplete"),
            truncated=False,
        )
        for item in found
    )


def is_answer(body: Body) -> bool:
    """Tell whether a body or stream event of unknown origin is a response."""
    if body.get("object") in ("response", "response.compaction"):
        return "output" in body
    if body.get("type") == "error":
        return "code" in mapping(body.get("error"))
    return body.get("type") in _EVENTS


def is_piece(body: Body) -> bool:
    """Tell an event of which others bring the rest."""
    return body.get("type") in _EVENTS and body.get("type") not in _ENDS


def is_unfinished(body: Body) -> bool:
    """Tell an answer that is made in the background and not yet there."""
    return body.get("status") in ("queued", "in_progress") or is_piece(body)


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer that came whole, or the event that repeats it whole."""
    told = mapping(body.get("response")) or body
    _head(answer, told)
    _output(answer, told)
    answer.finished = True


def read_count(answer: Answer, body: Body) -> None:
    """Read how many tokens a request would have: {"object": "response.input_tokens", ...}."""
    answer.error = error_of(body)
    answer.usage = usage_of(body)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one event of a streamed answer; the type in the data repeats the event's name."""
    kind = body.get("type")
    index = integer(body.get("output_index")) or 0
    if kind in _TEXT_DELTAS:
        answer.say(body.get("delta"))
    elif kind in _THOUGHT_DELTAS:
        answer.think(body.get("delta"))
    elif kind in _ARGUMENT_DELTAS:
        answer.argue(index, body.get("delta"))
    elif kind == "response.reasoning_summary_part.added" and body.get("summary_index"):
        answer.think("\n\n")
    elif kind == "response.output_item.added":
        _announce(answer, index, mapping(body.get("item")))
    elif kind == "response.output_item.done":
        _call(answer, index, mapping(body.get("item")))
    elif kind in _ENDS:
        told = mapping(body.get("response"))
        _head(answer, told)
        _output(answer, told)
        answer.finished = True
    elif kind == "error":
        # {"type": "error", "code", "message", "param"}; Azure and Codex nest it as others do.
        answer.error = error_of(body) or error_of({"error": {**body, "type": body.get("code")}})
        answer.finished = True
    else:
        _head(answer, mapping(body.get("response")))


def _head(answer: Answer, response: Body) -> None:
    answer.model = answer.model or string(response.get("model"), MAX_NAME_CHARS)
    answer.error = answer.error or error_of(response)
    answer.usage = usage_of(response) or answer.usage
    status = string(response.get("status"), MAX_NAME_CHARS)
    reason = string(mapping(response.get("incomplete_details")).get("reason"), MAX_NAME_CHARS)
    if reason or status not in ("in_progress", "queued"):
        answer.finish_reason = reason or status or answer.finish_reason


def usage_of(body: Body) -> Usage | None:
    """Return the tokens that a body counts, in it or in its `usage`."""
    usage = mapping(body.get("usage")) or body
    counts = [integer(usage.get(name)) for name in ("input_tokens", "output_tokens")]
    if counts == [None, None]:
        return None
    # Audio, images and the realtime API write `input_token_details`.
    given = mapping(usage.get("input_tokens_details") or usage.get("input_token_details"))
    made = mapping(usage.get("output_tokens_details") or usage.get("output_token_details"))
    return Usage(
        input=counts[0],
        output=counts[1],
        cached=integer(given.get("cached_tokens")),
        reasoning=integer(made.get("reasoning_tokens")),
    )


def _output(answer: Answer, response: Body) -> None:
    """Read the whole output, as far as no piece of it was read before."""
    said, thought = answer.text is not None, answer.reasoning is not None
    texts: list[str] = []
    for index, item in enumerate(map(mapping, items(response.get("output")))):
        match _kind(item):
            case "message":
                texts.append(text_of(item.get("content")))
            case "reasoning" if not thought:
                answer.think("\n\n".join(filter(None, _thoughts(item))))
            case _:
                _call(answer, index, item)
    if not said:
        answer.say("\n".join(filter(None, texts)))


def _thoughts(item: Body) -> Iterator[str]:
    for key in ("summary", "content"):
        yield from map(text_of, items(item.get(key)))


def _announce(answer: Answer, index: int, item: Body) -> None:
    kind = _kind(item)
    if kind.endswith("_call"):
        answer.call(index, _call_id(item), _name(item), server_side=kind in _SERVER_SIDE)
    elif kind == "message" and answer.text is not None:
        answer.say("\n")


def _call(answer: Answer, index: int, item: Body) -> None:
    """Read a call that is complete, and what it returned if the provider ran it."""
    kind = _kind(item)
    if not kind.endswith("_call"):
        return
    if not answer.has_arguments(index):
        _announce(answer, index, item)
        answer.argue(index, _arguments(item))
    returned = item.get(_SERVER_SIDE.get(kind, "")) or item.get("error")
    if returned and not answer.has_result(_call_id(item)):
        content = _returned(kind, returned)
        failed = item.get("error") is not None or item.get("status") == "failed"
        answer.result(_call_id(item), _name(item), content, is_error=failed)


def _arguments(item: Body) -> str:
    wanted = next((item[key] for key in _ARGUMENTS if item.get(key)), "")
    return wanted if isinstance(wanted, str) else to_json(wanted, MAX_TEXT_CHARS)[0]


def _returned(kind: str, value: object) -> str:
    if kind == "image_generation_call":
        return described("image", encoded_size(string(value) or ""))
    if isinstance(value, list) and kind == "code_interpreter_call":
        # [{"type": "logs", "logs": ...}, {"type": "image", "url": ...}]
        parts = [string(mapping(part).get("logs")) or text_of(part) for part in value]
        return "\n".join(parts)
    return text_of(value) if not isinstance(value, dict) else to_json(value, MAX_TEXT_CHARS)[0]


class ResponsesConversation:
    """Responses over a WebSocket, for which see `conversation`: each request says all it wants."""

    def ask(self, value: Body, size: int) -> Asked | None:
        """Return the request that a message is: to respond, or to steer what is under way."""
        if value.get("type") == "response.create":
            return Asked(
                body=value, size=size, lane=string(value.get("stream_id"), MAX_NAME_CHARS) or ""
            )
        if value.get("type") == "response.steer":
            return Asked(body=value, size=size, lane=None)
        return None

    def ahead(self, value: Body, size: int) -> Asked | None:
        """Return nothing: requests say it all."""
        return None

    def unasked(self, *, is_over: bool = False) -> Asked | None:
        """Return nothing: a server only answers what it was asked."""
        return None

    def answer(self, value: Body) -> Place | None:
        """Return which answer an event is of; those of steering are of none."""
        kind = _kind(value)
        if kind != "error" and (not kind.startswith("response.") or kind.startswith(_STEERING)):
            return None
        response = mapping(value.get("response"))
        lane = string(value.get("stream_id"), MAX_NAME_CHARS) or ""
        return Place(lane=lane, id=string(response.get("id"), MAX_NAME_CHARS))


_STEERING = "response.steer."
