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

from tests.e2e.sandbox import ROOT, Finished, Sandbox, SandboxError

HERE = Path(__file__).parent / "clients"
# `npm ci` of tests/e2e/clients/package.json goes here, outside the sources (scripts/setup.sh).
NODE_PACKAGES = ROOT / ".cache" / "node" / "node_modules"

# No key that anybody could own, yet of the right look. Where tests care, they plant their own.
OPENAI_KEY = "sk-" + "a" * 40
ANTHROPIC_KEY = "sk-ant-" + "a" * 40


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


class Client(NamedTuple):
    """A client: its command for given prompts, and what shall be found of it.

    `sdk` is the name that its headers give it, `tools` whether it offers any.
    """

    command: Callable[..., list[str]]
    provider: str
    api: str
    model: str
    sdk: str | None = None
    stream: bool = False
    tools: bool = False


_OPENAI = ("openai", "openai.chat", "gpt-4o-mini")
_ANTHROPIC = ("anthropic", "anthropic.messages", "claude-sonnet-4-5")

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
        python("openai_tools", "--stream"), *_OPENAI, sdk="openai-python", stream=True, tools=True
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
        curl(*_CURL_OPENAI, _BEARER, stream=True), *_OPENAI, sdk="curl", stream=True
    ),
    "curl_anthropic": Client(curl(*_CURL_ANTHROPIC, *_X_API_KEY), *_ANTHROPIC, sdk="curl"),
    "curl_anthropic_stream": Client(
        curl(*_CURL_ANTHROPIC, *_X_API_KEY, stream=True), *_ANTHROPIC, sdk="curl", stream=True
    ),
    "openai_urllib": Client(python("openai_urllib"), *_OPENAI, sdk="python-urllib"),
    "node_https": Client(node("https"), *_OPENAI),
    "node_fetch": Client(node("fetch"), *_ANTHROPIC),
    "node_openai": Client(node("node_openai"), *_OPENAI, sdk="openai-node", stream=True),
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
def bed(directory: Path) -> Iterator[Bed]:
    """Open a sandbox and start the provider in it; `directory` takes the certificates."""
    with Sandbox(directory) as sandbox:
        authority = str(directory / "ca.pem")
        sandbox.environment |= {
            "SSL_CERT_FILE": authority,
            "CURL_CA_BUNDLE": authority,
            "NODE_EXTRA_CA_CERTS": authority,
            "NODE_PACKAGES": str(NODE_PACKAGES),
            "OPENAI_API_KEY": OPENAI_KEY,
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
        }
        command = [sys.executable, "-m", "tests.e2e.provider", "--cert-dir", str(directory)]
        yield Bed(sandbox, start_until_ready(sandbox, command), directory)


def start_until_ready(sandbox: Sandbox, command: Sequence[str]) -> int:
    """Start a server in the sandbox, wait until it prints `ready`, and return its pid."""
    server = sandbox.start(command)
    assert server.stdout is not None
    assert server.stderr is not None
    if server.stdout.readline() != b"ready\n":
        raise SandboxError(f"{' '.join(command)} did not start: {server.stderr.read().decode()}")
    return server.pid
