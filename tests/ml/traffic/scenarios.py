"""Who talks to whom: a row a scenario, with a port of its own.

`part` says what a scenario's traffic is for. Clients and servers of "held_out" are in no row of
"train", nor are kinds of "unseen"; so nothing that a model learned of one says anything of another.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

FIRST_PORT = 9000
# The servers listen so much above: what is between is the line (line.mjs).
BEHIND = 1000
Part = Literal["train", "held_out", "unseen"]


class Scenario(NamedTuple):
    """`client` is a file of clients/ with its first argument; `server` one of `SERVERS`.

    `kind` is what it does, and for those of LLMs `profile` the pace. `workers` run at once.
    """

    part: Part
    kind: str
    client: str
    server: str
    profile: str = ""
    workers: int = 2


def _llm(part: Part, client: str, server: str, *profiles: str, workers: int = 1) -> list[Scenario]:
    return [Scenario(part, "llm_stream", client, server, name, workers) for name in profiles]


SCENARIOS = (
    *_llm("train", "openai", "aiohttp", "gpt-4o", "gpt-4o-mini", "deepseek"),
    *_llm("train", "anthropic", "aiohttp", "claude-sonnet", "claude-haiku"),
    *_llm("train", "aiohttp", "aiohttp", "ollama-cpu", "gpt-4o", "gemini-flash", "claude-sonnet"),
    *_llm("train", "curl", "aiohttp", "gpt-4o-mini", "ollama-cpu", "o4-mini"),
    *_llm("train", "node-fetch", "aiohttp", "claude-haiku", "gemini-flash", "o4-mini"),
    *_llm("held_out", "requests", "node", "mistral-small", "command-a"),
    *_llm("held_out", "google-genai", "node", "gemini-pro"),
    *_llm("held_out", "curl_cffi", "node-http2", "llama-groq", "mistral-small"),
    *_llm("held_out", "ollama", "node", "ollama-gpu"),
    *_llm("held_out", "node-https", "node", "command-a", "llama-groq"),
    *_llm("held_out", "node-http2", "node-http2", "mistral-small", "ollama-gpu"),
    Scenario("held_out", "llm_whole", "requests", "node", "mistral-small"),
    Scenario("held_out", "llm_whole", "node-https", "node", "llama-groq"),
    # Other traffic
    Scenario("train", "rest", "aiohttp", "aiohttp"),
    Scenario("train", "rest", "node-fetch", "aiohttp"),
    Scenario("train", "rest", "curl", "aiohttp"),
    Scenario("train", "page", "aiohttp", "aiohttp"),
    Scenario("train", "page", "node-fetch", "aiohttp"),
    Scenario("train", "download", "curl", "aiohttp"),
    Scenario("train", "download", "aiohttp", "aiohttp"),
    Scenario("train", "video", "aiohttp", "aiohttp"),
    Scenario("train", "video", "node-fetch", "aiohttp"),
    Scenario("train", "upload", "aiohttp", "aiohttp"),
    Scenario("train", "chat", "aiohttp", "aiohttp"),
    Scenario("train", "ticker", "aiohttp", "aiohttp"),
    Scenario("train", "ticker", "node-fetch", "aiohttp"),
    Scenario("train", "poll", "aiohttp", "aiohttp"),
    Scenario("train", "crawl", "aiohttp", "aiohttp"),
    Scenario("train", "crawl", "node-fetch", "aiohttp"),
    Scenario("train", "pip", "pip", "aiohttp", workers=1),
    Scenario("held_out", "rest", "requests", "node"),
    Scenario("held_out", "rest", "node-https", "node"),
    Scenario("held_out", "page", "requests", "node"),
    Scenario("held_out", "page", "curl_cffi", "node-http2"),
    Scenario("held_out", "download", "requests", "node"),
    Scenario("held_out", "video", "requests", "node"),
    Scenario("held_out", "upload", "requests", "node"),
    Scenario("held_out", "crawl", "requests", "node"),
    Scenario("held_out", "chat", "websockets", "aiohttp"),
    Scenario("held_out", "ticker", "requests", "node"),
    Scenario("held_out", "poll", "node-https", "node"),
    Scenario("unseen", "git", "git", "node", workers=1),
    Scenario("unseen", "log_tail", "requests", "node"),
    Scenario("unseen", "log_tail", "aiohttp", "aiohttp"),
    Scenario("unseen", "grpc_calls", "node-http2", "node-http2"),
    Scenario("unseen", "grpc_telemetry", "node-http2", "node-http2"),
    Scenario("unseen", "database", "psql", "postgres"),
    Scenario("unseen", "radio", "curl", "aiohttp"),
    Scenario("unseen", "browser", "chromium", "aiohttp", workers=1),
)
PORTS = {FIRST_PORT + i: scenario for i, scenario in enumerate(SCENARIOS)}
