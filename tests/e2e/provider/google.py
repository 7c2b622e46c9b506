"""Google's generateContent, of Gemini's API and of Vertex AI.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from aiohttp import web

from tests.e2e.answers import Tokens
from tests.e2e.provider.replies import Json, Reply, pieces, reply_to
from tests.e2e.provider.sending import data_event, in_pieces, streamed, whole_or_cut


def read(body: Json, model: str) -> Reply:
    """Decide the answer to the last turn."""
    parts = body["contents"][-1]["parts"]
    results = [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]
    if results:
        return reply_to("\n".join(result["output"] for result in results), model)
    offered = [f for tool in body.get("tools", ()) for f in tool["functionDeclarations"]]
    prompt = "\n".join(part["text"] for part in parts)
    return reply_to(prompt, model, (function["name"] for function in offered))


def usage(tokens: Tokens) -> Json:
    """Spell usage as this dialect does."""
    return {
        "promptTokenCount": tokens.input,
        "candidatesTokenCount": tokens.output,
        "cachedContentTokenCount": tokens.cached,
        "totalTokenCount": tokens.input + tokens.output,
    }


def chunk(answer: Reply, parts: list[Json], *, last: bool) -> Json:
    """Return an answer, or one piece of it."""
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    told: Json = {"candidates": [candidate], "modelVersion": answer.model, "responseId": "0001"}
    if last:
        candidate["finishReason"] = "STOP"
        told["usageMetadata"] = usage(answer.tokens)
    return told


def calls(answer: Reply) -> list[Json]:
    """Return the parts that call functions."""
    return [
        {"functionCall": {"id": call.id, "name": call.name, "args": json.loads(call.arguments)}}
        for call in answer.calls
    ]


def chunks(answer: Reply) -> Iterator[Json]:
    """Yield the pieces of a streamed answer."""
    for piece in pieces(answer.text):
        yield chunk(answer, [{"text": piece}], last=False)
    for part in calls(answer):
        yield chunk(answer, [part], last=False)
    yield chunk(answer, [{"text": ""}], last=True)


def growing(told: Iterable[Json]) -> Iterator[bytes]:
    """Yield a JSON array piece by piece, as streams come to those who do not ask for SSE."""
    for place, one in enumerate(told):
        yield f"{',' if place else '['}{json.dumps(one, ensure_ascii=False, indent=2)}\r\n".encode()
    yield b"]"


async def generate(request: web.Request) -> web.StreamResponse:
    """POST .../models/{model}:generateContent or :streamGenerateContent."""
    answer = read(await request.json(), request.match_info["model"])
    if request.match_info["method"] == "generateContent":
        parts = calls(answer) or [{"text": answer.text}]
        return await whole_or_cut(request, answer, chunk(answer, parts, last=True))
    if request.query.get("alt") == "sse":
        return await streamed(request, answer, map(data_event, chunks(answer)))
    return await in_pieces(request, answer, growing(chunks(answer)), "application/json")
