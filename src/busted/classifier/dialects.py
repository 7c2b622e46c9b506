"""The dialects in which models are asked: one table, a row for each.

A row says which paths are its own, what its bodies look like where no path is known, and who
reads them. A new dialect is one module and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from busted.classifier import (
    anthropic,
    anthropic_batches,
    anthropic_complete,
    bedrock,
    cohere,
    google,
    google_live,
    google_predict,
    grpc_calls,
    ollama,
    openai,
    openai_completions,
    openai_files,
    openai_media,
    openai_realtime,
    openai_responses,
    openai_scores,
    routes,
)
from busted.classifier.assembly import Answer
from busted.classifier.chat import ModelRequest
from busted.classifier.event_framing import (
    Framing,
    GrpcMessages,
    JsonArray,
    JsonLines,
    ServerSentEvents,
)
from busted.protocols.http import Headers, HttpRequest

Body = Mapping[str, object]


def _never(body: Body) -> bool:
    return False


def _never_usual(answer: Answer, data: bytes) -> bool:
    return False


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One row; `operation` is OpenTelemetry's `gen_ai.operation.name` or, lacking one, a slug.

    `is_request` judges a body that came to one of `paths` at an unknown host, `is_distinct`
    one whose path and host are both unknown, `is_answer` a whole answer or a stream's event.
    `read_usual_event` is `read_event` for the bytes of events that only add text; it returns False,
    and has read nothing, if this is none of them.
    `is_piece` tells an event that is no answer when it comes alone, as over a WebSocket.
    `read_bytes` takes an answer that is no JSON: its media type, what was kept of it, its size;
    `read_end` the fields of its head and of its trailers, when it is over.
    `common_paths` are those that other services have too: alone they say nothing.
    `paths` are empty where the path names the model, see `routes`; `framing` is how its streams
    come where their content type does not say.
    """

    api: str
    operation: str
    paths: tuple[str, ...]
    read_request: Callable[[Body], ModelRequest]
    read_answer: Callable[[Answer, Body], None]
    read_event: Callable[[Answer, str, Body], None]
    is_request: Callable[[Body], bool]
    read_usual_event: Callable[[Answer, bytes], bool] = _never_usual
    is_distinct: Callable[[Body], bool] = _never
    is_answer: Callable[[Body], bool] = _never
    is_piece: Callable[[Body], bool] = _never
    read_bytes: Callable[[Answer, str, bytes, int], None] | None = None
    read_end: Callable[[Answer, Headers], None] | None = None
    common_paths: bool = False
    framing: Callable[[], Framing] = ServerSentEvents


def _media(api: str, operation: str, *paths: str, is_request: Callable[[Body], bool]) -> Dialect:
    return Dialect(
        api=api,
        operation=operation,
        paths=paths,
        read_request=openai_media.read_request,
        read_answer=openai_media.read_answer,
        read_event=openai_media.read_event,
        read_bytes=openai_media.read_bytes,
        is_request=is_request,
    )


def _grpc(api: str) -> Dialect:
    return Dialect(
        api=api,
        operation="",  # the method that is called
        paths=(),  # see `grpc_calls`
        read_request=grpc_calls.read_request,
        read_answer=grpc_calls.read_answer,
        read_event=grpc_calls.read_event,
        read_bytes=grpc_calls.read_bytes,
        read_end=grpc_calls.read_end,
        is_request=_never,
    )


DIALECTS = (
    Dialect(
        api="anthropic.messages",
        operation="chat",
        paths=("/v1/messages",),
        read_request=anthropic.read_request,
        read_answer=anthropic.read_answer,
        read_event=anthropic.read_event,
        read_usual_event=anthropic.read_usual_event,
        is_request=anthropic.is_request,
        is_distinct=anthropic.is_distinct_request,
        is_answer=anthropic.is_answer,
    ),
    Dialect(
        api="anthropic.messages.count_tokens",
        operation="count_tokens",
        paths=("/v1/messages/count_tokens",),
        read_request=anthropic.read_count_request,
        read_answer=anthropic.read_count,
        read_event=anthropic.read_event,
        is_request=anthropic.is_count_request,
    ),
    Dialect(
        api="anthropic.batches",
        operation="batch",
        paths=("/v1/messages/batches",),
        read_request=anthropic_batches.read_request,
        read_answer=openai_files.read_answer,
        read_event=openai_files.read_event,
        is_request=anthropic_batches.is_request,
    ),
    Dialect(
        api="anthropic.complete",
        operation="text_completion",
        paths=("/v1/complete",),
        read_request=anthropic_complete.read_request,
        read_answer=anthropic_complete.read_answer,
        read_event=anthropic_complete.read_event,
        is_request=anthropic_complete.is_request,
        is_answer=anthropic_complete.is_answer,
    ),
    Dialect(
        api="google.generate_content",
        operation="generate_content",
        paths=(),
        read_request=google.read_request,
        read_answer=google.read_answer,
        read_event=google.read_event,
        is_request=google.is_request,
        is_distinct=google.is_request,
        is_answer=google.is_answer,
        framing=JsonArray,
    ),
    Dialect(
        api="google.live",
        operation="generate_content",
        paths=(),  # a WebSocket
        read_request=google_live.read_request,
        read_answer=google_live.read_answer,
        read_event=google_live.read_event,
        is_request=google_live.is_setup,
        is_distinct=google_live.is_setup,
        is_answer=google_live.is_answer,
        is_piece=google_live.is_piece,
    ),
    Dialect(
        api="google.count_tokens",
        operation="count_tokens",
        paths=(),
        read_request=google.read_request,
        read_answer=google.read_answer,
        read_event=google.read_event,
        is_request=google.is_request,
    ),
    Dialect(
        api="google.embed_content",
        operation="embeddings",
        paths=(),
        read_request=google.read_embedding_request,
        read_answer=google.read_answer,
        read_event=google.read_event,
        is_request=google.is_embedding_request,
    ),
    Dialect(
        api="google.predict",
        operation="predict",
        paths=(),
        read_request=google_predict.read_request,
        read_answer=google_predict.read_answer,
        read_event=google_predict.read_event,
        is_request=_never,  # TensorFlow Serving has the same paths and bodies
    ),
    _grpc("google.grpc"),
    _grpc("xai.grpc"),
    Dialect(
        api="bedrock.converse",
        operation="chat",
        paths=(),
        read_request=bedrock.read_request,
        read_answer=bedrock.read_answer,
        read_event=bedrock.read_event,
        is_request=bedrock.is_request,
        is_distinct=bedrock.is_distinct_request,
        is_answer=bedrock.is_answer,
    ),
    Dialect(
        api="bedrock.count_tokens",
        operation="count_tokens",
        paths=(),
        read_request=bedrock.read_count_request,
        read_answer=bedrock.read_count,
        read_event=bedrock.read_event,
        is_request=bedrock.is_count_request,
    ),
    Dialect(
        api="bedrock.invoke",
        operation="text_completion",
        paths=(),
        read_request=bedrock.read_text_request,
        read_answer=bedrock.read_text_answer,
        read_event=bedrock.read_text_event,
        is_request=bedrock.is_text_request,
    ),
    Dialect(
        api="cohere.chat",
        operation="chat",
        paths=("/v1/chat", "/v2/chat"),
        read_request=cohere.read_request,
        read_answer=cohere.read_answer,
        read_event=cohere.read_event,
        is_request=cohere.is_request,
        is_answer=cohere.is_answer,
        framing=JsonLines,
    ),
    Dialect(
        api="cohere.embed",
        operation="embeddings",
        paths=("/v1/embed", "/v2/embed"),
        read_request=cohere.read_embed_request,
        read_answer=cohere.read_answer,
        read_event=cohere.read_event,
        is_request=cohere.is_embed_request,
    ),
    Dialect(
        api="cohere.rerank",
        operation="rerank",
        # Jina, Voyage, vLLM and others have it too.
        paths=("/rerank",),
        read_request=cohere.read_rerank_request,
        read_answer=cohere.read_answer,
        read_event=cohere.read_event,
        is_request=cohere.is_rerank_request,
    ),
    Dialect(
        api="ollama.chat",
        operation="chat",
        paths=("/api/chat",),
        read_request=ollama.read_chat_request,
        read_answer=ollama.read_answer,
        read_event=ollama.read_event,
        is_request=ollama.is_chat_request,
        is_answer=ollama.is_chat_answer,
        framing=JsonLines,
    ),
    Dialect(
        api="ollama.generate",
        operation="text_completion",
        paths=("/api/generate",),
        read_request=ollama.read_generate_request,
        read_answer=ollama.read_answer,
        read_event=ollama.read_event,
        is_request=ollama.is_generate_request,
        is_answer=ollama.is_generate_answer,
        framing=JsonLines,
    ),
    Dialect(
        api="ollama.embed",
        operation="embeddings",
        # The second one before 0.3.
        paths=("/api/embed", "/api/embeddings"),
        read_request=ollama.read_embed_request,
        read_answer=ollama.read_answer,
        read_event=ollama.read_event,
        is_request=ollama.is_embed_request,
    ),
    Dialect(
        api="openai.chat",
        operation="chat",
        # OpenAI and most; Mistral's agents; MiniMax.
        paths=("/chat/completions", "/agents/completions", "/text/chatcompletion_v2"),
        read_request=openai.read_request,
        read_answer=openai.read_answer,
        read_event=openai.read_event,
        read_usual_event=openai.read_usual_event,
        is_request=openai.is_request,
        is_distinct=openai.is_distinct_request,
        is_answer=openai.is_answer,
    ),
    Dialect(
        api="openai.responses",
        operation="chat",
        paths=("/responses",),
        read_request=openai_responses.read_request,
        read_answer=openai_responses.read_answer,
        read_event=openai_responses.read_event,
        is_request=openai_responses.is_request,
        is_distinct=openai_responses.is_distinct_request,
        is_answer=openai_responses.is_answer,
        is_piece=openai_responses.is_piece,
    ),
    Dialect(
        api="openai.realtime",
        operation="chat",
        paths=(),  # a WebSocket
        read_request=openai_realtime.read_request,
        read_answer=openai_realtime.read_answer,
        read_event=openai_realtime.read_event,
        is_request=openai_realtime.is_request,
        is_distinct=openai_realtime.is_request,
        is_answer=openai_realtime.is_answer,
        is_piece=openai_realtime.is_piece,
    ),
    Dialect(
        api="openai.responses.compact",
        operation="compact",
        paths=("/responses/compact",),
        read_request=openai_responses.read_request,
        read_answer=openai_responses.read_answer,
        read_event=openai_responses.read_event,
        is_request=openai_responses.is_request,
    ),
    Dialect(
        api="openai.responses.input_tokens",
        operation="count_tokens",
        paths=("/responses/input_tokens",),
        read_request=openai_responses.read_count_request,
        read_answer=openai_responses.read_count,
        read_event=openai_responses.read_event,
        is_request=openai_responses.is_request,
    ),
    Dialect(
        api="mistral.fim",
        operation="text_completion",
        paths=("/fim/completions",),
        read_request=openai_completions.read_request,
        read_answer=openai.read_answer,
        read_event=openai.read_event,
        is_request=openai_completions.is_request,
    ),
    Dialect(
        api="openai.completions",
        operation="text_completion",
        paths=("/completions",),
        read_request=openai_completions.read_request,
        read_answer=openai_completions.read_answer,
        read_event=openai_completions.read_event,
        is_request=openai_completions.is_request,
        is_answer=openai_completions.is_answer,
    ),
    Dialect(
        api="openai.embeddings",
        operation="embeddings",
        paths=("/embeddings",),
        read_request=openai_scores.read_request,
        read_answer=openai_scores.read_embeddings,
        read_event=openai_scores.read_event,
        is_request=openai_scores.is_request,
        is_answer=openai_scores.is_embeddings,
        common_paths=True,
    ),
    Dialect(
        api="openai.moderations",
        operation="moderation",
        paths=("/moderations",),
        read_request=openai_scores.read_request,
        read_answer=openai_scores.read_moderation,
        read_event=openai_scores.read_event,
        is_request=openai_scores.is_request,
        common_paths=True,
    ),
    _media(
        "openai.images",
        "image_generation",
        "/images/generations",
        "/images/edits",
        "/images/variations",
        is_request=openai_media.is_image_request,
    ),
    _media(
        "openai.audio.speech",
        "speech",
        "/audio/speech",
        is_request=openai_media.is_speech_request,
    ),
    _media(
        "openai.audio.transcriptions",
        "transcription",
        "/audio/transcriptions",
        is_request=openai_media.is_transcription_request,
    ),
    _media(
        "openai.audio.translations",
        "translation",
        "/audio/translations",
        is_request=openai_media.is_transcription_request,
    ),
    Dialect(
        api="openai.batches",
        operation="batch",
        paths=("/batches",),
        read_request=openai_files.read_request,
        read_answer=openai_files.read_answer,
        read_event=openai_files.read_event,
        is_request=openai_files.is_batch_request,
        common_paths=True,
    ),
    Dialect(
        api="openai.files",
        operation="file_upload",
        paths=("/v1/files", "/openai/files"),
        read_request=openai_files.read_request,
        read_answer=openai_files.read_answer,
        read_event=openai_files.read_event,
        is_request=openai_files.is_file_request,
        common_paths=True,
    ),
    Dialect(
        api="anthropic.files",
        operation="file_upload",
        paths=("/v1/files",),
        read_request=openai_files.read_request,
        read_answer=openai_files.read_answer,
        read_event=openai_files.read_event,
        is_request=_never,  # nothing in the form tells it from any other
        common_paths=True,
    ),
)


_ENDINGS = tuple(sorted({path for row in DIALECTS for path in row.paths}, key=len, reverse=True))
# By the last part of a path: the endings that it can be of, the longest one first, and their rows.
_BY_LAST_PART: dict[str, list[tuple[str, list[Dialect]]]] = {}
for _ending in _ENDINGS:
    _rows = [row for row in DIALECTS if _ending in row.paths]
    _BY_LAST_PART.setdefault(_ending.rpartition("/")[2], []).append((_ending, _rows))
_BY_NAME = {row.api: row for row in reversed(DIALECTS)}
_DISTINCT = tuple(row for row in DIALECTS if row.is_distinct is not _never)
_ANSWERING = tuple(row for row in DIALECTS if row.is_answer is not _never)


def by_path(path: str, spoken: str | None = None) -> Dialect | None:
    """Return the dialect whose path ends this one; the longest such ending tells.

    `spoken` is the dialect that the host is known for: some paths are of two families.
    """
    path = path.rstrip("/")
    route = routes.find(path)
    if route is not None and route.api is not None:
        return by_name(route.api)
    for ending, rows in _BY_LAST_PART.get(path.rpartition("/")[2], ()):
        if path.endswith(ending):
            family = (spoken or "").partition(".")[0]
            return next((row for row in rows if row.api.startswith(f"{family}.")), rows[0])
    return None


def by_fetch(path: str) -> Dialect | None:
    """Return the dialect of an answer that a GET of `path` fetches, which may not be there yet."""
    fetched = routes.fetched(path)
    row = by_name(fetched.api) if fetched else None
    return row and msgspec.structs.replace(row, is_piece=openai_responses.is_unfinished)


def by_call(head: HttpRequest) -> tuple[Dialect, grpc_calls.Call] | None:
    """Return the dialect of a call by gRPC, its method as the operation, and the call."""
    call = grpc_calls.find(head)
    row = by_name(call.api) if call else None
    if call is None or row is None:
        return None
    framing = GrpcMessages if call.stream else row.framing
    return msgspec.structs.replace(row, operation=call.method, framing=framing), call


def by_name(api: str | None) -> Dialect | None:
    """Return the dialect of this name."""
    return _BY_NAME.get(api) if api else None


def by_request(body: Body) -> Dialect | None:
    """Return the dialect that a request's body alone shows."""
    return next((row for row in _DISTINCT if row.is_distinct(body)), None) if body else None


def of_request(path: str, body: Body, spoken: str | None = None) -> Dialect | None:
    """Return the dialect of a request, by its path and, where that leaves it open, its body."""
    row = by_path(path, spoken)
    if row is not None and row.api == "bedrock.invoke":
        return by_request(body) or row
    return row


def by_answer(body: Body) -> Dialect | None:
    """Return the dialect that an answer's body, or an event of it, shows."""
    return next((row for row in _ANSWERING if row.is_answer(body)), None) if body else None
