"""Images and sounds: what is asked for is told, what is sent and made is described by its size.

Requests with a file are forms, of which `requests` makes the same mapping that JSON gives. A
transcript comes as JSON, as plain text or as events; speech as bytes or as events.
Left out: words and segments with their times, and speakers.
Source: https://platform.openai.com/docs/api-reference/images and .../audio
"""

from __future__ import annotations

from collections.abc import Mapping

from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import (
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ModelRequest,
    described,
    encoded_size,
    params_of,
    text_of,
)
from busted.classifier.foreign import items, mapping, string
from busted.classifier.openai_responses import usage_of

Body = Mapping[str, object]

# Formats of a transcript that are text: "json, text, srt, verbose_json, or vtt".
_TEXT_TYPES = ("text/", "application/x-subrip")


def is_image_request(body: Body) -> bool:
    """Tell whether a body sent to a path of images, at an unknown host, asks for some."""
    return isinstance(body.get("prompt"), str) and not body.keys().isdisjoint(("model", "size"))


def is_speech_request(body: Body) -> bool:
    """Tell whether a body sent to the path of speech, at an unknown host, asks for some."""
    return all(isinstance(body.get(key), str) for key in ("model", "input", "voice"))


def is_transcription_request(body: Body) -> bool:
    """Tell whether a form sent to a path of transcripts, at an unknown host, asks for one."""
    return string(body.get("model")) is not None and "file" in body


def read_request(body: Body) -> ModelRequest:
    """Return what a request says, and which files come with it."""
    parts = [body.get(key) for key in ("prompt", "input", "image", "mask", "file")]
    asked = "\n".join(filter(None, map(text_of, parts)))
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        system_prompt=string(body.get("instructions"), MAX_TEXT_CHARS),
        user_message=asked[:MAX_TEXT_CHARS] or None,
        # Speech streams by another name: {"stream_format": "sse"}.
        stream=body.get("stream") in (True, "true") or body.get("stream_format") == "sse",
        params=params_of(body),
        truncated=len(asked) > MAX_TEXT_CHARS,
    )


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer in JSON: images, or a transcript."""
    _head(answer, body)
    answer.say(body.get("text"))
    images = [_image(mapping(image)) for image in items(body.get("data"))]
    answer.say("\n".join(images))
    answer.finished = True


def read_bytes(answer: Answer, media_type: str, data: bytes, size: int) -> None:
    """Read an answer that is no JSON, of `size` bytes of which `data` was kept."""
    if media_type.startswith(_TEXT_TYPES):
        answer.say(data.decode("utf-8", "replace"))
    else:
        answer.say(described(media_type or "unknown", size))
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one event of a streamed transcript, image or speech, told apart by their types."""
    _head(answer, body)
    kind = string(body.get("type")) or ""
    if kind == "transcript.text.delta":
        answer.say(body.get("delta"))
    elif kind == "transcript.text.done" and answer.text is None:
        answer.say(body.get("text"))
    elif kind in ("image_generation.completed", "image_edit.completed"):
        answer.say(_image(body))
    elif kind == "speech.audio.delta":
        answer.started = True
    answer.finished = answer.error is not None or kind.endswith((".done", ".completed"))


def _image(image: Body) -> str:
    """Return how the provider worded what it painted, and what stands for the image."""
    data = string(image.get("b64_json"))
    shown = described("image", encoded_size(data) if data else None)
    return "\n".join(filter(None, (string(image.get("revised_prompt"), MAX_TEXT_CHARS), shown)))


def _head(answer: Answer, body: Body) -> None:
    answer.model = answer.model or string(body.get("model"), MAX_NAME_CHARS)
    answer.error = answer.error or error_of(body)
    answer.usage = usage_of(body) or answer.usage
