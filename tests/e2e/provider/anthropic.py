"""Anthropic's messages, which Bedrock's invoke takes and gives too.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from aiohttp import web

from tests.e2e.answers import Tokens
from tests.e2e.provider.peers import remember
from tests.e2e.provider.replies import Json, Reply, pieces, reply
from tests.e2e.provider.sending import named_event, refusal, streamed, whole, whole_or_cut


def anthropic_usage(tokens: Tokens) -> Json:
    """Spell usage as Anthropic does, which does not count cached tokens as input."""
    return {
        "input_tokens": tokens.input - tokens.cached,
        "output_tokens": tokens.output,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
    }


def anthropic_answer(answer: Reply) -> Json:
    """Return the whole answer."""
    content: list[Json] = [{"type": "text", "text": answer.text}] if answer.text else []
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in answer.calls
    ]
    return {
        "id": "msg_0001",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": "tool_use" if answer.calls else "end_turn",
        "stop_sequence": None,
        "usage": anthropic_usage(answer.tokens),
    }


def anthropic_events(answer: Reply) -> Iterator[Json]:
    """Yield the events of a streamed answer."""
    finished = anthropic_answer(answer)
    blocks = finished["content"]
    opening = finished | {"content": [], "stop_reason": None}
    opening["usage"] = finished["usage"] | {"output_tokens": 1}

    start: Json

    def event(kind: str, **fields: object) -> Json:
        return {"type": kind, **fields}

    yield event("message_start", message=opening)
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            start, kind, field, text = {"text": ""}, "text_delta", "text", block["text"]
        else:
            start, kind, field = {"input": {}}, "input_json_delta", "partial_json"
            text = answer.calls[index].arguments
        yield event("content_block_start", index=index, content_block=block | start)
        yield event("ping")
        for piece in pieces(text):
            yield event("content_block_delta", index=index, delta={"type": kind, field: piece})
        yield event("content_block_stop", index=index)
    ending = {"stop_reason": finished["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=ending, usage={"output_tokens": answer.tokens.output})
    yield event("message_stop")


async def anthropic_messages(request: web.Request) -> web.StreamResponse:
    """POST /v1/messages."""
    body = await request.json()
    answer = reply(body)
    remember(request, answer)
    if error := refusal(answer.prompt):
        status, kind, message = error
        return whole(
            request, {"type": "error", "error": {"type": kind, "message": message}}, status
        )
    if body.get("stream"):
        events = map(named_event, anthropic_events(answer))
        return await streamed(request, answer, events)
    return await whole_or_cut(request, answer, anthropic_answer(answer))
