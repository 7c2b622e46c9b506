"""Google's live sessions (BidiGenerateContent): JSON messages over a WebSocket.

Strategy: the first message sets the session up, the next ones bring turns, what tools returned, or
sound as it is recorded. A turn that is complete asks for an answer, as does a tool's result; to
sound the server answers unasked. All of it is told as a request of `google` would say it.
Left out: sound and video themselves, and the transcript of what was heard.
Source: https://ai.google.dev/api/live; `LiveClientMessage` and `LiveServerMessage` of
google-genai's types.py
"""

from __future__ import annotations

from collections.abc import Mapping

from busted.classifier import google
from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import MAX_NAME_CHARS, ModelRequest, described, encoded_size
from busted.classifier.collect import MAX_BODY_BYTES
from busted.classifier.conversation import Asked, Place, Said
from busted.classifier.foreign import items, mapping, string

Body = Mapping[str, object]

# Clients write names as JSON has them or as Protocol Buffers do.
_SETUP = {
    "model": ("model",),
    "generationConfig": ("generationConfig", "generation_config"),
    "systemInstruction": ("systemInstruction", "system_instruction"),
    "tools": ("tools",),
}
_MEDIA = ("audio", "video")


def is_setup(body: Body) -> bool:
    """Tell the message that opens a session, wherever it is sent."""
    model = string(mapping(body.get("setup")).get("model")) or ""
    return len(body) == 1 and "models/" in model


def is_answer(body: Body) -> bool:
    """Tell whether a message brings something that the model says or asks for."""
    content = mapping(body.get("serverContent"))
    return isinstance(mapping(content.get("modelTurn")).get("parts"), list) or bool(_calls(body))


def is_piece(body: Body) -> bool:
    """Tell a message of which others bring the rest."""
    return "serverContent" in body and "turnComplete" not in mapping(body.get("serverContent"))


def read_request(body: Body) -> ModelRequest:
    """Return what a request says, or the message that opens a session."""
    return google.read_request(mapping(body.get("setup")) or body)


def read_answer(answer: Answer, body: Body) -> None:
    """Read a message by itself."""
    read_event(answer, "", body)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one message of an answer, which ends when the turn does or a tool is called."""
    content = mapping(body.get("serverContent"))
    for part in google.parts_of(mapping(content.get("modelTurn"))):
        if "inlineData" in part:
            answer.started = True
        else:
            google.say(answer, part)
    answer.say(mapping(content.get("outputTranscription")).get("text"))
    for call in _calls(body):
        google.say(answer, {"functionCall": call})
        answer.finished = True
    answer.usage = google.usage_of(body) or answer.usage
    answer.error = answer.error or error_of(body)
    if content.get("interrupted") is True:
        answer.finish_reason = "interrupted"
    if content.get("turnComplete") is True:
        reason = string(content.get("turnCompleteReason"), MAX_NAME_CHARS)
        answer.finish_reason = answer.finish_reason or reason or "turn_complete"
        answer.finished = True


def _calls(body: Body) -> list[Body]:
    return [mapping(call) for call in items(mapping(body.get("toolCall")).get("functionCalls"))]


def _spoken(text: str) -> Body:
    return {"role": "user", "parts": [{"text": text}]}


def _named(body: Body, name: str, other: str) -> Body:
    return mapping(body.get(name) or body.get(other))


class LiveConversation:
    """A live session, for which see `conversation`."""

    def __init__(self) -> None:
        self._setup: dict[str, object] = {}
        self._said = Said()

    def ask(self, value: Body, size: int) -> Asked | None:
        """Take what a message says or sets; return the request if an answer is asked for."""
        self._said.size += size
        if setup := mapping(value.get("setup")):
            if size <= MAX_BODY_BYTES:
                self._set_up(setup)
        elif content := _named(value, "clientContent", "client_content"):
            for turn in items(content.get("turns")):
                self._said.add(turn, size)
                size = 0
            if content.get("turnComplete", content.get("turn_complete")) is True:
                return self._asked()
        elif response := _named(value, "toolResponse", "tool_response"):
            results = response.get("functionResponses") or response.get("function_responses")
            parts = [{"functionResponse": result} for result in items(results)]
            self._said.add({"role": "user", "parts": parts}, size)
            return self._asked()
        elif heard := _named(value, "realtimeInput", "realtime_input"):
            self._hear(heard, size)
        return None

    def ahead(self, value: Body, size: int) -> Asked | None:
        """Return what a message adds to the session or sets for it; of sound nothing."""
        turns: list[object] = []
        if content := _named(value, "clientContent", "client_content"):
            turns += items(content.get("turns"))
        elif text := string(_named(value, "realtimeInput", "realtime_input").get("text")):
            turns.append(_spoken(text))
        elif not mapping(value.get("setup")):
            return None
        body = {**self._setup, "contents": turns}
        return Asked(body=body, size=size, truncated=size > MAX_BODY_BYTES)

    def unasked(self, *, is_over: bool = False) -> Asked | None:
        """Return what was said or heard; what was only heard is no request if nobody answers it."""
        said = self._said
        return self._asked() if said.items or (said.media and not is_over) else None

    def answer(self, value: Body) -> Place | None:
        """Return which answer a message is of: there is only one at a time."""
        content = mapping(value.get("serverContent"))
        begins = bool(_calls(value)) or not content.keys().isdisjoint(
            ("modelTurn", "outputTranscription")
        )
        if not (begins or "usageMetadata" in value) and content.keys().isdisjoint(
            ("turnComplete", "interrupted")
        ):
            return None
        return Place(begins=begins)

    def _set_up(self, setup: Body) -> None:
        for name, spellings in _SETUP.items():
            found = next((setup[key] for key in spellings if key in setup), None)
            if found is not None:
                self._setup[name] = found

    def _hear(self, heard: Body, size: int) -> None:
        if text := string(heard.get("text")):
            self._said.add(_spoken(text), size)
        chunks = items(heard.get("mediaChunks") or heard.get("media_chunks"))
        for chunk in (*chunks, *(heard.get(kind) for kind in _MEDIA)):
            self._said.media += encoded_size(string(mapping(chunk).get("data")) or "")

    def _asked(self) -> Asked:
        said, self._said = self._said, Said()
        turns = said.items
        if said.media:
            turns.append(_spoken(described("media", said.media)))
        body = {**self._setup, "contents": turns}
        return Asked(body=body, size=said.size, truncated=said.is_cut)
