"""OpenAI's realtime conversations: JSON messages over a WebSocket, each judged by itself.

What the client adds to a conversation is told as it is added, what the model answered when it
is done, since that message repeats all the pieces before it.
Left out: sound and its buffers, what is heard in them, and the model (only the URL names it).
Source: https://platform.openai.com/docs/api-reference/realtime-client-events and
.../realtime-server-events
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from busted.classifier import openai_responses
from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import MAX_NAME_CHARS, ModelRequest
from busted.classifier.foreign import mapping, string

Body = Mapping[str, object]

# What a client sends, and where the message has what is said or set.
_SAYING = {
    "session.update": "session",
    "conversation.item.create": "item",
    "response.create": "response",
}
_SETTINGS = ("instructions", "tools", "modalities", "output_modalities", "audio", "voice")


def is_request(body: Body) -> bool:
    """Tell whether a message says something to the model, or how it shall answer."""
    kind = string(body.get("type")) or ""
    told = mapping(body.get(_SAYING.get(kind, "")))
    if kind == "conversation.item.create":
        return openai_responses.is_items([told])
    return not told.keys().isdisjoint(_SETTINGS)


def read_request(body: Body) -> ModelRequest:
    """Return what a message says."""
    told = mapping(body.get(_SAYING.get(string(body.get("type")) or "", "")))
    if body.get("type") == "conversation.item.create":
        told = {"input": [told]}
    return msgspec.structs.replace(openai_responses.read_request(told), stream=True)


def is_answer(body: Body) -> bool:
    """Tell whether a message is a complete answer."""
    told = mapping(body.get("response"))
    return body.get("type") == "response.done" and told.get("object") == "realtime.response"


def read_answer(answer: Answer, body: Body) -> None:
    """Read a complete answer; of what was spoken its transcript."""
    told = mapping(body.get("response"))
    openai_responses.read_answer(answer, told)
    # {"status": "failed", "status_details": {"type": "failed", "error": {"type", "code"}}}
    details = mapping(told.get("status_details"))
    answer.error = answer.error or error_of(details)
    reason = string(details.get("reason"), MAX_NAME_CHARS)
    answer.finish_reason = reason or answer.finish_reason


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read a message that came as an event: the complete answer, or nothing."""
    if is_answer(body):
        read_answer(answer, body)
