"""Legacy completions, a text to go on with, and Mistral's way to fill in the middle of one.

Mistral answers these as it answers chats, see `openai`.
Left out: log probabilities, and choices after the first.
Source: https://platform.openai.com/docs/api-reference/completions,
https://docs.mistral.ai/api/#tag/fim
"""

from __future__ import annotations

from collections.abc import Mapping

from busted.classifier import openai
from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import (
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ModelRequest,
    described,
    params_of,
    text_of,
)
from busted.classifier.foreign import items, mapping, string

Body = Mapping[str, object]


def is_request(body: Body) -> bool:
    """Tell whether a body sent to one of these paths, at an unknown host, asks for a text."""
    return string(body.get("model")) is not None and isinstance(body.get("prompt"), str | list)


def read_request(body: Body) -> ModelRequest:
    """Return what a request says; where the model writes between two texts, both."""
    prompt, suffix = texts_of(body.get("prompt")), string(body.get("suffix"))
    asked = f"{prompt}\n[to fill in]\n{suffix}" if suffix else prompt
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        user_message=asked[:MAX_TEXT_CHARS] or None,
        stream=body.get("stream") is True,
        params=params_of(body),
        truncated=len(asked) > MAX_TEXT_CHARS,
    )


def texts_of(value: object) -> str:
    """Return a text, or several one a line; tokens given as numbers are counted."""
    found = items(value)
    if found and isinstance(found[0], int):
        return described(f"{len(found)} tokens")
    if found and isinstance(found[0], list):
        return "\n".join(map(texts_of, found))
    return text_of(value)


def is_answer(body: Body) -> bool:
    """Tell whether a body or stream event of unknown origin is a completion."""
    return body.get("object") == "text_completion" and "choices" in body


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer that came whole."""
    _read(answer, body)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one event of a streamed answer, which is shaped as the whole one is."""
    if data.strip() == "[DONE]":
        answer.finished = True
    else:
        _read(answer, body)


def _read(answer: Answer, body: Body) -> None:
    answer.model = answer.model or string(body.get("model"), MAX_NAME_CHARS)
    answer.error = answer.error or error_of(body)
    answer.usage = openai.usage_of(body) or answer.usage
    for choice in map(mapping, items(body.get("choices"))):
        if choice.get("index", 0) == 0:
            answer.say(choice.get("text"))
            reason = string(choice.get("finish_reason"), MAX_NAME_CHARS)
            answer.finish_reason = reason or answer.finish_reason
