"""Requests that are answered in numbers: embeddings, which place a text, and moderations.

Vectors are counted, not shown; of a moderation the categories are told that it raised.
Source: https://platform.openai.com/docs/api-reference/embeddings and .../moderations
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
    encoded_size,
    params_of,
)
from busted.classifier.foreign import items, mapping, string
from busted.classifier.openai_completions import texts_of

Body = Mapping[str, object]

# "encoding_format: float or base64": four bytes a number, little-endian.
_BYTES_PER_NUMBER = 4


def is_request(body: Body) -> bool:
    """Tell whether a body sent to one of these paths, at an unknown host, is for a model."""
    return string(body.get("model")) is not None and isinstance(body.get("input"), str | list)


def read_request(body: Body) -> ModelRequest:
    """Return what a request says; several texts stand one a line."""
    asked = texts_of(body.get("input"))
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        user_message=asked[:MAX_TEXT_CHARS] or None,
        params=params_of(body),
        truncated=len(asked) > MAX_TEXT_CHARS,
    )


def is_embeddings(body: Body) -> bool:
    """Tell whether a body of unknown origin is a list of embeddings."""
    first = mapping(next(iter(items(body.get("data"))), None))
    return body.get("object") == "list" and first.get("object") == "embedding"


def read_embeddings(answer: Answer, body: Body) -> None:
    """Read an answer: how many vectors of how many dimensions."""
    _head(answer, body)
    found = [mapping(row).get("embedding") for row in items(body.get("data"))]
    if found:
        size = _dimensions(found[0])
        answer.say(described(f"{len(found)} embeddings of {size} dimensions"))


def _dimensions(vector: object) -> int:
    if isinstance(vector, str):
        return encoded_size(vector.rstrip("=")) // _BYTES_PER_NUMBER
    return len(items(vector))


def read_moderation(answer: Answer, body: Body) -> None:
    """Read an answer: for each input, what it was flagged as."""
    _head(answer, body)
    answer.say("\n".join(_judged(mapping(result)) for result in items(body.get("results"))))


def _judged(result: Body) -> str:
    raised = [name for name, flag in mapping(result.get("categories")).items() if flag is True]
    # Mistral's moderation flags categories and says nothing of the whole.
    if result.get("flagged") is not True and not raised:
        return described("not flagged")
    return described(f"flagged: {', '.join(raised)}")


def _head(answer: Answer, body: Body) -> None:
    answer.model = string(body.get("model"), MAX_NAME_CHARS)
    answer.error = error_of(body)
    answer.usage = openai.usage_of(body)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read an event where none is expected: at most it tells an error."""
    answer.error = answer.error or error_of(body)
