"""OpenAI's chat completions, as all those answer who do as OpenAI: Azure, Groq, Mistral.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from tests.e2e.answers import Tokens
from tests.e2e.provider.peers import remember
from tests.e2e.provider.replies import CREATED, Call, Json, Reply, pieces, reply
from tests.e2e.provider.sending import data_event, refusal, streamed, whole, whole_or_cut


def openai_usage(tokens: Tokens) -> Json:
    """Spell usage as OpenAI does."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def openai_call(call: Call) -> Json:
    """Spell a tool call as OpenAI does."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def openai_answer(answer: Reply) -> Json:
    """Return the whole answer."""
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.calls:
        message["tool_calls"] = [openai_call(call) for call in answer.calls]
    finish = "tool_calls" if answer.calls else "stop"
    return {
        "id": "chatcmpl-0001",
        "object": "chat.completion",
        "created": CREATED,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": openai_usage(answer.tokens),
    }


def openai_stream(answer: Reply, with_usage: bool) -> Iterator[str]:
    """Yield the answer as server-sent events, one string each."""

    def chunk(choices: list[Json], usage: Json | None = None) -> str:
        return data_event(
            {
                "id": "chatcmpl-0001",
                "object": "chat.completion.chunk",
                "created": CREATED,
                "model": answer.model,
                "choices": choices,
                "usage": usage,
            }
        )

    def delta(change: Json, finish: str | None = None) -> str:
        return chunk([{"index": 0, "delta": change, "finish_reason": finish}])

    yield delta({"role": "assistant", "content": None if answer.calls else ""})
    for piece in pieces(answer.text):
        yield delta({"content": piece})
    for index, call in enumerate(answer.calls):
        opening = openai_call(call._replace(arguments=""))
        yield delta({"tool_calls": [{"index": index, **opening}]})
        for piece in pieces(call.arguments):
            yield delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield delta({}, "tool_calls" if answer.calls else "stop")
    if with_usage:
        yield chunk([], openai_usage(answer.tokens))
    yield "data: [DONE]"


async def openai_chat(request: web.Request) -> web.StreamResponse:
    """POST .../chat/completions."""
    # Azure's path names the deployment, which is the model.
    body = {"model": request.match_info.get("deployment")} | await request.json()
    answer = reply(body)
    remember(request, answer)
    if error := refusal(answer.prompt):
        status, kind, message = error
        wrong = {"message": message, "type": kind, "param": None, "code": kind}
        return whole(request, {"error": wrong}, status)
    if body.get("stream"):
        with_usage = (body.get("stream_options") or {}).get("include_usage", False)
        return await streamed(request, answer, openai_stream(answer, with_usage))
    return await whole_or_cut(request, answer, openai_answer(answer))


async def openai_models(request: web.Request) -> web.StreamResponse:
    """GET /v1/models: traffic with a provider that is no prompt."""
    model = {"id": "gpt-4o-mini", "object": "model", "created": CREATED, "owned_by": "system"}
    return whole(request, {"object": "list", "data": [model]})
