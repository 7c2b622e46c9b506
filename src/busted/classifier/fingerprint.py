"""Which client library or agent speaks, as its own headers say, and the shape of what it asks.

Headers can be forged and are: this is what the client claims. Agents that wrap an SDK come
before it. Spellings are those that real clients sent (REACH and FACTS of the survey); names
like `openai-python` are ours and occur in no User-Agent.

A signature is a hash of which keys and tools a request has, never of their values, so that
two requests of one program are alike whatever is said in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from busted.events import Sdk
from busted.protocols.http import Headers, header

MAX_AGENT_CHARS = 512
MAX_VERSION_CHARS = 40

# What starts the User-Agent, up to and with the slash before the version.
_AGENTS = {
    "claude-cli": "claude-code",
    "claude-code": "claude-code",
    "codex_cli_rs": "codex",
    "codex_vscode": "codex",
    "codex_exec": "codex",
    "codex_sdk_ts": "codex",
    "codex-tui": "codex",
    "geminicli": "gemini-cli",
    "google-genai-sdk": "google-genai",
    "litellm": "litellm",
    "aider": "aider",
    "pydantic-ai": "pydantic-ai",
    "opencode": "opencode",
    "ai": "vercel-ai",
    "ai-sdk": "vercel-ai",
    "grok-shell": "grok-build",
    "grok-pager": "grok-build",
    "githubcopilotchat": "copilot-chat",
    "boto3": "boto3",
}

# Headers that one agent alone sends; the value is its name and where its version stands.
_COMPANIONS = {
    "x-claude-code-session-id": "claude-code",
    "x-qwen-code-session-id": "qwen-code",
}

_PRODUCT = re.compile(r"([A-Za-z][\w.-]{0,39})/v?(\d[\w.+-]{0,39})?")
# Stainless, which generates the SDKs of OpenAI, Anthropic, Groq and others, writes
# `{client class}/{language} {version}`: https://www.stainless.com
_STAINLESS = re.compile(r"(?:Async)?([A-Za-z]{1,40})/(Python|JS) (\d[\w.+-]{0,39})")


def sdk(headers: Headers) -> Sdk | None:
    """Return the client library or agent that a request's headers name, or None."""
    agent = (header(headers, "user-agent") or "")[:MAX_AGENT_CHARS]
    named = _from_agent(agent)
    for name, client in _COMPANIONS.items():
        if header(headers, name) is not None:
            return named if named and named.name == client else Sdk(name=client)
    # The agent names itself here whatever its User-Agent says.
    if (header(headers, "originator") or "").startswith("codex"):
        return named if named and named.name == "codex" else Sdk(name="codex")
    return named or _from_stainless(headers)


def _from_agent(agent: str) -> Sdk | None:
    if match := _STAINLESS.match(agent):
        return Sdk(name=_stainless_name(match[1], match[2].lower()), version=match[3])
    match = _PRODUCT.match(agent)
    # Browsers and whoever poses as one begin with Mozilla, which names nobody.
    if match is None or match[1] == "Mozilla":
        return None
    known = _AGENTS.get(match[1].lower())
    version = match[2]
    if known == "vercel-ai" and not version:  # ai-sdk/provider-utils/3.0.1
        found = re.search(r"/(\d[\w.+-]{0,39})", agent)
        version = found[1] if found else None
    if known is None and version is None:
        return None
    return Sdk(name=known or match[1].lower(), version=version)


def _from_stainless(headers: Headers) -> Sdk | None:
    language = header(headers, "x-stainless-lang")
    if not language:
        return None
    vendor = "anthropic" if header(headers, "anthropic-version") else "stainless"
    version = header(headers, "x-stainless-package-version")
    return Sdk(
        name=_stainless_name(vendor, language.lower()[:MAX_VERSION_CHARS]),
        version=version[:MAX_VERSION_CHARS] if version else None,
    )


def _stainless_name(client: str, language: str) -> str:
    vendor = client.lower()
    for known in ("openai", "anthropic"):  # AzureOpenAI, AnthropicBedrock, AnthropicVertex
        if known in vendor:
            vendor = known
    if (vendor, language) == ("openai", "js"):
        return "openai-node"  # the name of its repository
    return f"{vendor}-{language}"


def signature(
    api: str | None, client: str | None, keys: Iterable[str], tools: Iterable[str]
) -> str:
    """Return the shape of a request as 16 hex digits: which keys and tools, not their values."""
    parts = (api or "", client or "", *sorted(set(keys)), "", *sorted(set(tools)))
    return f"{fnv1a('|'.join(parts).encode('utf-8', 'surrogatepass')):016x}"


def fnv1a(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
