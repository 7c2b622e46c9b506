"""Which client library and which agent speak, as their own headers say, and the shape of what
they ask.

Headers can be forged and are: this is what the client claims. An agent often wraps a library
and both have headers of their own, so the two are told apart. Spellings are those that real
clients sent; names like `openai-python` are ours and occur in no User-Agent.

A signature is a hash of which keys and tools a request has, never of their values, so that
two requests of one program are alike whatever is said in them.

Left out: `X-App: cli` (Claude Code's, but others' too), `ChatGPT-Account-ID` and `thread-id` (of
whoever uses that backend), `X-Title` (free text).
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping

from busted.events import Sdk
from busted.protocols.http import Headers, NamedHeaders

MAX_AGENT_CHARS = 512
MAX_VERSION_CHARS = 40
# How many User-Agents, and how many shapes of requests, are remembered: what the programs of a
# host send, again and again. Longer shapes have many tools; 4 KiB are about a hundred.
MAX_REMEMBERED = 256
MAX_REMEMBERED_BYTES = 4096
# Claude Code sends about ten.
MAX_BETAS = 32
MAX_BETA_CHARS = 100

# The name of a product in a User-Agent (before the slash, in lower case): the agent.
_AGENTS = {
    "claude-cli": "claude-code",
    "claude-code": "claude-code",
    "codex_cli_rs": "codex",
    "codex_vscode": "codex",
    "codex_exec": "codex",
    "codex_sdk_ts": "codex",
    "codex-tui": "codex",
    "geminicli": "gemini-cli",
    "qwencode": "qwen-code",
    "aider": "aider",
    "opencode": "opencode",
    "grok-shell": "grok-build",
    "grok-pager": "grok-build",
    "githubcopilotchat": "copilot-chat",
}

# The same for client libraries. The Agent SDK stands in the comment of Claude Code, which it runs.
_LIBRARIES = {
    "agent-sdk": "claude-agent-sdk",
    "google-genai-sdk": "google-genai",
    "litellm": "litellm",
    "pydantic-ai": "pydantic-ai",
    "ai": "vercel-ai",
    "ai-sdk": "vercel-ai",
    "boto3": "boto3",
    "botocore": "botocore",
}

# A header that one agent alone sends, what its value begins with, and the agent. They go
# before the User-Agent, which agents often leave to a library.
_COMPANIONS = (
    ("x-claude-code-session-id", "", "claude-code"),
    ("x-claude-code-agent-id", "", "claude-code"),
    ("x-qwen-code-session-id", "", "qwen-code"),
    ("originator", "codex", "codex"),
    ("copilot-integration-id", "vscode", "copilot-chat"),
    ("copilot-integration-id", "", "copilot"),
)
_COMPANION_HEADERS = frozenset(name for name, _, _ in _COMPANIONS)
# Headers with an agent's own session, and which header must be there too where others have it.
_SESSIONS = (
    ("x-claude-code-session-id", None),
    ("x-qwen-code-session-id", None),
    ("session-id", "originator"),
    ("session_id", "originator"),
)
# Where the version of a companion's agent stands if not in the User-Agent: `copilot-chat/0.30`.
_PLUGIN_VERSION = "editor-plugin-version"

# Headers that name the version of the API; Azure has it in the query.
_API_VERSIONS = ("anthropic-version", "x-github-api-version")
_API_VERSION_QUERY = re.compile(r"[?&]api-version=([\w.-]{1,40})(?:[&#]|$)")
_BETAS = frozenset(("anthropic-beta", "openai-beta"))

_PRODUCT = re.compile(r"([A-Za-z][\w.-]{0,39})/v?(\d[\w.+-]{0,39})?")
_PRODUCTS = re.compile(r"(?<![\w./-])" + _PRODUCT.pattern)
# `ai-sdk/provider-utils/3.0.1`: the version is that of a part.
_PART_VERSION = re.compile(r"/(\d[\w.+-]{0,39})")
# Stainless, which generates the SDKs of OpenAI, Anthropic, Groq and others, writes
# `{client class}/{language} {version}`: https://www.stainless.com
_STAINLESS = re.compile(r"(?:Async)?([A-Za-z]{1,40})/(Python|JS) (\d[\w.+-]{0,39})")
# Classes of these SDKs that are named after who serves the model.
_VENDORS = {
    "azureopenai": "openai",
    "anthropicbedrock": "anthropic",
    "anthropicbedrockmantle": "anthropic",
    "anthropicvertex": "anthropic",
    "anthropicfoundry": "anthropic",
}


def agent(headers: NamedHeaders) -> Sdk | None:
    """Return the agent, an application for people, that a request's headers name, or None."""
    named = _named(headers.get("user-agent"), _named_agent)
    if headers.keys().isdisjoint(_COMPANION_HEADERS):
        return named
    for name, start, client in _COMPANIONS:
        if name not in headers or not headers[name].startswith(start):
            continue
        if named and named.name == client:
            return named
        plugin = _PRODUCT.match(headers.get(_PLUGIN_VERSION, "")[:MAX_AGENT_CHARS])
        known = plugin is not None and plugin[1].lower() == client
        return Sdk(name=client, version=plugin[2] if plugin and known else None)
    return named


def session(headers: NamedHeaders) -> str | None:
    """Return a hash of the session that an agent names in a header, or None."""
    for name, agent_header in _SESSIONS:
        if name in headers and (agent_header is None or agent_header in headers):
            told = headers[name].encode("utf-8", "surrogatepass")
            return hashlib.blake2b(told, digest_size=8).hexdigest()
    return None


def sdk(headers: NamedHeaders) -> Sdk | None:
    """Return the client library that a request's headers name, else the agent, or None."""
    text = headers.get("user-agent", "")[:MAX_AGENT_CHARS]
    return (
        _named(text, _generated_library)
        or _named(text, _named_library)
        or _named(headers.get("x-goog-api-client"), _named_library)
        or _from_stainless(headers)
        or agent(headers)
        or _unknown_product(text)
    )


def api_version(headers: NamedHeaders, target: str) -> str | None:
    """Return the version of the API that a request asks for in a header or in its query."""
    for name in _API_VERSIONS:
        if value := headers.get(name):
            return value[:MAX_VERSION_CHARS]
    match = _API_VERSION_QUERY.search(target) if "api-version=" in target else None
    return match[1] if match else None


def betas(headers: Headers) -> tuple[str, ...]:
    """Return the unfinished features that a request asks for, such as `context-1m-2025-08-07`."""
    told = ",".join([value for name, value in headers if name in _BETAS])
    if not told:
        return ()
    found = (beta.strip()[:MAX_BETA_CHARS] for beta in told.split(",", MAX_BETAS)[:MAX_BETAS])
    return tuple(beta for beta in found if beta)


def _named(text: str | None, named: Callable[[str], Sdk | None]) -> Sdk | None:
    # Browsers and whoever poses as one begin with Mozilla, which names nobody.
    return None if not text or text.startswith("Mozilla/") else named(text[:MAX_AGENT_CHARS])


@functools.lru_cache(MAX_REMEMBERED)
def _named_agent(text: str) -> Sdk | None:
    return _product(text, _AGENTS)


@functools.lru_cache(MAX_REMEMBERED)
def _generated_library(text: str) -> Sdk | None:
    match = _STAINLESS.match(text)
    if match is None:
        return None
    return Sdk(name=_stainless_name(match[1], match[2].lower()), version=match[3])


@functools.lru_cache(MAX_REMEMBERED)
def _named_library(text: str) -> Sdk | None:
    return _product(text, _LIBRARIES)


def _product(text: str, known: Mapping[str, str]) -> Sdk | None:
    """Return the first product in a User-Agent, or what is written like one, that is known."""
    for match in _PRODUCTS.finditer(text):
        name = known.get(match[1].lower())
        if name is not None:
            version = match[2]
            if version is None and (part := _PART_VERSION.search(text, match.end())):
                version = part[1]
            return Sdk(name=name, version=version)
    return None


def _unknown_product(text: str) -> Sdk | None:
    match = _PRODUCT.match(text)
    if match is None or match[2] is None or match[1] == "Mozilla":
        return None
    return Sdk(name=match[1].lower(), version=match[2])


def _from_stainless(headers: NamedHeaders) -> Sdk | None:
    language = headers.get("x-stainless-lang")
    if not language:
        return None
    vendor = "anthropic" if headers.get("anthropic-version") else "stainless"
    version = headers.get("x-stainless-package-version")
    return Sdk(
        name=_stainless_name(vendor, language.lower()[:MAX_VERSION_CHARS]),
        version=version[:MAX_VERSION_CHARS] if version else None,
    )


def _stainless_name(client: str, language: str) -> str:
    vendor = _VENDORS.get(client.lower(), client.lower())
    if (vendor, language) == ("openai", "js"):
        return "openai-node"  # the name of its repository
    return f"{vendor}-{language}"


def signature(
    api: str | None, client: str | None, keys: Iterable[str], tools: Iterable[str]
) -> str:
    """Return the shape of a request as 16 hex digits: which keys and tools, not their values."""
    parts = (api or "", client or "", *sorted({*keys}), "", *sorted({*tools}))
    shape = "|".join(parts).encode("utf-8", "surrogatepass")
    known = len(shape) <= MAX_REMEMBERED_BYTES
    return f"{_remembered_fnv1a(shape) if known else fnv1a(shape):016x}"


def fnv1a(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


_remembered_fnv1a = functools.lru_cache(MAX_REMEMBERED)(fnv1a)
