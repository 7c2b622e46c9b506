"""Paths that name the model, where the body may not: Google's, Bedrock's, Azure's, Copilot's.

Strategy: of Google and Bedrock the last part of the path is a verb, and with it the dialect is
known, or the model is one that is served as its maker does: then the maker is in the path too.
Left out: models behind names that their owner chose (Bedrock's inference profiles): `bedrock`
says which dialect their bodies are written in.
Source: https://ai.google.dev/api, https://cloud.google.com/vertex-ai/docs/reference/rest and
https://docs.aws.amazon.com/bedrock/latest/APIReference
"""

from __future__ import annotations

import re

import msgspec

from busted.classifier.chat import MAX_NAME_CHARS


class Fetch(msgspec.Struct, frozen=True):
    """What a path fetches that was kept for later: an answer in a dialect, or a batch's results."""

    api: str | None = None


class Route(msgspec.Struct, frozen=True):
    """What a path tells; `api` unless its end does, `stream` if the answer comes in pieces."""

    api: str | None
    model: str | None = None
    stream: bool = False


# /v1beta/models/{model}:{verb}, /v1/projects/{p}/locations/{l}/publishers/{p}/models/{model}:{verb}
# and, for models that were tuned, .../endpoints/{id}:{verb} and /tunedModels/{model}:{verb}.
_GOOGLE = re.compile(
    r"/(?:publishers/(?P<publisher>[^/]{1,256})/)?(?:models|tunedModels|endpoints)"
    r"/(?P<model>[^/:]{1,256}):(?P<verb>[A-Za-z]{1,64})\Z"
)
_CODE_ASSIST = re.compile(r"/v1internal:(?P<verb>[A-Za-z]{1,64})\Z")
_GOOGLE_VERBS = {
    "generateContent": ("google.generate_content", False),
    "streamGenerateContent": ("google.generate_content", True),
    "countTokens": ("google.count_tokens", False),
    "embedContent": ("google.embed_content", False),
    "batchEmbedContents": ("google.embed_content", False),
}
# Of models that users trained themselves, at `endpoints`, nothing is known.
_PREDICTING = ("predict", "predictLongRunning")
_RAW_VERBS = {"rawPredict": False, "streamRawPredict": True}
# Mistral, Meta, AI21 and others are served with chat completions.
_PUBLISHERS = {"anthropic": "anthropic.messages", None: None, "google": None}

# /model/{modelId}/{verb}; a model's identifier may be an ARN, of up to 2,048 characters.
_BEDROCK_VERBS = {
    "invoke": (None, False),
    "invoke-with-response-stream": (None, True),
    "converse": ("bedrock.converse", False),
    "converse-stream": ("bedrock.converse", True),
    "count-tokens": ("bedrock.count_tokens", False),
}
# By what stands in the identifier of a model, e.g. "us.anthropic.claude-sonnet-4-20250514-v1:0".
_FAMILIES = (
    ("anthropic.claude", "anthropic.messages"),
    ("cohere.command-", "cohere.chat"),
    ("cohere.embed-", "cohere.embed"),
    ("cohere.rerank-", "cohere.rerank"),
    ("amazon.nova-", "bedrock.converse"),
    ("openai.gpt-", "openai.chat"),
    ("ai21.jamba-", "openai.chat"),
    ("mistral.pixtral-", "openai.chat"),
    ("qwen.qwen", "openai.chat"),
)

# Azure's deployments, Copilot's engines; the dialect is told by the end of the path.
_DEPLOYMENT = re.compile(
    r"/openai/deployments/([\w.:@-]{1,256})/|/v1/engines/([\w.:@-]{1,256})/completions\Z"
)


# OpenAI; Azure, where a deployment stands for the model.
_IN_QUERY = re.compile(r"[?&](?:model|deployment)=([^&#]{1,256})")


def find(path: str) -> Route | None:
    """Return what `path` tells of the model asked, None where it tells nothing."""
    if ":" in path and (match := _GOOGLE.search(path) or _CODE_ASSIST.search(path)):
        return _google(match)
    if "/model/" in path:
        before, _, verb = path.rpartition("/")
        _, _, model = before.partition("/model/")
        if model and verb in _BEDROCK_VERBS:
            return _bedrock(decoded(model[:2048]), verb)
    if ("/deployments/" in path or "/engines/" in path) and (match := _DEPLOYMENT.search(path)):
        return Route(None, match[1] or match[2])
    return None


def fetched(path: str) -> Fetch | None:
    """Return what a GET of `path` fetches, None where that is no answer of a model."""
    match = _FETCHED.search(path)
    return Fetch(_KEPT.get(match[1] or "")) if match else None


_FETCHED = re.compile(
    r"/(?:(responses|chat/completions)/[\w-]{1,256}"
    r"|messages/batches/[\w-]{1,256}/results|files/[\w-]{1,256}/content)\Z"
)
_KEPT = {"responses": "openai.responses", "chat/completions": "openai.chat"}


def in_query(target: str) -> str | None:
    """Return the model that the query of a target names, which opens a WebSocket."""
    match = _IN_QUERY.search(target)
    return decoded(match[1]) if match else None


def _google(match: re.Match[str]) -> Route | None:
    named = match.groupdict()
    verb, model = match["verb"], named.get("model")
    if verb in _GOOGLE_VERBS:
        api, stream = _GOOGLE_VERBS[verb]
        return Route(api, model and decoded(model), stream)
    if verb in _PREDICTING and model and "endpoints/" not in match[0]:
        return Route("google.predict", decoded(model))
    publisher = named.get("publisher")
    if publisher == "anthropic" and model == "count-tokens":  # its body names the model
        return Route("anthropic.messages.count_tokens")
    raw = _PUBLISHERS.get(publisher, "openai.chat")
    if verb in _RAW_VERBS and raw:
        return Route(raw, model and decoded(model), _RAW_VERBS[verb])
    return None


def _bedrock(model: str, verb: str) -> Route:
    # An inference profile's name follows its account: arn:aws:bedrock:{...}/us.anthropic.claude...
    name = model.rpartition("/")[2][:MAX_NAME_CHARS]
    api, stream = _BEDROCK_VERBS[verb]
    family = next((api for part, api in _FAMILIES if part in name), "bedrock.invoke")
    return Route(api or family, name, stream)


def decoded(name: str) -> str:
    """Return a name with what is percent-encoded in it decoded (RFC 3986 section 2.1)."""
    return _PERCENT.sub(lambda octet: chr(int(octet[1], 16)), name)


_PERCENT = re.compile("%([0-9a-fA-F]{2})")
