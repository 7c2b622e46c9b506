"""Anthropic's text completions, which messages replaced: one text with turns marked in it.

Source: https://docs.anthropic.com/en/api/complete
"""

from __future__ import annotations

from collections.abc import Mapping

from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import MAX_NAME_CHARS, MAX_TEXT_CHARS, ModelRequest, params_of
from busted.classifier.foreign import integer, string

Body = Mapping[str, object]


def is_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, asks for a text."""
    return isinstance(body.get("prompt"), str) and (
        integer(body.get("max_tokens_to_sample")) is not None or "model" in body
    )


def read_request(body: Body) -> ModelRequest:
    """Return what a request says; its turns stay in one text, as the client wrote them."""
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        user_message=string(body.get("prompt"), MAX_TEXT_CHARS),
        stream=body.get("stream") is True,
        params=params_of(body),
        truncated=len(string(body.get("prompt")) or "") > MAX_TEXT_CHARS,
    )


def is_answer(body: Body) -> bool:
    """Tell whether a body or stream event of unknown origin is a completion."""
    return body.get("type") == "completion" and isinstance(body.get("completion"), str)


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer that came whole."""
    _read(answer, body)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one event of a streamed answer, which is shaped as the whole one is."""
    _read(answer, body)
    # Only the last event has a reason to stop; pings have nothing.
    answer.finished = answer.finish_reason is not None or answer.error is not None


def _read(answer: Answer, body: Body) -> None:
    answer.model = answer.model or string(body.get("model"), MAX_NAME_CHARS)
    answer.error = answer.error or error_of(body)
    answer.say(body.get("completion"))
    answer.finish_reason = string(body.get("stop_reason"), MAX_NAME_CHARS)
