"""OpenAI's embeddings, moderations, images, speech and transcripts.

Source: https://platform.openai.com/docs/api-reference/embeddings, .../moderations, .../images
and .../audio
"""

from __future__ import annotations

import base64
import struct

from aiohttp import web

from tests.e2e.answers import DIMENSIONS, SPOKEN, expected_answer, expected_tokens
from tests.e2e.provider.replies import CREATED
from tests.e2e.provider.sending import whole

# It begins as a PNG does.
IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(25)


async def embeddings(request: web.Request) -> web.StreamResponse:
    """POST /v1/embeddings: a vector for each text, in base64 where that is asked for."""
    body = await request.json()
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vector: object = [0.5] * DIMENSIONS
    if body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *[0.5] * DIMENSIONS)).decode()
    rows = [{"object": "embedding", "index": i, "embedding": vector} for i in range(len(texts))]
    counted = expected_tokens("\n".join(texts)).input
    usage = {"prompt_tokens": counted, "total_tokens": counted}
    answer = {"object": "list", "data": rows, "model": body["model"], "usage": usage}
    return whole(request, answer)


async def moderations(request: web.Request) -> web.StreamResponse:
    """POST /v1/moderations: everything is a threat."""
    body = await request.json()
    categories = {"harassment": False, "violence": True}
    result = {
        "flagged": True,
        "categories": categories,
        "category_scores": {name: float(flag) for name, flag in categories.items()},
        "category_applied_input_types": {name: ["text"] for name in categories},
    }
    return whole(request, {"id": "modr-0001", "model": body["model"], "results": [result]})


async def images(request: web.Request) -> web.StreamResponse:
    """POST /v1/images/generations: an image, and how the model worded the prompt."""
    body = await request.json()
    worded = expected_answer(body["prompt"])
    image = {"b64_json": base64.b64encode(IMAGE).decode(), "revised_prompt": worded}
    return whole(request, {"created": CREATED, "data": [image]})


async def speech(request: web.Request) -> web.StreamResponse:
    """POST /v1/audio/speech: sound, in pieces."""
    await request.json()
    response = web.StreamResponse(headers={"Content-Type": "audio/mpeg"})
    await response.prepare(request)
    for start in range(0, len(SPOKEN), 100):
        await response.write(SPOKEN[start : start + 100])
    return response


async def transcriptions(request: web.Request) -> web.StreamResponse:
    """POST /v1/audio/transcriptions: the answer to the prompt that came with the sound."""
    form = await request.post()
    return whole(request, {"text": expected_answer(str(form["prompt"]))})
