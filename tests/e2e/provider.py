"""A fake provider over TLS: OpenAI chat completions, Anthropic messages, and a plain web site.

`python -m tests.e2e.provider --port 443 --cert-dir DIR` writes the certificate of its own
authority to DIR/ca.pem, listens on loopback, and prints `ready`. It speaks HTTP/1.1, needs no key,
remembers nothing but who asked what, and answers as `tests.e2e.answers` says. The shapes are those
of https://platform.openai.com/docs/api-reference/chat and https://docs.anthropic.com/en/api/messages.

Left out: HTTP/2 (test_http2.py has a front for that), other dialects, and checking of requests; the
SDKs do that for us.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from aiohttp import web

from tests.e2e.answers import (
    CUT,
    ERRORS,
    SLOW,
    Tokens,
    call_id,
    expected_answer,
    expected_arguments,
    expected_tokens,
)
from tests.e2e.sandbox import ADDRESS, NAMES

Json = dict[str, Any]

# Streams come in pieces of so many characters: small enough that most words are cut.
PIECE = 5
# Seconds before each piece of a slow answer.
PAUSE = 0.02
# Seconds that the slow page takes.
SLOW_PAGE = 0.25
# A request may be this big, in bytes: more than any prompt that a test sends.
MAX_REQUEST = 64 * 1024 * 1024
# Of so many requests it is remembered which port each prompt came from.
MAX_PEERS = 1000
# Answers carry this instead of the time of day, so that they depend on the prompt alone.
CREATED = 1_760_000_000

PAGE = "<!doctype html><title>Example</title><p>An ordinary page, nothing to see here.</p>"
ITEMS = {"items": [{"id": 1, "name": "a prompt delivery"}, {"id": 2, "name": "a model train"}]}


PEERS = web.AppKey("PEERS", deque[tuple[str, int]])


class Call(NamedTuple):
    """A tool that the client shall run."""

    id: str
    name: str
    arguments: str


class Reply(NamedTuple):
    """What to answer, in whichever dialect; either text or calls."""

    prompt: str
    model: str
    text: str
    calls: tuple[Call, ...]
    tokens: Tokens


def text_of(content: str | list[Json]) -> str:
    """Return the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(text_of(part.get("content") or part["text"]) for part in content)


def has_results(message: Json) -> bool:
    """Say whether a message brings results of tools, in either dialect."""
    parts = message["content"] if isinstance(message["content"], list) else []
    return message["role"] == "tool" or any(part["type"] == "tool_result" for part in parts)


def reply(body: Json) -> Reply:
    """Decide the answer: call every offered tool, or answer the last message in text."""
    messages = body["messages"]
    first = len(messages) - 1
    # OpenAI's results of tools are messages of their own.
    while messages[first]["role"] == "tool" and messages[first - 1]["role"] == "tool":
        first -= 1
    prompt = "\n".join(text_of(message["content"]) for message in messages[first:])
    tools = () if has_results(messages[-1]) else body.get("tools", ())
    return Reply(
        prompt,
        body["model"],
        "" if tools else expected_answer(prompt),
        tuple(
            Call(call_id(i), tool.get("function", tool)["name"], expected_arguments(prompt))
            for i, tool in enumerate(tools)
        ),
        expected_tokens(prompt),
    )


def pieces(text: str) -> Iterator[str]:
    """Cut a text as a model's tokens would."""
    return (text[i : i + PIECE] for i in range(0, len(text), PIECE))


# --- OpenAI ------------------------------------------------------------------------------------


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
        return "data: " + json.dumps(
            {
                "id": "chatcmpl-0001",
                "object": "chat.completion.chunk",
                "created": CREATED,
                "model": answer.model,
                "choices": choices,
                "usage": usage,
            },
            ensure_ascii=False,
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
    """POST /v1/chat/completions."""
    body = await request.json()
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


# --- Anthropic ---------------------------------------------------------------------------------


def anthropic_usage(tokens: Tokens) -> Json:
    """Spell usage as Anthropic does, which does not count cached tokens as input."""
    return {
        "input_tokens": tokens.input - tokens.cached,
        "output_tokens": tokens.output,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
    }


def anthropic_answer(answer: Reply) -> Json:
    """Return the whole answer."""
    content: list[Json] = [{"type": "text", "text": answer.text}] if answer.text else []
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in answer.calls
    ]
    return {
        "id": "msg_0001",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": "tool_use" if answer.calls else "end_turn",
        "stop_sequence": None,
        "usage": anthropic_usage(answer.tokens),
    }


def anthropic_stream(answer: Reply) -> Iterator[str]:
    """Yield the answer as server-sent events, one string each."""
    finished = anthropic_answer(answer)
    blocks = finished["content"]
    opening = finished | {"content": [], "stop_reason": None}
    opening["usage"] = finished["usage"] | {"output_tokens": 1}

    start: Json

    def event(kind: str, **fields: object) -> str:
        return f"event: {kind}\ndata: " + json.dumps({"type": kind, **fields}, ensure_ascii=False)

    yield event("message_start", message=opening)
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            start, kind, field, text = {"text": ""}, "text_delta", "text", block["text"]
        else:
            start, kind, field = {"input": {}}, "input_json_delta", "partial_json"
            text = answer.calls[index].arguments
        yield event("content_block_start", index=index, content_block=block | start)
        yield event("ping")
        for piece in pieces(text):
            yield event("content_block_delta", index=index, delta={"type": kind, field: piece})
        yield event("content_block_stop", index=index)
    ending = {"stop_reason": finished["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=ending, usage={"output_tokens": answer.tokens.output})
    yield event("message_stop")


async def anthropic_messages(request: web.Request) -> web.StreamResponse:
    """POST /v1/messages."""
    body = await request.json()
    answer = reply(body)
    remember(request, answer)
    if error := refusal(answer.prompt):
        status, kind, message = error
        return whole(
            request, {"type": "error", "error": {"type": kind, "message": message}}, status
        )
    if body.get("stream"):
        return await streamed(request, answer, anthropic_stream(answer))
    return await whole_or_cut(request, answer, anthropic_answer(answer))


# --- A web site without any model ---------------------------------------------------------------


async def page(request: web.Request) -> web.StreamResponse:
    """GET /: HTML, compressed for those who take it; /slow is the same after a while."""
    if request.path == "/slow":
        await asyncio.sleep(SLOW_PAGE)
    response = web.Response(text=PAGE, content_type="text/html")
    compress(request, response)
    return response


async def items(request: web.Request) -> web.StreamResponse:
    """GET /api/items: JSON."""
    return whole(request, ITEMS)


async def orders(request: web.Request) -> web.StreamResponse:
    """POST /api/orders: JSON both ways."""
    return whole(request, {"accepted": await request.json()})


async def peers(request: web.Request) -> web.StreamResponse:
    """GET /peers: from which port each prompt came that was asked of any model here."""
    return whole(request, {prompt: port for prompt, port in request.app[PEERS]})


def remember(request: web.Request, answer: Reply) -> None:
    """Remember which port a prompt came from."""
    assert request.transport is not None
    request.app[PEERS].append((answer.prompt, request.transport.get_extra_info("peername")[1]))


# --- How answers are sent -----------------------------------------------------------------------


def refusal(prompt: str) -> tuple[int, str, str] | None:
    """Return status, kind and message of the error that a prompt asks for, if it does."""
    for word, (status, kind) in ERRORS.items():
        if prompt.startswith(word):
            return status, kind, f"refused: {kind}"
    return None


def compress(request: web.Request, response: web.Response) -> None:
    """Use gzip where the client takes it, as the providers' front ends do."""
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)


def whole(request: web.Request, answer: Json, status: int = 200) -> web.Response:
    """Send JSON in one piece."""
    response = web.json_response(
        answer, status=status, dumps=lambda o: json.dumps(o, ensure_ascii=False)
    )
    compress(request, response)
    return response


async def whole_or_cut(request: web.Request, answer: Reply, spelled: Json) -> web.StreamResponse:
    """Send JSON in one piece, or only its first half where the prompt asks for that."""
    if answer.prompt.startswith(SLOW):
        await asyncio.sleep(len(list(pieces(answer.text))) * PAUSE)
    if not answer.prompt.startswith(CUT):
        return whole(request, spelled)
    body = json.dumps(spelled, ensure_ascii=False).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    hang_up(request)
    return response


async def streamed(
    request: web.Request, answer: Reply, events: Iterable[str]
) -> web.StreamResponse:
    """Send server-sent events, half of them where the prompt asks to be cut."""
    told = list(events)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    for event in told[: len(told) // 2] if answer.prompt.startswith(CUT) else told:
        if answer.prompt.startswith(SLOW):
            await asyncio.sleep(PAUSE)
        await response.write(f"{event}\n\n".encode())
    if answer.prompt.startswith(CUT):
        hang_up(request)
    return response


def hang_up(request: web.Request) -> None:
    """End the connection as a crash would: no last chunk, no TLS close_notify."""
    if request.transport is not None:
        request.transport.abort()


def application() -> web.Application:
    """Return the provider and the web site, told apart by paths: those do not collide."""
    app = web.Application(client_max_size=MAX_REQUEST)
    app[PEERS] = deque(maxlen=MAX_PEERS)
    app.add_routes(
        [
            web.post("/v1/chat/completions", openai_chat),
            web.get("/v1/models", openai_models),
            web.post("/v1/messages", anthropic_messages),
            web.get("/", page),
            web.get("/slow", page),
            web.get("/peers", peers),
            web.get("/api/items", items),
            web.post("/api/orders", orders),
        ]
    )
    return app


def tls(directory: Path) -> ssl.SSLContext:
    """Make an authority and a certificate for all names; the authority's goes to ca.pem.

    The certificate and its key go to server.pem, for a server that stands before this one.
    """
    authority = trustme.CA()
    directory.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(directory / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert(*NAMES)
    certificate.configure_cert(context)
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return context


async def serve(port: int, directory: Path) -> None:
    """Serve until killed."""
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, port, ssl_context=tls(directory)).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A fake provider over TLS, on loopback.")
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--cert-dir", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.cert_dir))


if __name__ == "__main__":
    main()
