"""Cohere's chat in both versions.

Source: https://docs.cohere.com/reference/chat, .../chat-stream and .../chat-v1
"""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from tests.e2e.answers import Tokens
from tests.e2e.provider.openai_chat import openai_call
from tests.e2e.provider.replies import Json, Reply, pieces, reply, reply_to
from tests.e2e.provider.sending import in_pieces, named_event, streamed, to_json, whole_or_cut


def tokens(counted: Tokens) -> Json:
    """Spell the counts as both versions do."""
    return {"input_tokens": counted.input, "output_tokens": counted.output}


def usage(counted: Tokens) -> Json:
    """Spell usage as version 2 does."""
    units = tokens(counted)
    return {"billed_units": units, "tokens": units, "cached_tokens": counted.cached}


def reason(answer: Reply) -> str:
    """Return why the model stopped."""
    return "TOOL_CALL" if answer.calls else "COMPLETE"


def spelled(answer: Reply) -> Json:
    """Return the whole answer of version 2."""
    message: Json = {"role": "assistant", "content": [{"type": "text", "text": answer.text}]}
    if answer.calls:
        message = {"role": "assistant", "tool_calls": [openai_call(call) for call in answer.calls]}
    return {
        "id": "0001",
        "finish_reason": reason(answer),
        "message": message,
        "usage": usage(answer.tokens),
    }


def events(answer: Reply) -> Iterator[Json]:
    """Yield the events of version 2's stream."""

    def event(kind: str, message: Json, index: int = 0) -> Json:
        return {"type": kind, "index": index, "delta": {"message": message}}

    opening = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
    yield {"type": "message-start", "id": "0001", "delta": {"message": opening}}
    if answer.text:
        yield event("content-start", {"content": {"type": "text", "text": ""}})
        for piece in pieces(answer.text):
            yield event("content-delta", {"content": {"text": piece}})
        yield {"type": "content-end", "index": 0}
    for index, call in enumerate(answer.calls):
        begun = openai_call(call._replace(arguments=""))
        yield event("tool-call-start", {"tool_calls": begun}, index)
        for piece in pieces(call.arguments):
            part = {"tool_calls": {"function": {"arguments": piece}}}
            yield event("tool-call-delta", part, index)
        yield {"type": "tool-call-end", "index": index}
    delta = {"finish_reason": reason(answer), "usage": usage(answer.tokens)}
    yield {"type": "message-end", "id": "0001", "delta": delta}


async def chat(request: web.Request) -> web.StreamResponse:
    """POST /v2/chat."""
    body = await request.json()
    answer = reply(body)
    if body.get("stream"):
        return await streamed(request, answer, map(named_event, events(answer)))
    return await whole_or_cut(request, answer, spelled(answer))


def spelled_v1(answer: Reply) -> Json:
    """Return the whole answer of version 1."""
    return {
        "response_id": "0001",
        "generation_id": "0002",
        "text": answer.text,
        "chat_history": [],
        "finish_reason": reason(answer),
        "meta": {"api_version": {"version": "1"}, "tokens": tokens(answer.tokens)},
    }


def events_v1(answer: Reply) -> Iterator[Json]:
    """Yield the lines of version 1's stream."""
    yield {"is_finished": False, "event_type": "stream-start", "generation_id": "0002"}
    for piece in pieces(answer.text):
        yield {"is_finished": False, "event_type": "text-generation", "text": piece}
    ending = {"finish_reason": reason(answer), "response": spelled_v1(answer)}
    yield {"is_finished": True, "event_type": "stream-end", **ending}


async def chat_v1(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat."""
    body = await request.json()
    answer = reply_to(body["message"], body["model"])
    if body.get("stream"):
        lines = (f"{to_json(event)}\n".encode() for event in events_v1(answer))
        return await in_pieces(request, answer, lines, "application/stream+json")
    return await whole_or_cut(request, answer, spelled_v1(answer))
