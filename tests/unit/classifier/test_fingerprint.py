import pytest

from busted.classifier.fingerprint import fnv1a, sdk, signature
from busted.events import Sdk


@pytest.mark.parametrize(
    ("agent", "name", "version"),
    [
        ("OpenAI/Python 3.54.0", "openai-python", "3.54.0"),
        ("AsyncOpenAI/Python 1.109.1", "openai-python", "1.109.1"),
        ("AzureOpenAI/Python 1.0.0", "openai-python", "1.0.0"),
        ("AsyncAzureOpenAI/Python 1.0.0", "openai-python", "1.0.0"),
        ("OpenAI/JS 6.49.0", "openai-node", "6.49.0"),
        ("Anthropic/Python 2.12.0", "anthropic-python", "2.12.0"),
        ("AsyncAnthropic/Python 2.12.0", "anthropic-python", "2.12.0"),
        ("AnthropicBedrock/Python 2.0", "anthropic-python", "2.0"),
        ("Anthropic/JS 1.12.0", "anthropic-js", "1.12.0"),
        ("Groq/Python 1.7.0", "groq-python", "1.7.0"),
        ("claude-cli/2.1.197 (external, cli)", "claude-code", "2.1.197"),
        ("claude-cli/2.1.0 (external, sdk-py, agent-sdk/0.1)", "claude-code", "2.1.0"),
        ("claude-code/2.1.0", "claude-code", "2.1.0"),
        ("codex_cli_rs/0.169.0 (Debian 12; x86_64) xterm", "codex", "0.169.0"),
        ("codex_vscode/0.1.0", "codex", "0.1.0"),
        ("codex_exec/0.1.0", "codex", "0.1.0"),
        ("codex_sdk_ts/0.1.0", "codex", "0.1.0"),
        ("GeminiCLI/0.61.0/gemini-2.5-pro (linux; x64)", "gemini-cli", "0.61.0"),
        ("google-genai-sdk/3.4.0 gl-python/3.11.7", "google-genai", "3.4.0"),
        ("litellm/1.83.0", "litellm", "1.83.0"),
        ("aider/0.86.1", "aider", "0.86.1"),
        ("pydantic-ai/2.68.0", "pydantic-ai", "2.68.0"),
        ("ai/6.0.1 ai-sdk/openai/2.0.1 runtime/node.js/20", "vercel-ai", "6.0.1"),
        ("ai-sdk/provider-utils/3.0.1 runtime/node.js/20", "vercel-ai", "3.0.1"),
        (
            "opencode/1.18.33 ai-sdk/provider-utils/3.0.1 runtime/bun/1.3.14",
            "opencode",
            "1.18.33",
        ),
        ("grok-shell/0.1.2", "grok-build", "0.1.2"),
        ("grok-pager/0.1.2", "grok-build", "0.1.2"),
        ("GitHubCopilotChat/0.30.0", "copilot-chat", "0.30.0"),
        ("Boto3/1.44.0 md/Botocore#1.44.0", "boto3", "1.44.0"),
        ("curl/7.88.1", "curl", "7.88.1"),
        ("python-requests/2.32.3", "python-requests", "2.32.3"),
    ],
)
def test_user_agents_of_real_clients(agent: str, name: str, version: str) -> None:
    assert sdk((("user-agent", agent),)) == Sdk(name=name, version=version)


@pytest.mark.parametrize(
    "agent", ["", "Mozilla/5.0 (X11; Linux) Chrome/140", "just words", "/1.0", "é/1.0", "node"]
)
def test_other_user_agents_name_nobody(agent: str) -> None:
    assert sdk((("user-agent", agent),)) is None


def test_agents_name_themselves_in_companion_headers() -> None:
    wrapped = ("user-agent", "Anthropic/JS 1.12.0")

    assert sdk((wrapped, ("x-claude-code-session-id", "s"))) == Sdk(name="claude-code")
    assert sdk((("user-agent", "node"), ("originator", "codex_cli_rs"))) == Sdk(name="codex")
    assert sdk((("user-agent", "codex_exec/1.0"), ("originator", "codex_exec"))) == Sdk(
        name="codex", version="1.0"
    )


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
