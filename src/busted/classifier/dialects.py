"""The dialects in which models are asked: one table, a row for each.

A row says which paths are its own, what its bodies look like where no path is known, and who
reads them. A new dialect is one module and one row here.

The rows that share `read_plain_request` tell model, settings and the text asked, not yet the
answer's text: their readers come later, their traffic must not go unseen until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from busted.classifier import anthropic, bedrock, cohere, google, ollama, openai, routes
from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import ModelRequest
from busted.classifier.foreign import mapping, string
from busted.classifier.framing import Framing, JsonArray, JsonLines, ServerSentEvents

Body = Mapping[str, object]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One row; `operation` is OpenTelemetry's `gen_ai.operation.name`.

    `is_request` judges a body that came to one of `paths` at an unknown host, `is_distinct`
    one whose path and host are both unknown, `is_answer` a whole answer or a stream's event.
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
    is_distinct: Callable[[Body], bool]
    is_answer: Callable[[Body], bool]
    framing: Callable[[], Framing] = ServerSentEvents


def _never(body: Body) -> bool:
    return False


def _plain_answer(answer: Answer, body: Body) -> None:
    answer.model = string(body.get("model"))
    answer.error = error_of(body)
    answer.finished = True


def _plain_event(answer: Answer, data: str, body: Body) -> None:
    told = mapping(body.get("response")) or body
    answer.model = answer.model or string(told.get("model"))
    answer.error = answer.error or error_of(told)
    answer.finished = data.strip() == "[DONE]" or body.get("type") in (
        "response.completed",
        "response.failed",
        "response.incomplete",
    )


def _plain(api: str, operation: str, path: str, asked: str) -> Dialect:
    def is_request(body: Body) -> bool:
        return string(body.get("model")) is not None and asked in body

    return Dialect(
        api=api,
        operation=operation,
        paths=(path,),
        read_request=openai.read_plain_request,
        read_answer=_plain_answer,
        read_event=_plain_event,
        is_request=is_request,
        is_distinct=_never,
        is_answer=_never,
    )


DIALECTS = (
    Dialect(
        api="anthropic.messages",
        operation="chat",
        paths=("/v1/messages",),
        read_request=anthropic.read_request,
        read_answer=anthropic.read_answer,
        read_event=anthropic.read_event,
        is_request=anthropic.is_request,
        is_distinct=anthropic.is_distinct_request,
        is_answer=anthropic.is_answer,
    ),
    Dialect(
        api="openai.chat",
        operation="chat",
        paths=("/chat/completions",),
        read_request=openai.read_request,
        read_answer=openai.read_answer,
        read_event=openai.read_event,
        is_request=openai.is_request,
        is_distinct=openai.is_distinct_request,
        is_answer=openai.is_answer,
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
        api="google.count_tokens",
        operation="count_tokens",
        paths=(),
        read_request=google.read_request,
        read_answer=google.read_answer,
        read_event=google.read_event,
        is_request=google.is_request,
        is_distinct=_never,
        is_answer=_never,
    ),
    Dialect(
        api="google.embed_content",
        operation="embeddings",
        paths=(),
        read_request=google.read_embedding_request,
        read_answer=google.read_answer,
        read_event=google.read_event,
        is_request=google.is_embedding_request,
        is_distinct=_never,
        is_answer=_never,
    ),
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
        api="bedrock.invoke",
        operation="text_completion",
        paths=(),
        read_request=bedrock.read_text_request,
        read_answer=bedrock.read_text_answer,
        read_event=bedrock.read_text_event,
        is_request=bedrock.is_text_request,
        is_distinct=_never,
        is_answer=_never,
    ),
    Dialect(
        api="cohere.chat",
        operation="chat",
        paths=("/v1/chat", "/v2/chat"),
        read_request=cohere.read_request,
        read_answer=cohere.read_answer,
        read_event=cohere.read_event,
        is_request=cohere.is_request,
        is_distinct=_never,
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
        is_distinct=_never,
        is_answer=_never,
    ),
    Dialect(
        api="cohere.rerank",
        operation="rerank",
        paths=("/rerank",),
        read_request=cohere.read_rerank_request,
        read_answer=cohere.read_answer,
        read_event=cohere.read_event,
        is_request=cohere.is_rerank_request,
        is_distinct=_never,
        is_answer=_never,
    ),
    Dialect(
        api="ollama.chat",
        operation="chat",
        paths=("/api/chat",),
        read_request=ollama.read_chat_request,
        read_answer=ollama.read_answer,
        read_event=ollama.read_event,
        is_request=ollama.is_chat_request,
        is_distinct=_never,
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
        is_distinct=_never,
        is_answer=ollama.is_generate_answer,
        framing=JsonLines,
    ),
    Dialect(
        api="ollama.embed",
        operation="embeddings",
        # The one before 0.3; it goes before OpenAI's row.
        paths=("/api/embed", "/api/embeddings"),
        read_request=ollama.read_embed_request,
        read_answer=ollama.read_answer,
        read_event=ollama.read_event,
        is_request=ollama.is_embed_request,
        is_distinct=_never,
        is_answer=_never,
    ),
    _plain("openai.completions", "text_completion", "/v1/completions", "prompt"),
    _plain("openai.embeddings", "embeddings", "/embeddings", "input"),
    _plain("openai.responses", "chat", "/responses", "input"),
)


def by_path(path: str) -> Dialect | None:
    """Return the dialect whose path ends this one."""
    path = path.rstrip("/")
    if route := routes.find(path):
        return by_name(route.api)
    return next((row for row in DIALECTS if path.endswith(row.paths)), None)


def by_name(api: str | None) -> Dialect | None:
    """Return the dialect of this name."""
    return next((row for row in DIALECTS if row.api == api), None)


def by_request(body: Body) -> Dialect | None:
    """Return the dialect that a request's body alone shows."""
    return next((row for row in DIALECTS if row.is_distinct(body)), None)


def of_request(path: str, body: Body) -> Dialect | None:
    """Return the dialect of a request, by its path and, where that leaves it open, its body."""
    row = by_path(path)
    if row is not None and row.api == "bedrock.invoke":
        return by_request(body) or row
    return row


def by_answer(body: Body) -> Dialect | None:
    """Return the dialect that an answer's body, or an event of it, shows."""
    return next((row for row in DIALECTS if row.is_answer(body)), None)
