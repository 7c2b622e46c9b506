"""The test bed: a sandbox, the fake provider running in it, and real clients by name.

`CLIENTS` says of each client how it is started and what must be seen of it. Clients print
their answers as lines of JSON, see `tests.e2e.clients`; curl prints what the provider sent.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.e2e.answers import DIMENSIONS
from tests.e2e.sandbox import ROOT, Finished, Sandbox, SandboxError

HERE = Path(__file__).parent / "clients"
# `npm ci` of tests/e2e/clients/package.json goes here, outside the sources (scripts/setup.sh).
NODE_PACKAGES = ROOT / ".cache" / "node" / "node_modules"

# No key that anybody could own, yet of the right look. Where tests care, they plant their own.
OPENAI_KEY = "sk-" + "a" * 40
ANTHROPIC_KEY = "sk-ant-" + "a" * 40
GOOGLE_KEY = "AIza" + "a" * 35
AWS_KEY_ID = "AKIA" + "A" * 16
GROQ_KEY = "gsk_" + "a" * 52
# Those of the others look like nothing.
OTHER_KEY = "a" * 40
KEYS = (OPENAI_KEY, ANTHROPIC_KEY, GOOGLE_KEY, AWS_KEY_ID, GROQ_KEY, OTHER_KEY)


def python(script: str, *options: str) -> Callable[..., list[str]]:
    """Return how to start a Python client."""
    return lambda *prompts: [sys.executable, str(HERE / f"{script}.py"), *options, *prompts]


def node(script: str) -> Callable[..., list[str]]:
    """Return how to start a Node client."""
    return lambda *prompts: ["node", str(HERE / f"{script}.mjs"), *prompts]


def curl(url: str, model: str, *headers: str, stream: bool = False) -> Callable[..., list[str]]:
    """Return how to ask with curl, as the providers' documentation does."""

    def command(prompt: str) -> list[str]:
        body = {
            "model": model,
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": prompt}],
            "stream": stream,
        }
        options = [
            o for header in ("content-type: application/json", *headers) for o in ("-H", header)
        ]
        return ["curl", "--http1.1", "--no-buffer", "-sS", url, *options, "-d", json.dumps(body)]

    return command


def curl_google(prompt: str) -> list[str]:
    """Return how to ask Gemini with curl, whose answer comes as one growing JSON array."""
    url = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
    body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    headers = ("-H", "content-type: application/json", "-H", f"x-goog-api-key: {GOOGLE_KEY}")
    options = ("--http1.1", "--no-buffer", "-sS", *headers, "-d", json.dumps(body))
    return ["curl", f"{url}:streamGenerateContent", *options]


class Client(NamedTuple):
    """A client: its command for given prompts, and what shall be found of it.

    `sdk` is the name that its headers give it, `tools` whether it offers any. `turns` says
    whether its prompts are conversations, `counts` whether the provider counts its tokens,
    `cached` also those from a cache, `named` whether its answers name the model, and `ids`
    whether its calls of tools have any.
    """

    command: Callable[..., list[str]]
    provider: str
    api: str
    model: str
    sdk: str | None = None
    stream: bool = False
    tools: bool = False
    turns: bool = True
    counts: bool = True
    cached: bool = True
    named: bool = True
    ids: bool = True


_OPENAI = ("openai", "openai.chat", "gpt-4o-mini")
_ANTHROPIC = ("anthropic", "anthropic.messages", "claude-sonnet-4-5")

_RESPONSES = ("openai", "openai.responses", "gpt-4o-mini")
_AZURE = ("azure.ai.openai", "openai.chat", "gpt-4o-mini")
_GEMINI = ("gcp.gemini", "google.generate_content", "gemini-2.5-flash")
_VERTEX = ("gcp.vertex_ai", "google.generate_content", "gemini-2.5-flash")
_CONVERSE = ("aws.bedrock", "bedrock.converse", "anthropic.claude-sonnet-4-5-v1:0")
_INVOKE = ("aws.bedrock", "anthropic.messages", "anthropic.claude-sonnet-4-5-v1:0")
_COHERE = ("cohere", "cohere.chat", "command-a-03-2025")
_MISTRAL = ("mistral_ai", "openai.chat", "mistral-small-latest")
_GROQ = ("groq", "openai.chat", "llama-3.3-70b-versatile")
_OLLAMA = ("ollama", "ollama.chat", "llama3.2")
_GENERATE = ("ollama", "ollama.generate", "llama3.2")

_CURL_OPENAI = ("https://api.openai.com/v1/chat/completions", "gpt-4o-mini")
_CURL_ANTHROPIC = ("https://api.anthropic.com/v1/messages", "claude-sonnet-4-5")
_BEARER = f"authorization: Bearer {OPENAI_KEY}"
_X_API_KEY = (f"x-api-key: {ANTHROPIC_KEY}", "anthropic-version: 2023-06-01")

CLIENTS: dict[str, Client] = {
    "openai_sync": Client(python("openai_sync"), *_OPENAI, sdk="openai-python"),
    "openai_async": Client(python("openai_async"), *_OPENAI, sdk="openai-python"),
    "openai_stream": Client(python("openai_stream"), *_OPENAI, sdk="openai-python", stream=True),
    "openai_tools": Client(python("openai_tools"), *_OPENAI, sdk="openai-python", tools=True),
    "openai_tools_stream": Client(
        python("openai_tools", "--stream"),
        *_OPENAI,
        sdk="openai-python",
        stream=True,
        tools=True,
        counts=False,
    ),
    "anthropic_sync": Client(python("anthropic_sync"), *_ANTHROPIC, sdk="anthropic-python"),
    "anthropic_async": Client(python("anthropic_async"), *_ANTHROPIC, sdk="anthropic-python"),
    "anthropic_stream": Client(
        python("anthropic_stream"), *_ANTHROPIC, sdk="anthropic-python", stream=True
    ),
    "anthropic_tools": Client(
        python("anthropic_tools"), *_ANTHROPIC, sdk="anthropic-python", tools=True
    ),
    "anthropic_tools_stream": Client(
        python("anthropic_tools", "--stream"),
        *_ANTHROPIC,
        sdk="anthropic-python",
        stream=True,
        tools=True,
    ),
    "curl_openai": Client(curl(*_CURL_OPENAI, _BEARER), *_OPENAI, sdk="curl"),
    "curl_openai_stream": Client(
        curl(*_CURL_OPENAI, _BEARER, stream=True), *_OPENAI, sdk="curl", stream=True, counts=False
    ),
    "curl_anthropic": Client(curl(*_CURL_ANTHROPIC, *_X_API_KEY), *_ANTHROPIC, sdk="curl"),
    "curl_anthropic_stream": Client(
        curl(*_CURL_ANTHROPIC, *_X_API_KEY, stream=True), *_ANTHROPIC, sdk="curl", stream=True
    ),
    "curl_google": Client(curl_google, *_GEMINI, sdk="curl", stream=True),
    "openai_urllib": Client(python("openai_urllib"), *_OPENAI, sdk="python-urllib"),
    "openai_azure": Client(python("openai_azure"), *_AZURE, sdk="openai-python"),
    "openai_responses": Client(python("openai_responses"), *_RESPONSES, sdk="openai-python"),
    "openai_responses_stream": Client(
        python("openai_responses", "--stream"), *_RESPONSES, sdk="openai-python", stream=True
    ),
    "openai_responses_tools": Client(
        python("openai_responses_tools"), *_RESPONSES, sdk="openai-python", tools=True
    ),
    "openai_responses_tools_stream": Client(
        python("openai_responses_tools", "--stream"),
        *_RESPONSES,
        sdk="openai-python",
        stream=True,
        tools=True,
    ),
    "google": Client(python("google_chat"), *_GEMINI, sdk="google-genai"),
    "google_stream": Client(
        python("google_chat", "--stream"), *_GEMINI, sdk="google-genai", stream=True
    ),
    "google_tools": Client(python("google_tools"), *_GEMINI, sdk="google-genai", tools=True),
    "google_tools_stream": Client(
        python("google_tools", "--stream"), *_GEMINI, sdk="google-genai", stream=True, tools=True
    ),
    "google_vertex": Client(python("google_chat", "--vertex"), *_VERTEX, sdk="google-genai"),
    "google_vertex_stream": Client(
        python("google_chat", "--vertex", "--stream"), *_VERTEX, sdk="google-genai", stream=True
    ),
    "bedrock_converse": Client(
        python("bedrock_chat", "converse"), *_CONVERSE, sdk="boto3", named=False
    ),
    "bedrock_converse_stream": Client(
        python("bedrock_chat", "converse_stream"), *_CONVERSE, sdk="boto3", named=False, stream=True
    ),
    "bedrock_invoke": Client(python("bedrock_chat", "invoke_model"), *_INVOKE, sdk="boto3"),
    "bedrock_invoke_stream": Client(
        python("bedrock_chat", "invoke_model_with_response_stream"),
        *_INVOKE,
        sdk="boto3",
        stream=True,
    ),
    "bedrock_tools": Client(
        python("bedrock_tools"), *_CONVERSE, sdk="boto3", named=False, tools=True
    ),
    "bedrock_tools_stream": Client(
        python("bedrock_tools", "--stream"),
        *_CONVERSE,
        sdk="boto3",
        named=False,
        stream=True,
        tools=True,
    ),
    "cohere": Client(python("cohere_chat"), *_COHERE, sdk="cohere", named=False),
    "cohere_stream": Client(
        python("cohere_chat", "--stream"), *_COHERE, sdk="cohere", named=False, stream=True
    ),
    "cohere_v1": Client(
        python("cohere_chat", "--v1"), *_COHERE, sdk="cohere", named=False, cached=False
    ),
    "cohere_v1_stream": Client(
        python("cohere_chat", "--v1", "--stream"),
        *_COHERE,
        sdk="cohere",
        named=False,
        stream=True,
        cached=False,
    ),
    "cohere_tools": Client(python("cohere_tools"), *_COHERE, sdk="cohere", named=False, tools=True),
    "mistral": Client(python("mistral_chat"), *_MISTRAL, sdk="mistral-client-python"),
    "mistral_stream": Client(
        python("mistral_chat", "--stream"),
        *_MISTRAL,
        sdk="mistral-client-python",
        stream=True,
        counts=False,
    ),
    "groq": Client(python("groq_chat"), *_GROQ, sdk="groq-python"),
    "groq_stream": Client(
        python("groq_chat", "--stream"), *_GROQ, sdk="groq-python", stream=True, counts=False
    ),
    "ollama": Client(python("ollama_chat"), *_OLLAMA, sdk="ollama-python", cached=False),
    "ollama_stream": Client(
        python("ollama_chat", "--stream"), *_OLLAMA, sdk="ollama-python", stream=True, cached=False
    ),
    "ollama_generate": Client(
        python("ollama_chat", "--generate"),
        *_GENERATE,
        sdk="ollama-python",
        cached=False,
        turns=False,
    ),
    "ollama_generate_stream": Client(
        python("ollama_chat", "--generate", "--stream"),
        *_GENERATE,
        sdk="ollama-python",
        stream=True,
        cached=False,
        turns=False,
    ),
    "ollama_tools": Client(
        python("ollama_tools"), *_OLLAMA, sdk="ollama-python", tools=True, cached=False, ids=False
    ),
    "langchain_openai": Client(
        python("langchain_chat", "openai", "--stream"), *_OPENAI, sdk="openai-python", stream=True
    ),
    "langchain_anthropic": Client(
        python("langchain_chat", "anthropic"), *_ANTHROPIC, sdk="anthropic-python"
    ),
    "pydantic_tools": Client(python("pydantic_tools"), *_OPENAI, sdk="pydantic-ai", tools=True),
    "node_https": Client(node("https"), *_OPENAI),
    "node_fetch": Client(node("fetch"), *_ANTHROPIC),
    "node_openai": Client(node("node_openai"), *_OPENAI, sdk="openai-node", stream=True),
    "node_anthropic": Client(node("node_anthropic"), *_ANTHROPIC, sdk="anthropic-js", stream=True),
    "node_google": Client(node("node_google"), *_GEMINI, sdk="google-genai", stream=True),
    "node_vercel": Client(node("node_vercel"), *_RESPONSES, sdk="vercel-ai", stream=True),
}


def curl_after_a_slow_page(prompt: str) -> list[str]:
    """Return a curl that fetches a page for 300 ms before it asks: time to hook its library."""
    ask = CLIENTS["curl_openai"].command(prompt)
    return ["curl", "--http1.1", "-sS", "https://www.example.com/slow", "--next", *ask[1:]]


class Operation(NamedTuple):
    """What a model does beside chats; `described` stands for an answer that is no text.

    `sent` and `got` stand for the files after the text of a prompt or answer.
    """

    command: Callable[..., list[str]]
    api: str
    model: str
    described: str | None = None
    sent: str = ""
    got: str = ""


OPERATIONS = {
    "openai_embeddings": Operation(
        python("openai_operations", "embeddings"),
        "openai.embeddings",
        "text-embedding-3-small",
        f"[1 embeddings of {DIMENSIONS} dimensions]",
    ),
    "openai_moderations": Operation(
        python("openai_operations", "moderations"),
        "openai.moderations",
        "omni-moderation-latest",
        "[flagged: violence]",
    ),
    "openai_images": Operation(
        python("openai_operations", "images"),
        "openai.images",
        "gpt-image-1",
        got="\n[image, 33 B]",
    ),
    "openai_speech": Operation(
        python("openai_operations", "speech"),
        "openai.audio.speech",
        "gpt-4o-mini-tts",
        "[audio/mpeg, 1 KB]",
    ),
    "openai_transcriptions": Operation(
        python("openai_operations", "transcriptions"),
        "openai.audio.transcriptions",
        "whisper-1",
        sent="\n[sound.wav, 104 B]",
    ),
    "openai_realtime": Operation(python("openai_realtime"), "openai.realtime", "gpt-realtime"),
}


class Bed(NamedTuple):
    """An open sandbox with the provider listening in it; `directory` has its certificates."""

    sandbox: Sandbox
    provider_pid: int
    directory: Path

    def ask(
        self,
        client: str,
        *prompts: str,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run a client of the table until it ends, whether it succeeds or not."""
        return self.sandbox.run(CLIENTS[client].command(*prompts), stdin, environment)


@contextmanager
def bed(directory: Path, *options: str) -> Iterator[Bed]:
    """Open a sandbox and start the provider in it; `directory` takes the certificates."""
    with Sandbox(directory) as sandbox:
        authority = str(directory / "ca.pem")
        sandbox.environment |= {
            "SSL_CERT_FILE": authority,
            "CURL_CA_BUNDLE": authority,
            "NODE_EXTRA_CA_CERTS": authority,
            "NODE_PACKAGES": str(NODE_PACKAGES),
            "AWS_CA_BUNDLE": authority,
            "OPENAI_API_KEY": OPENAI_KEY,
            "AZURE_OPENAI_API_KEY": OTHER_KEY,
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
            "GOOGLE_API_KEY": GOOGLE_KEY,
            "AWS_ACCESS_KEY_ID": AWS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": OTHER_KEY,
            "CO_API_KEY": OTHER_KEY,
            "MISTRAL_API_KEY": OTHER_KEY,
            "GROQ_API_KEY": GROQ_KEY,
            "OLLAMA_API_KEY": OTHER_KEY,
        }
        command = [sys.executable, "-m", "tests.e2e.provider", "--cert-dir", str(directory)]
        command += options
        yield Bed(sandbox, start_until_ready(sandbox, command), directory)


def start_until_ready(sandbox: Sandbox, command: Sequence[str]) -> int:
    """Start a server in the sandbox, wait until it prints `ready`, and return its pid."""
    server = sandbox.start(command)
    assert server.stdout is not None
    assert server.stderr is not None
    if server.stdout.readline() != b"ready\n":
        raise SandboxError(f"{' '.join(command)} did not start: {server.stderr.read().decode()}")
    return server.pid
