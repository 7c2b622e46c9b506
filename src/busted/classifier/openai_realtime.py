"""OpenAI's realtime conversations: JSON messages over a WebSocket.

Strategy: what the client adds to a conversation and sets for it is a request when it asks for a
response, or when the server responds unasked to what it heard. The events of an answer are those of
`openai_responses`, with names of their own for what is spoken, of which the transcript is told.
A message by itself, without the conversation, is told as far as it goes.
Left out: sound itself, what is heard in it, and sessions that only transcribe or translate.
Source: https://platform.openai.com/docs/api-reference/realtime-client-events and
.../realtime-server-events
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from busted.classifier import openai_responses
from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import MAX_NAME_CHARS, ModelRequest, described, encoded_size
from busted.classifier.collect import MAX_BODY_BYTES
from busted.classifier.conversation import Asked, Place, Said
from busted.classifier.foreign import items, mapping, string

Body = Mapping[str, object]

# What a client sends, and where the message has what is said or set.
_SAYING = {
    "session.update": "session",
    "conversation.item.create": "item",
    "response.create": "response",
}
_SETTINGS = ("instructions", "tools", "modalities", "output_modalities", "audio", "voice")
# Settings of a session that hold for each response, beside those.
_KEPT = (*_SETTINGS, "model", "temperature", "tool_choice", "max_output_tokens", "reasoning")

# The names of 2025-08 and those before.
_TEXT_DELTAS = (
    "response.text.delta",
    "response.output_audio_transcript.delta",
    "response.audio_transcript.delta",
)
_SOUND_DELTAS = ("response.output_audio.delta", "response.audio.delta")


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
    """Tell whether a message is a complete answer, or a piece that only this dialect has."""
    told = mapping(body.get("response"))
    if body.get("type") == "response.done":
        return told.get("object") == "realtime.response"
    return is_piece(body)


def is_piece(body: Body) -> bool:
    """Tell a message of which others bring the rest."""
    return body.get("type") in (*_TEXT_DELTAS, *_SOUND_DELTAS)


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
    """Read one message of an answer; the last one repeats all the pieces before it."""
    kind = body.get("type")
    if kind == "response.done":
        read_answer(answer, body)
    elif kind in _TEXT_DELTAS:
        answer.say(body.get("delta"))
    elif kind in _SOUND_DELTAS:
        answer.started = True
    elif kind == "error":
        answer.error = error_of(body)
        answer.finished = True
    else:
        openai_responses.read_event(answer, data, body)


class RealtimeConversation:
    """A realtime conversation, for which see `conversation`; `model` is what the URL names."""

    def __init__(self, model: str | None) -> None:
        self._session: dict[str, object] = {"model": model} if model else {}
        self._said = Said()

    def ask(self, value: Body, size: int) -> Asked | None:
        """Take what a message adds or sets; return the request if it asks for a response."""
        self._said.size += size
        match value.get("type"):
            case "session.update" if size <= MAX_BODY_BYTES:
                session = mapping(value.get("session"))
                self._session |= {key: session[key] for key in _KEPT if key in session}
            case "conversation.item.create":
                self._said.add(mapping(value.get("item")), size)
            case "input_audio_buffer.append":
                self._said.media += encoded_size(string(value.get("audio")) or "")
            case "input_audio_buffer.clear":
                self._said.media = 0
            case "response.create":
                return self._asked(mapping(value.get("response")))
        return None

    def ahead(self, value: Body, size: int) -> Asked | None:
        """Return what a message adds to the conversation or sets for it."""
        added: list[object] = []
        if value.get("type") == "conversation.item.create":
            added.append(mapping(value.get("item")))
        elif value.get("type") != "session.update" or not is_request(value):
            return None
        return self._request({}, added, size, truncated=size > MAX_BODY_BYTES)

    def unasked(self, *, is_over: bool = False) -> Asked | None:
        """Return what was said or heard; what was only heard is no request if nobody answers it."""
        said = self._said
        return self._asked({}) if said.items or (said.media and not is_over) else None

    def answer(self, value: Body) -> Place | None:
        """Return which answer an event is of."""
        kind = string(value.get("type")) or ""
        if kind in ("session.created", "session.updated"):
            session = mapping(value.get("session"))
            if model := string(session.get("model"), MAX_NAME_CHARS):
                self._session["model"] = model
        if kind == "error":
            return Place(apart=True)  # a response that began and failed has a last event too
        if not kind.startswith("response."):
            return None
        response_id = value.get("response_id") or mapping(value.get("response")).get("id")
        return Place(id=string(response_id, MAX_NAME_CHARS))

    def _asked(self, response: Body) -> Asked:
        said, self._said = self._said, Said()
        added = [*said.items, *items(response.get("input"))]
        if said.media:
            added.append({"role": "user", "content": described("audio", said.media)})
        return self._request(response, added, said.size, truncated=said.is_cut)

    def _request(self, response: Body, added: list[object], size: int, *, truncated: bool) -> Asked:
        told = {**self._session, **response, "input": added}
        body = {"type": "response.create", "response": told}
        return Asked(body=body, size=size, truncated=truncated)
