"""Ollama's chat and generate, whose streams are lines of JSON.

Source: https://docs.ollama.com/api/chat and .../api/generate
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from aiohttp import web

from tests.e2e.provider.replies import Json, Reply, pieces, reply, reply_to
from tests.e2e.provider.sending import in_pieces, to_json, whole_or_cut

Say = Callable[[str, list[Json]], Json]
"""How an operation spells a text and calls of tools."""


def _message(text: str, calls: list[Json]) -> Json:
    spelled: Json = {"role": "assistant", "content": text}
    return {"message": spelled | ({"tool_calls": calls} if calls else {})}


def _response(text: str, calls: list[Json]) -> Json:
    return {"response": text}


def line(answer: Reply, said: Json, *, last: bool) -> Json:
    """Return a line of a stream, or the whole answer; the last one has the counts."""
    told = {"model": answer.model, "created_at": "2026-01-01T00:00:00.000000Z", **said}
    if not last:
        return told | {"done": False}
    return told | {
        "done": True,
        "done_reason": "stop",
        "total_duration": 2,
        "load_duration": 1,
        "prompt_eval_count": answer.tokens.input,
        "prompt_eval_duration": 1,
        "eval_count": answer.tokens.output,
        "eval_duration": 1,
    }


def calls(answer: Reply) -> list[Json]:
    """Spell calls of tools, which have no ids."""
    return [
        {"function": {"name": call.name, "arguments": json.loads(call.arguments)}}
        for call in answer.calls
    ]


def lines(answer: Reply, say: Say) -> Iterator[Json]:
    """Yield the lines of a stream."""
    for piece in pieces(answer.text):
        yield line(answer, say(piece, []), last=False)
    for call in calls(answer):
        yield line(answer, say("", [call]), last=False)
    yield line(answer, say("", []), last=True)


async def send(request: web.Request, answer: Reply, body: Json, say: Say) -> web.StreamResponse:
    """Send an answer as it was asked for: streamed unless the request says no."""
    if body.get("stream", True):
        sent = (f"{to_json(told)}\n".encode() for told in lines(answer, say))
        return await in_pieces(request, answer, sent, "application/x-ndjson")
    return await whole_or_cut(
        request, answer, line(answer, say(answer.text, calls(answer)), last=True)
    )


async def chat(request: web.Request) -> web.StreamResponse:
    """POST /api/chat."""
    body = await request.json()
    return await send(request, reply(body), body, _message)


async def generate(request: web.Request) -> web.StreamResponse:
    """POST /api/generate."""
    body = await request.json()
    return await send(request, reply_to(body["prompt"], body["model"]), body, _response)
