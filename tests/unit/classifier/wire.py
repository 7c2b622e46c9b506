"""Messages as they go over the wire, built from values."""

import json
from collections.abc import Mapping, Sequence

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi"}],
    "model": "claude-sonnet-4-5",
}
CHUNKS: Sequence[object] = (
    {
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}],
    },
    {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hel"}}]},
    {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "lo"}}]},
    {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    },
    {
        "object": "chat.completion.chunk",
        "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    },
)
COMPLETION = {
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def request(
    body: object = None,
    *,
    path: str = "/v1/chat/completions",
    host: str = "api.openai.com",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    content = body if isinstance(body, bytes) else b"" if body is None else as_json(body)
    fields = {"Host": host, "Content-Type": "application/json", **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"{method} {path} HTTP/1.1\r\n{lines}Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def response(
    body: object,
    *,
    status: int = 200,
    kind: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    content = body if isinstance(body, bytes) else as_json(body)
    fields = {"Content-Type": kind, **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"HTTP/1.1 {status} Reason\r\n{lines}Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def sse(events: Sequence[object], *, done: bool = True) -> bytes:
    """Events as OpenAI sends them, without names."""
    lines = [b"data: " + as_json(event) + b"\n\n" for event in events]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


def named_sse(events: Sequence[Mapping[str, object]]) -> bytes:
    """Events as Anthropic sends them, named by their type."""
    return b"".join(b"event: %s\n" % str(e["type"]).encode() + sse([e], done=False) for e in events)


def chunked(*pieces: bytes, kind: str = "text/event-stream", last: bool = True) -> bytes:
    """A chunked response; without its last chunk, which clients often never read."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head.encode() + body + (b"0\r\n\r\n" if last else b"")
