"""OpenAI's realtime conversations, in text.

Source: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

from aiohttp import web

from tests.e2e.provider.openai_responses import usage
from tests.e2e.provider.replies import Json, Reply, pieces, reply_to
from tests.e2e.provider.sending import to_json

SESSION: Json = {"id": "sess_0001", "object": "realtime.session", "type": "realtime"}


async def realtime(request: web.Request) -> web.StreamResponse:
    """GET /v1/realtime: answers each message when a response is asked for."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)

    async def send(kind: str, **fields: object) -> None:
        await socket.send_str(to_json({"type": kind, "event_id": "event_0001", **fields}))

    await send("session.created", session=SESSION)
    asked = ""
    async for message in socket:
        told = message.json()
        if told["type"] == "session.update":
            await send("session.updated", session=SESSION | told["session"])
        elif told["type"] == "conversation.item.create":
            item = told["item"]
            asked = "\n".join(part["text"] for part in item["content"])
            await send("conversation.item.added", previous_item_id=None, item=item)
        elif told["type"] == "response.create":
            answer = reply_to(asked, request.query["model"])
            await send("response.created", response=response(answer, "in_progress"))
            place = {"response_id": "resp_0001", "item_id": "item_0001", "output_index": 0}
            for piece in pieces(answer.text):
                await send("response.output_text.delta", **place, content_index=0, delta=piece)
            await send("response.output_text.done", **place, content_index=0, text=answer.text)
            await send("response.done", response=response(answer, "completed"))
    return socket


def response(answer: Reply, status: str) -> Json:
    """Return an answer that is begun or completed."""
    item = {
        "id": "item_0001",
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [{"type": "output_text", "text": answer.text}],
    }
    completed = status == "completed"
    return {
        "object": "realtime.response",
        "id": "resp_0001",
        "status": status,
        "status_details": None,
        "output": [item] if completed else [],
        "output_modalities": ["text"],
        "usage": usage(answer.tokens) if completed else None,
    }
