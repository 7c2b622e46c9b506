"""OpenAI's responses.

Source: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from tests.e2e.answers import Tokens
from tests.e2e.provider.replies import CREATED, Json, Reply, pieces, reply_to, text_of
from tests.e2e.provider.sending import named_event, streamed, to_json, whole_or_cut


def read(body: Json) -> Reply:
    """Decide the answer: to the results of tools at the end of the input, or to its last item."""
    given = body["input"]
    if isinstance(given, str):
        return reply_to(given, body["model"], names(body))
    outputs = [item["output"] for item in given if item.get("type") == "function_call_output"]
    if outputs:
        return reply_to("\n".join(map(text_of, outputs)), body["model"])
    return reply_to(text_of(given[-1]["content"]), body["model"], names(body))


def names(body: Json) -> list[str]:
    """Return the names of the functions that are offered; OpenAI's own tools have none."""
    return [tool["name"] for tool in body.get("tools") or () if "name" in tool]


def usage(tokens: Tokens) -> Json:
    """Spell usage as this dialect does."""
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.input + tokens.output,
    }


def items(answer: Reply) -> list[Json]:
    """Return what the model put out."""
    if answer.calls:
        return [
            {
                "id": f"fc_{call.id}",
                "type": "function_call",
                "status": "completed",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
            for call in answer.calls
        ]
    text = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    return [
        {
            "id": "msg_0001",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [text],
        }
    ]


def spelled(answer: Reply) -> Json:
    """Return the whole answer."""
    return {
        "id": "resp_0001",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": answer.model,
        "output": items(answer),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "metadata": {},
        "usage": usage(answer.tokens),
    }


def events(answer: Reply) -> Iterator[Json]:
    """Yield the events of a streamed answer, in their order but not yet numbered."""
    finished = spelled(answer)
    opening = finished | {"status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": opening}
    yield {"type": "response.in_progress", "response": opening}
    for index, item in enumerate(finished["output"]):
        place = {"item_id": item["id"], "output_index": index}
        begun = item | {"status": "in_progress"}
        if item["type"] == "message":
            (part,) = item["content"]
            place["content_index"] = 0
            added = {"type": "response.output_item.added", "output_index": index}
            yield added | {"item": begun | {"content": []}}
            empty = part | {"text": ""}
            yield {"type": "response.content_part.added", **place, "part": empty}
            for piece in pieces(part["text"]):
                delta = {"type": "response.output_text.delta", **place, "delta": piece}
                yield delta | {"logprobs": []}
            done = {"type": "response.output_text.done", **place, "text": part["text"]}
            yield done | {"logprobs": []}
            yield {"type": "response.content_part.done", **place, "part": part}
        else:
            added = {"type": "response.output_item.added", "output_index": index}
            yield added | {"item": begun | {"arguments": ""}}
            kind = "response.function_call_arguments"
            for piece in pieces(item["arguments"]):
                yield {"type": f"{kind}.delta", **place, "delta": piece}
            yield {"type": f"{kind}.done", **place, "arguments": item["arguments"]}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": finished}


async def responses(request: web.Request) -> web.StreamResponse:
    """POST /v1/responses."""
    body = await request.json()
    answer = read(body)
    if body.get("stream"):
        told = enumerate(events(answer))
        numbered = (named_event(event | {"sequence_number": i}) for i, event in told)
        return await streamed(request, answer, numbered)
    return await whole_or_cut(request, answer, spelled(answer))


async def websocket(request: web.Request) -> web.StreamResponse:
    """GET /v1/responses: answers each request with the events of a stream, as Codex has it."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    turn = 0
    async for message in socket:
        turn += 1
        for number, event in enumerate(events(read(message.json()))):
            told = to_json(event | {"sequence_number": number})
            # Those of one connection are told apart by their ids.
            await socket.send_str(told.replace("resp_0001", f"resp_{turn:04}"))
    return socket
