"""Models that are called by gRPC: who is asked for what, how much is said, and how it ended.

Strategy: the path names service and method; a service here is one that only models have. The method
is the operation. What is said is Protocol Buffers, which cannot be read without their schema: it is
measured, and no text is told.

Left out: services of models that also serve any other (Triton's inference, Vertex AI's predictions
of models that their owner trained), and gRPC-Web as text.

Source: google-ai-generativelanguage, google-cloud-aiplatform and xai-sdk, whose stubs name the
paths; https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md for what ends a call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from busted.classifier.assembly import MAX_ERROR_CHARS, Answer
from busted.classifier.chat import MAX_NAME_CHARS, ModelRequest
from busted.classifier.foreign import string
from busted.classifier.routes import decoded
from busted.protocols import grpc
from busted.protocols.http import Headers, HttpRequest, header

Body = Mapping[str, object]

# service, without what it ends in for another version: dialect and methods, all of them if none
_SERVICES: tuple[tuple[str, str, str], ...] = (
    (r"google\.ai\.generativelanguage\.\w+\.(?:Generative|Prediction)Service", "google.grpc", ""),
    (r"google\.ai\.generativelanguage\.\w+\.(?:Text|Discuss)Service", "google.grpc", ""),
    (
        r"google\.cloud\.aiplatform\.\w+\.PredictionService",
        "google.grpc",
        "GenerateContent StreamGenerateContent EmbedContent",
    ),
    (r"google\.cloud\.aiplatform\.\w+\.LlmUtilityService", "google.grpc", ""),
    (
        r"xai_api\.(?:Chat|Sample|Embedder|Image|Video|Tokenize)",
        "xai.grpc",
        "GetCompletion GetCompletionChunk StartDeferredCompletion GetDeferredCompletion"
        " CompactContext SampleText SampleTextStreaming Embed GenerateImage GenerateVideo"
        " ExtendVideo GetDeferredVideo TokenizeText",
    ),
)
_CALLS = tuple(
    (re.compile(service), api, frozenset(methods.split())) for service, api, methods in _SERVICES
)
# What Vertex AI predicts with a model that Google or a partner publishes is of a model; what its
# users deploy may be anything.
_PREDICTIONS = re.compile(r"google\.cloud\.aiplatform\.\w+\.PredictionService")
_PUBLISHED = re.compile(r"/publishers/[^/]+/models/([^/&]{1,256})")

_STREAMING = re.compile(r"(?:Server)?Stream|Bidi|GetCompletionChunk\Z|SampleTextStreaming\Z")

# Google's clients repeat what of a request decides where it goes: "model=models/gemini-2.5-flash".
_ROUTING = "x-goog-request-params"
_MODEL = re.compile(r"(?:\A|&)model=(?:[^&]*/)?([^/&]{1,256})")

# https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
_STATUSES = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a model; `stream` when the answer consists of several messages."""

    api: str
    method: str
    model: str | None = None
    stream: bool = False


def find(head: HttpRequest) -> Call | None:
    """Return the call of a model that a request is, None when it is none."""
    if not grpc.is_grpc(header(head.headers, "content-type")):
        return None
    method = grpc.read_method(head.target)
    if method is None:
        return None
    routing = decoded(header(head.headers, _ROUTING) or "")
    published = _PUBLISHED.search(routing)
    named = published or _MODEL.search(routing)
    for service, api, methods in _CALLS:
        if service.fullmatch(method.service) and (
            not methods
            or method.name in methods
            or (published and _PREDICTIONS.fullmatch(method.service))
        ):
            return Call(
                api=api,
                method=method.name[:MAX_NAME_CHARS],
                model=named[1] if named else None,
                stream=_STREAMING.match(method.name) is not None,
            )
    return None


def read_request(body: Body) -> ModelRequest:
    """Return the model, which the head may name: what is said cannot be read."""
    return ModelRequest(model=string(body.get("model"), MAX_NAME_CHARS))


def read_answer(answer: Answer, body: Body) -> None:
    """Read nothing: what is said cannot be read."""


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Note that a message came, which is all that can be known of it."""
    answer.started = True


def read_bytes(answer: Answer, kind: str, data: bytes, size: int) -> None:
    """Note whether all that a call returned was seen."""
    parser = grpc.GrpcParser()
    messages = parser.feed(data)
    answer.started = bool(messages)
    answer.truncated |= any(message.truncated for message in parser.close())


def read_end(answer: Answer, headers: Headers) -> None:
    """Read how the call ended: in the trailers, or in the head of a call that was refused."""
    status = header(headers, "grpc-status") or ""
    if not status.isdecimal():
        return
    code = int(status[:3])
    name = _STATUSES[code] if code < len(_STATUSES) else status[:3]
    answer.finish_reason = name
    if code:
        # "Status-Message -> "grpc-message" {Percent-Encoded}"
        message = decoded(header(headers, "grpc-message") or "")
        octets = message.encode("latin-1", "replace").decode("utf-8", "replace")
        answer.error = ": ".join(filter(None, (name, octets)))[:MAX_ERROR_CHARS]
