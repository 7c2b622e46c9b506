from typing import Any

import pytest

from busted.classifier import Direction, classify, fingerprint
from busted.classifier.fingerprint import MAX_BETAS, api_version, betas, fnv1a, signature
from busted.events import Sdk
from busted.protocols.http import Headers, by_name
from tests.unit.classifier.wire import CHAT, request


def agent(headers: Headers) -> Sdk | None:
    return fingerprint.agent(by_name(headers))


def sdk(headers: Headers) -> Sdk | None:
    return fingerprint.sdk(by_name(headers))


# User-Agent: library, agent.
CLIENTS: list[tuple[str, tuple[str, str] | None, tuple[str, str] | None]] = [
    ("OpenAI/Python 3.54.0", ("openai-python", "3.54.0"), None),
    ("AsyncOpenAI/Python 1.109.1", ("openai-python", "1.109.1"), None),
    ("AzureOpenAI/Python 1.0.0", ("openai-python", "1.0.0"), None),
    ("AsyncAzureOpenAI/Python 1.0.0", ("openai-python", "1.0.0"), None),
    ("OpenAI/JS 6.49.0", ("openai-node", "6.49.0"), None),
    ("Anthropic/Python 2.12.0", ("anthropic-python", "2.12.0"), None),
    ("AsyncAnthropic/Python 2.12.0", ("anthropic-python", "2.12.0"), None),
    ("AnthropicBedrock/Python 2.0", ("anthropic-python", "2.0"), None),
    ("Anthropic/JS 1.12.0", ("anthropic-js", "1.12.0"), None),
    ("Groq/Python 1.7.0", ("groq-python", "1.7.0"), None),
    ("claude-cli/2.1.197 (external, cli)", None, ("claude-code", "2.1.197")),
    ("claude-cli/2.1.0 (external, sdk-py)", None, ("claude-code", "2.1.0")),
    (
        "claude-cli/2.1.0 (external, sdk-py, agent-sdk/0.1.3)",
        ("claude-agent-sdk", "0.1.3"),
        ("claude-code", "2.1.0"),
    ),
    ("claude-code/2.1.0", None, ("claude-code", "2.1.0")),
    ("codex_cli_rs/0.169.0 (Debian 12; x86_64) xterm", None, ("codex", "0.169.0")),
    ("codex_vscode/0.1.0", None, ("codex", "0.1.0")),
    ("codex_exec/0.1.0", None, ("codex", "0.1.0")),
    ("codex_sdk_ts/0.1.0", None, ("codex", "0.1.0")),
    ("GeminiCLI/0.61.0/gemini-2.5-pro (linux; x64)", None, ("gemini-cli", "0.61.0")),
    ("google-genai-sdk/3.4.0 gl-python/3.11.7", ("google-genai", "3.4.0"), None),
    ("litellm/1.83.0", ("litellm", "1.83.0"), None),
    ("aider/0.86.1", None, ("aider", "0.86.1")),
    ("pydantic-ai/2.68.0", ("pydantic-ai", "2.68.0"), None),
    ("ai/6.0.1 ai-sdk/openai/2.0.1 runtime/node.js/20", ("vercel-ai", "6.0.1"), None),
    ("ai-sdk/provider-utils/3.0.1 runtime/node.js/20", ("vercel-ai", "3.0.1"), None),
    (
        "opencode/1.18.33 ai-sdk/provider-utils/3.0.1 runtime/bun/1.3.14",
        ("vercel-ai", "3.0.1"),
        ("opencode", "1.18.33"),
    ),
    ("grok-shell/0.1.2", None, ("grok-build", "0.1.2")),
    ("grok-pager/0.1.2", None, ("grok-build", "0.1.2")),
    ("QwenCode/0.2.1 (linux; x64)", None, ("qwen-code", "0.2.1")),
    ("GitHubCopilotChat/0.30.0", None, ("copilot-chat", "0.30.0")),
    ("Boto3/1.44.0 md/Botocore#1.44.0", ("boto3", "1.44.0"), None),
    ("Botocore/1.44.0 ua/2.1", ("botocore", "1.44.0"), None),
    (
        "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11.7 "
        "md/pyimpl#CPython m/E,Z,g,b cfg/retry-mode#standard Botocore/1.44.5",
        ("boto3", "1.44.5"),
        None,
    ),
    ("google-genai-sdk/2.32.0 gl-node/v20.20.2", ("google-genai", "2.32.0"), None),
    (
        "ai-sdk/openai/3.0.141 ai-sdk/provider-utils/4.0.66 runtime/node.js/v20.20.2",
        ("vercel-ai", "3.0.141"),
        None,
    ),
    ("cohere/7.3.1", ("cohere", "7.3.1"), None),
    ("langchain-anthropic/1.7.7", ("langchain-anthropic", "1.7.7"), None),
    ("mistral-client-python/3.7.0", ("mistral-client-python", "3.7.0"), None),
    (
        "ollama-python/0.6.3 (x86_64 linux) Python/3.11.7",
        ("ollama-python", "0.6.3"),
        None,
    ),
    ("python-httpx2/2.16.2", ("python-httpx2", "2.16.2"), None),
    ("Python-urllib/3.11", ("python-urllib", "3.11"), None),
    ("curl/7.88.1", ("curl", "7.88.1"), None),
    ("python-requests/2.32.3", ("python-requests", "2.32.3"), None),
]


def named(told: tuple[str, str] | None) -> Sdk | None:
    return Sdk(name=told[0], version=told[1]) if told else None


@pytest.mark.parametrize(("text", "library", "application"), CLIENTS)
def test_user_agents_of_real_clients(
    text: str, library: tuple[str, str] | None, application: tuple[str, str] | None
) -> None:
    headers = (("user-agent", text),)

    assert agent(headers) == named(application)
    assert sdk(headers) == named(library or application)


def product(text: str) -> str:
    """The first product of a User-Agent that names its client."""
    return text if "/Python " in text or "/JS " in text else text.split()[0]


@pytest.mark.parametrize("text", [product(text) for text, _, _ in CLIENTS])
def test_what_only_looks_like_a_client_is_not_taken_for_it(text: str) -> None:
    def names(text: str) -> set[str]:
        headers = (("user-agent", text),)
        return {told.name for told in (sdk(headers), agent(headers)) if told}

    assert len(names(text)) == 1
    for near in (f"not{text}", f"my-{text}", f"x.{text}", f"x/{text}", text.replace("/", " ")):
        assert names(near) & names(text) == set(), near


@pytest.mark.parametrize(
    "text", ["", "Mozilla/5.0 (X11; Linux) ai/6.0", "just words", "/1.0", "é/1.0", "node"]
)
def test_other_user_agents_name_nobody(text: str) -> None:
    assert sdk((("user-agent", text),)) is None
    assert agent((("user-agent", text),)) is None


@pytest.mark.parametrize(
    ("header", "value", "name"),
    [
        ("x-claude-code-session-id", "s", "claude-code"),
        ("x-claude-code-agent-id", "a", "claude-code"),
        ("x-qwen-code-session-id", "s", "qwen-code"),
        ("originator", "codex_cli_rs", "codex"),
        ("originator", "codex_exec", "codex"),
        ("copilot-integration-id", "vscode-chat", "copilot-chat"),
        ("copilot-integration-id", "copilot-developer-cli", "copilot"),
    ],
)
def test_agents_name_themselves_in_companion_headers(header: str, value: str, name: str) -> None:
    library = ("user-agent", "Anthropic/JS 1.12.0")
    headers = (library, (header, value))

    assert agent(headers) == Sdk(name=name)
    assert sdk(headers) == Sdk(name="anthropic-js", version="1.12.0")
    assert agent((library, (f"{header}-x", value))) is None
    assert agent((library, (f"x-{header}", value))) is None


def test_a_companion_takes_the_version_from_where_its_agent_says_it() -> None:
    codex = (("user-agent", "codex_exec/1.0"), ("originator", "codex_exec"))
    assert agent(codex) == Sdk(name="codex", version="1.0")
    copilot = (("copilot-integration-id", "vscode-chat"),)
    plugin = ("editor-plugin-version", "copilot-chat/0.30.0")
    assert agent((*copilot, plugin)) == Sdk(name="copilot-chat", version="0.30.0")
    assert agent((*copilot, ("editor-plugin-version", "x/1"))) == Sdk(name="copilot-chat")
    assert agent((("originator", "opencode"),)) is None


@pytest.mark.parametrize(
    "headers",
    [
        [("x-claude-code-session-id", "5e55")],
        [("x-qwen-code-session-id", "5e55")],
        [("session-id", "5e55"), ("originator", "codex_cli_rs")],
        [("originator", "codex_exec"), ("session_id", "5e55")],
    ],
)
def test_a_session_that_an_agent_names_is_hashed(headers: Headers) -> None:
    found = fingerprint.session(by_name(headers))

    assert found is not None
    assert "5e55" not in found
    assert found == fingerprint.session({"x-claude-code-session-id": "5e55"})
    assert found != fingerprint.session({"x-claude-code-session-id": "5e56"})


@pytest.mark.parametrize("headers", [{}, {"session-id": "5e55"}, {"originator": "codex"}])
def test_a_session_of_nobody_known_is_none(headers: dict[str, str]) -> None:
    assert fingerprint.session(headers) is None


def test_an_agent_and_the_library_it_wraps_are_told_apart() -> None:
    claude = (
        ("user-agent", "claude-cli/2.1.197 (external, cli)"),
        ("x-stainless-lang", "js"),
        ("x-stainless-package-version", "0.70.0"),
        ("anthropic-version", "2023-06-01"),
    )
    gemini = (
        ("user-agent", "GeminiCLI/0.61.0/gemini-2.5-pro (linux; x64)"),
        ("x-goog-api-client", "google-genai-sdk/2.32.0 gl-node/v20"),
    )

    assert agent(claude) == Sdk(name="claude-code", version="2.1.197")
    assert sdk(claude) == Sdk(name="anthropic-js", version="0.70.0")
    assert agent(gemini) == Sdk(name="gemini-cli", version="0.61.0")
    assert sdk(gemini) == Sdk(name="google-genai", version="2.32.0")


@pytest.mark.parametrize(
    ("headers", "target", "version"),
    [
        ({"anthropic-version": "2023-06-01"}, "/v1/messages", "2023-06-01"),
        ({"x-github-api-version": "2025-05-01"}, "/chat/completions", "2025-05-01"),
        ({}, "/openai/deployments/d/chat/completions?api-version=2024-10-21", "2024-10-21"),
        ({}, "/openai/x?a=1&api-version=2024-10-21-preview&b=2", "2024-10-21-preview"),
        ({}, "/x?my-api-version=1", None),
        ({}, "/x?api-version=", None),
        ({}, "/api-version=1", None),
        ({"anthropic-version": "v" * 100}, "/x", "v" * 40),
    ],
)
def test_the_version_of_the_api(headers: dict[str, str], target: str, version: str | None) -> None:
    assert api_version(headers, target) == version


def test_betas_are_listed_whichever_header_asks_for_them() -> None:
    headers = (
        ("anthropic-beta", "context-1m-2025-08-07, oauth-2025-04-20,,"),
        ("openai-beta", "responses=v1"),
        ("x-beta", "no"),
    )

    assert betas(headers) == ("context-1m-2025-08-07", "oauth-2025-04-20", "responses=v1")
    assert betas(()) == ()
    assert betas((("anthropic-beta", "a," * 1_000),)) == ("a",) * MAX_BETAS


def test_a_prompt_tells_agent_library_and_versions() -> None:
    headers = {
        "User-Agent": "opencode/1.18.33 ai-sdk/provider-utils/3.0.1",
        "OpenAI-Beta": "x=1",
    }
    found = classify(
        request(CHAT, path="/v1/chat/completions?api-version=7", headers=headers),
        Direction.WRITE,
        "api.openai.com",
    )

    prompt: Any = found.actions[0]
    assert found.agent == prompt.agent == Sdk(name="opencode", version="1.18.33")
    assert found.sdk == prompt.sdk == Sdk(name="vercel-ai", version="3.0.1")
    assert (prompt.api_version, prompt.betas) == ("7", ("x=1",))


def test_stainless_headers_name_what_no_user_agent_does() -> None:
    headers = (("x-stainless-lang", "python"), ("x-stainless-package-version", "1.2.3"))

    assert sdk(headers) == Sdk(name="stainless-python", version="1.2.3")
    assert sdk((*headers, ("anthropic-version", "2023-06-01"))) == Sdk(
        name="anthropic-python", version="1.2.3"
    )


# http://www.isthe.com/chongo/src/fnv/test_fnv.c
@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)],
)
def test_fnv1a_is_the_published_one(data: bytes, value: int) -> None:
    assert fnv1a(data) == value


def test_a_signature_does_not_depend_on_order() -> None:
    one = signature("openai.chat", "curl", ["model", "messages"], ["b", "a"])

    assert one == signature("openai.chat", "curl", ["messages", "model"], ["a", "b"])
    assert one != signature("openai.chat", "curl", ["messages", "model", "a"], ["b"])
    assert one != signature("openai.chat", None, ["messages", "model"], ["a", "b"])
    assert len(one) == 16
