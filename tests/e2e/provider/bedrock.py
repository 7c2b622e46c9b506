"""Bedrock's converse, and invoke of a model of Anthropic's, both streamed as AWS frames.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
.../API_runtime_ConverseStream.html and .../API_runtime_InvokeModelWithResponseStream.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from aiohttp import web

from tests.e2e.answers import Tokens
from tests.e2e.provider.anthropic import anthropic_answer, anthropic_events
from tests.e2e.provider.replies import Json, Reply, pieces, reply, reply_to
from tests.e2e.provider.sending import in_pieces, to_json, whole_or_cut
from tests.eventstream_wire import message, text

FRAMES = "application/vnd.amazon.eventstream"


def read(body: Json, model: str) -> Reply:
    """Decide the answer to the last turn of converse."""
    blocks = body["messages"][-1]["content"]
    results = [block["toolResult"]["content"] for block in blocks if "toolResult" in block]
    if results:
        return reply_to("\n".join(part["text"] for content in results for part in content), model)
    offered = body.get("toolConfig", {}).get("tools", ())
    prompt = "\n".join(block["text"] for block in blocks)
    return reply_to(prompt, model, (tool["toolSpec"]["name"] for tool in offered))


def usage(tokens: Tokens) -> Json:
    """Spell usage as converse does, which does not count cached tokens as input."""
    return {
        "inputTokens": tokens.input - tokens.cached,
        "outputTokens": tokens.output,
        "totalTokens": tokens.input + tokens.output,
        "cacheReadInputTokens": tokens.cached,
        "cacheWriteInputTokens": 0,
    }


def reason(answer: Reply) -> str:
    """Return why the model stopped."""
    return "tool_use" if answer.calls else "end_turn"


def spelled(answer: Reply) -> Json:
    """Return the whole answer of converse."""
    content: list[Json] = [{"text": answer.text}] if answer.text else []
    for call in answer.calls:
        used = {"toolUseId": call.id, "name": call.name, "input": json.loads(call.arguments)}
        content.append({"toolUse": used})
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason(answer),
        "usage": usage(answer.tokens),
        "metrics": {"latencyMs": 1},
    }


def converse_events(answer: Reply) -> Iterator[tuple[str, Json]]:
    """Yield the events of converse's stream with their names."""
    yield "messageStart", {"role": "assistant"}
    for piece in pieces(answer.text):
        yield "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}
    if answer.text:
        yield "contentBlockStop", {"contentBlockIndex": 0}
    for index, call in enumerate(answer.calls):
        place = {"contentBlockIndex": index}
        start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        yield "contentBlockStart", place | {"start": start}
        for piece in pieces(call.arguments):
            yield "contentBlockDelta", place | {"delta": {"toolUse": {"input": piece}}}
        yield "contentBlockStop", place
    yield "messageStop", {"stopReason": reason(answer)}
    yield "metadata", {"usage": usage(answer.tokens), "metrics": {"latencyMs": 1}}


def invoke_events(answer: Reply) -> Iterator[tuple[str, Json]]:
    """Yield the events of a model's own dialect, each wrapped as a chunk."""
    metrics = {
        "inputTokenCount": answer.tokens.input - answer.tokens.cached,
        "outputTokenCount": answer.tokens.output,
        "invocationLatency": 1,
        "firstByteLatency": 1,
    }
    for event in anthropic_events(answer):
        if event["type"] == "message_stop":
            event["amazon-bedrock-invocationMetrics"] = metrics
        yield "chunk", {"bytes": base64.b64encode(to_json(event).encode()).decode()}


def framed(events: Iterator[tuple[str, Json]]) -> Iterator[bytes]:
    """Yield events as AWS frames."""
    for name, told in events:
        headers = {
            ":event-type": name,
            ":content-type": "application/json",
            ":message-type": "event",
        }
        yield message(to_json(told).encode(), b"".join(text(*header) for header in headers.items()))


async def model(request: web.Request) -> web.StreamResponse:
    """POST /model/{model}/{operation}."""
    body, name = await request.json(), request.match_info["model"]
    operation = request.match_info["operation"]
    # A body for invoke has no model.
    answer = (
        read(body, name) if operation.startswith("converse") else reply({**body, "model": name})
    )
    if operation == "converse":
        return await whole_or_cut(request, answer, spelled(answer))
    if operation == "invoke":
        return await whole_or_cut(request, answer, anthropic_answer(answer))
    events = converse_events if operation == "converse-stream" else invoke_events
    return await in_pieces(request, answer, framed(events(answer)), FRAMES)
