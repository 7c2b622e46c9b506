"""What an agent's connections carry, for `benchmarks.classifier`: 17 buffers of 3.7 KB on average.

They are made here, in the shapes and with the heads that real clients send. Most hold nothing
personal, as most traffic does; one prompt and one answer do, so that findings are paid for too.
"""

from __future__ import annotations

import json
import random

import msgspec

from busted.classifier import Direction

KB = 1024

_WORDS = (
    "the service reads each record once and keeps only what the next step needs so a slow disk "
    "never delays a reply while the parser walks over lines of code in order to find the task "
    "that failed please explain why this function returns early and suggest a smaller change"
)
CYRILLIC = (
    "система читает каждое сообщение один раз и хранит только то что нужно дальше поэтому "
    "медленный диск не задерживает ответ объясните почему эта функция возвращается раньше"
)

_STAINLESS = (
    "Accept: application/json\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    "Connection: keep-alive\r\nX-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\n"
    "X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Async: false\r\n"
    "x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n"
)
_KEY = "sk-" + "proj-" + "a1B2" * 12


class Payload(msgspec.Struct, frozen=True):
    """One buffer, as `classify` gets it."""

    kind: str
    data: bytes
    direction: Direction = Direction.WRITE
    sni: str | None = None


def mix() -> tuple[Payload, ...]:
    """Return the same 17 payloads whenever it is called."""
    choose = random.Random(3)
    read = Direction.READ
    openai, anthropic = "api.openai.com", "api.anthropic.com"
    return (
        Payload("OpenAI chat, 1 KB", _openai(choose, KB), sni=openai),
        Payload("OpenAI chat, 8 KB, with findings", _openai(choose, 8 * KB, True), sni=openai),
        Payload("Anthropic with tools, 12 KB", _anthropic(choose, 12 * KB), sni=anthropic),
        Payload("Gemini request", _gemini(choose), sni="generativelanguage.googleapis.com"),
        Payload("SSE chunk, OpenAI", _OPENAI_CHUNK, read, openai),
        Payload("SSE chunk, Anthropic", _ANTHROPIC_CHUNK, read, anthropic),
        Payload("20 SSE chunks with head", _answer_stream(choose), read, openai),
        Payload("JSON answer, OpenAI", _openai_answer(choose), read, openai),
        Payload("JSON answer, Anthropic, with a finding", _anthropic_answer(choose), read),
        Payload("MCP call", _mcp_call()),
        Payload("MCP answer, list of tools", _mcp_tools(choose), read),
        Payload("HTML GET", _html_get(), sni="www.example.com"),
        Payload("HTML page", _html_page(choose), read, "www.example.com"),
        Payload("JSON post to another API", _other_post(choose), sni="api.example.com"),
        Payload("binary, 4 KB", choose.randbytes(4 * KB), read),
        Payload("UTF-8 prompt, 4 KB", _utf8(choose), sni=openai),
        Payload("truncated, 16 KB", _openai(choose, 40 * KB)[: 16 * KB], sni=openai),
    )


def prose(choose: random.Random, size: int, words: str = _WORDS) -> str:
    """Return prose of `size` bytes with the line breaks and quotes that make JSON escape."""
    pieces: list[str] = []
    left = size
    while left > 0:
        word = choose.choice(words.split())
        mark = choose.choices((" ", ", ", ".\n", ' "x" ', " 42 "), (12, 2, 1, 1, 1))[0]
        pieces += (word, mark)
        left -= len((word + mark).encode())
    return "".join(pieces)


def _request(path: str, host: str, more: str, body: object) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{more}Content-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def _response(kind: str, body: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n"
        "Server: cloudflare\r\nx-request-id: req_0123456789abcdef\r\n"
        "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n\r\n"
    )
    return head.encode() + body


def _openai(choose: random.Random, size: int, personal: bool = False) -> bytes:
    head = (
        f"{_STAINLESS}User-Agent: OpenAI/Python 3.54.0\r\nX-Stainless-Package-Version: 3.54.0\r\n"
        f"Authorization: Bearer {_KEY}\r\n"
    )
    system = "You are a careful assistant who answers in short sentences."
    turns = [{"role": "system", "content": system}]
    count = max(1, size // 2048)
    said = max(100, (size - 800) // count)
    for place in range(count):
        turns.append({"role": "assistant" if place % 2 else "user", "content": prose(choose, said)})
    if personal:
        key = "sk-" + "proj-" + "Zz9" * 16
        turns[-1]["content"] += f"Ask jane.doe@example.com, card 4111 1111 1111 1111, key {key}."
    body = {"model": "gpt-5", "messages": turns, "stream": True, "temperature": 0.2}
    return _request("/v1/chat/completions", "api.openai.com", head, body)


def _utf8(choose: random.Random) -> bytes:
    body = {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": prose(choose, 4 * KB - 450, CYRILLIC)}],
    }
    head = f"User-Agent: OpenAI/Python 3.54.0\r\nAuthorization: Bearer {_KEY}\r\n"
    return _request("/v1/chat/completions", "api.openai.com", head, body)


def _anthropic(choose: random.Random, size: int) -> bytes:
    head = (
        f"{_STAINLESS}User-Agent: claude-cli/2.1.0 (external, cli)\r\nx-app: cli\r\n"
        f"anthropic-version: 2023-06-01\r\nx-api-key: {_KEY}\r\n"
    )
    tools = [
        {
            "name": name,
            "description": prose(choose, 300),
            "input_schema": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "The file, absolute."},
                    "limit": {"type": "integer", "description": "How many lines to read."},
                },
                "required": ["path"],
            },
        }
        for name in ("Bash", "Edit", "Glob", "Grep", "Read", "Task", "WebFetch", "Write")
    ]
    call = {"type": "tool_use", "id": "toolu_01", "name": "Read", "input": {"path": "/srv/a.py"}}
    said = (size - 5450) // 3
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": prose(choose, said)}
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 32000,
        "system": [{"type": "text", "text": prose(choose, said)}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": prose(choose, said)}]},
            {"role": "assistant", "content": [{"type": "text", "text": "I read it."}, call]},
            {"role": "user", "content": [result]},
        ],
        "tools": tools,
        "stream": True,
    }
    return _request("/v1/messages?beta=true", "api.anthropic.com", head, body)


def _gemini(choose: random.Random) -> bytes:
    head = (
        "x-goog-api-client: google-genai-sdk/1.50.0 gl-python/3.11\r\n"
        f"user-agent: google-genai-sdk/1.50.0\r\nx-goog-api-key: {'AIza' + 'b' * 35}\r\n"
    )
    body = {
        "contents": [{"role": "user", "parts": [{"text": prose(choose, 600)}]}],
        "systemInstruction": {"parts": [{"text": "Answer in one sentence."}]},
        "generationConfig": {"temperature": 0.2, "maxOutputTokens": 512},
    }
    host = "generativelanguage.googleapis.com"
    return _request("/v1beta/models/gemini-2.5-pro:generateContent", host, head, body)


_OPENAI_CHUNK = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk",'
    b'"created":1795341600,"model":"gpt-5","choices":[{"index":0,"delta":{"content":" reads"},'
    b'"logprobs":null,"finish_reason":null}]}\n\n'
)
_ANTHROPIC_CHUNK = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":" reads each record"}}\n\n'
)


def _answer_stream(choose: random.Random) -> bytes:
    chunks = [
        _OPENAI_CHUNK.replace(b" reads", f" {choose.choice(_WORDS.split())}".encode())
        for _ in range(20)
    ]
    return _response("text/event-stream; charset=utf-8", b"".join(chunks) + b"data: [DONE]\n\n")


def _openai_answer(choose: random.Random) -> bytes:
    body = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1795341600,
        "model": "gpt-5",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": prose(choose, 500)},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 211,
            "completion_tokens": 96,
            "prompt_tokens_details": {"cached_tokens": 128},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
    return _response("application/json", json.dumps(body).encode())


def _anthropic_answer(choose: random.Random) -> bytes:
    text = f"{prose(choose, 1200)} Write to jane.doe@example.com."
    call = {"type": "tool_use", "id": "toolu_02", "name": "Read", "input": {"path": "/srv/b.py"}}
    body = {
        "id": "msg_0123456789abcdef",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": text}, call],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 812, "cache_read_input_tokens": 4096, "output_tokens": 240},
    }
    return _response("application/json", json.dumps(body).encode())


def _mcp_call() -> bytes:
    head = (
        "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n"
        "Mcp-Session-Id: 0123456789abcdef\r\nUser-Agent: python-httpx/0.28.1\r\n"
    )
    params = {"name": "read_file", "arguments": {"path": "/srv/notes.txt", "limit": 100}}
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    return _request("/mcp", "localhost:8080", head, body)


def _mcp_tools(choose: random.Random) -> bytes:
    tools = [
        {
            "name": name,
            "description": prose(choose, 250),
            "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
        }
        for name in ("read_file", "write_file", "list_directory", "search_files", "move_file")
    ]
    body = {"jsonrpc": "2.0", "id": 2, "result": {"tools": tools}}
    return json.dumps(body).encode()


def _html_get() -> bytes:
    return (
        b"GET /news/2026/11/22/index.html HTTP/1.1\r\nHost: www.example.com\r\n"
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
        b"Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\r\n"
    )


def _html_page(choose: random.Random) -> bytes:
    rows = (f'<p class="row">{prose(choose, 250)}</p>' for _ in range(11))
    page = f"<!doctype html><html><body>{''.join(rows)}</body></html>"
    return _response("text/html; charset=utf-8", page.encode())


def _other_post(choose: random.Random) -> bytes:
    query = "query Orders($first: Int) { orders(first: $first) { id total model } }"
    body = {"query": query, "variables": {"first": 50, "note": prose(choose, 800)}}
    return _request("/graphql", "api.example.com", "User-Agent: okhttp/5.1.0\r\n", body)
