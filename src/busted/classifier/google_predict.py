"""Google's predict: models that take instances and give predictions (embeddings, Imagen, Veo).

The path names the model, see `routes`. What models take is theirs to define: the texts that
those of Google take are told, and of what they give the texts, and the rest described.
Left out: models that users trained and deployed themselves, which may be anything.
Source: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference, "text-embeddings-api"
and "imagen-api"
"""

from __future__ import annotations

from collections.abc import Mapping

from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import (
    MAX_MESSAGES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ModelRequest,
    described,
    encoded_size,
    params_of,
)
from busted.classifier.foreign import integer, items, mapping, string
from busted.events import Usage

Body = Mapping[str, object]

# Embeddings, Imagen and Veo, PaLM; multimodal embeddings say `text`.
_TEXTS = ("content", "prompt", "text")
_PARAMS = {
    "temperature": "temperature",
    "max_output_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "n": "sampleCount",
    "seed": "seed",
    "dimensions": "outputDimensionality",
}


def read_request(body: Body) -> ModelRequest:
    """Return what a request says: the texts of its instances."""
    instances = items(body.get("instances"))
    said = [_said(mapping(one)) for one in instances[:MAX_MESSAGES]]
    text = "\n".join(filter(None, said))
    config = mapping(body.get("parameters"))
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        user_message=text[:MAX_TEXT_CHARS] or None,
        params=params_of({ours: config.get(theirs) for ours, theirs in _PARAMS.items()}),
        truncated=len(text) > MAX_TEXT_CHARS or len(instances) > MAX_MESSAGES,
    )


def _said(instance: Body) -> str:
    texts = (string(instance.get(key)) for key in _TEXTS)
    return next(filter(None, texts), None) or ""


def read_answer(answer: Answer, body: Body) -> None:
    """Read the predictions."""
    answer.error = error_of(body)
    predictions = items(body.get("predictions"))
    told = list(filter(None, (_told(mapping(one)) for one in predictions)))
    counts = [_tokens(mapping(one)) for one in predictions]
    if any(count is not None for count in counts):
        answer.usage = Usage(input=sum(filter(None, counts)))
    answer.say("\n".join(dict.fromkeys(told)) if told else _described(predictions))
    answer.finished = True


def _told(prediction: Body) -> str:
    if text := string(prediction.get("content")):
        return text
    if data := string(prediction.get("bytesBase64Encoded")):
        kind = string(prediction.get("mimeType"), MAX_NAME_CHARS) or "image"
        return described(kind, encoded_size(data))
    return ""


def _described(predictions: object) -> str:
    count = len(items(predictions))
    return described(f"{count} prediction{'s' if count > 1 else ''}") if count else ""


def _tokens(prediction: Body) -> int | None:
    embedding = mapping(prediction.get("embeddings"))
    count = mapping(embedding.get("statistics")).get("token_count")
    # JSON of Protocol Buffers writes whole numbers as 5.0 at times.
    return int(count) if isinstance(count, float) and count.is_integer() else integer(count)


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read an event where none is expected: at most it tells an error."""
    answer.error = answer.error or error_of(body)
