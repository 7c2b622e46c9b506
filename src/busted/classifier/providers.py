"""Who serves a model, by the name of the host: one table.

A host matches on label boundaries only, so neither `notopenai.com` nor
`openai.com.evil.example` is OpenAI. A name is the only evidence: an address says nothing,
since many share one behind a content network, and a port is no more than a hint, taken
where a local server's own port is asked for on this very host.

Names and paths: FACTS of the survey (LiteLLM's constants, the SDKs' base URLs). Identifiers
are OpenTelemetry's `gen_ai.provider.name` where it has one, else a lower-case slug:
https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

import msgspec


class Provider(msgspec.Struct, frozen=True):
    """One row. `*.example.com` is any host below it, `a-*.example.com` one label by its start.

    `paths` are the beginnings of what belongs to its models, where the host serves more than
    that; `api` is the dialect to assume where nothing else tells it.
    """

    id: str
    name: str
    hosts: tuple[str, ...]
    api: str | None = "openai.chat"
    paths: tuple[str, ...] = ()
    local_port: int | None = None


PROVIDERS = (
    Provider("openai", "OpenAI", ("api.openai.com", "*.api.openai.com")),
    Provider("openai", "OpenAI", ("chatgpt.com",), "openai.responses", ("/backend-api/codex",)),
    Provider(
        "azure.ai.openai",
        "Azure OpenAI",
        ("*.openai.azure.com", "*.cognitiveservices.azure.com"),
    ),
    Provider(
        "azure.ai.inference",
        "Azure AI Foundry",
        ("*.services.ai.azure.com", "models.inference.ai.azure.com"),
    ),
    Provider("anthropic", "Anthropic", ("api.anthropic.com",), "anthropic.messages"),
    Provider("gcp.gemini", "Google Gemini", ("generativelanguage.googleapis.com",), None),
    Provider(
        "gcp.vertex_ai",
        "Google Vertex AI",
        ("aiplatform.googleapis.com", "*-aiplatform.googleapis.com"),
        None,
    ),
    Provider(
        "aws.bedrock",
        "AWS Bedrock",
        (
            "bedrock-runtime.*.amazonaws.com",
            "bedrock-runtime-fips.*.amazonaws.com",
            "bedrock-agent-runtime.*.amazonaws.com",
            "bedrock-mantle.*.api.aws",
        ),
        None,
    ),
    Provider("cohere", "Cohere", ("api.cohere.com", "api.cohere.ai"), None),
    Provider("mistral_ai", "Mistral AI", ("api.mistral.ai", "codestral.mistral.ai")),
    Provider("groq", "Groq", ("api.groq.com",)),
    Provider("together", "Together AI", ("api.together.xyz", "api.together.ai")),
    Provider("deepseek", "DeepSeek", ("api.deepseek.com",)),
    Provider("perplexity", "Perplexity", ("api.perplexity.ai",)),
    Provider("x_ai", "xAI", ("api.x.ai", "*.api.x.ai")),
    Provider("openrouter", "OpenRouter", ("openrouter.ai",), paths=("/api/",)),
    Provider(
        "huggingface",
        "Hugging Face",
        (
            "router.huggingface.co",
            "api-inference.huggingface.co",
            "*.endpoints.huggingface.cloud",
        ),
    ),
    Provider("fireworks", "Fireworks AI", ("api.fireworks.ai",), paths=("/inference/",)),
    Provider("cerebras", "Cerebras", ("api.cerebras.ai",)),
    Provider(
        "github.copilot",
        "GitHub Copilot",
        (
            "api.githubcopilot.com",
            "api.*.githubcopilot.com",
            "copilot-proxy.githubusercontent.com",
        ),
    ),
    Provider("github.models", "GitHub Models", ("models.github.ai",), paths=("/inference/",)),
    Provider("ollama", "Ollama", ("ollama.com",), paths=("/api/", "/v1/"), local_port=11434),
)

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def host_name(host: str) -> tuple[str, int | None]:
    """Split a Host header or server name in the bare name, lower case, and the port if given."""
    name, port = host.strip().lower(), ""
    if name.startswith("["):  # RFC 3986 section 3.2.2: an IPv6 address stands in brackets
        name, _, port = name[1:].partition("]")
        port = port.removeprefix(":")
    elif name.count(":") == 1:
        name, _, port = name.partition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else None
    return name.removesuffix("."), number


def find(host: str | None, path: str | None = None) -> Provider | None:
    """Return who serves `path` at `host`, or None; without a path, who may be meant."""
    if not host:
        return None
    name, port = host_name(host)
    return next(
        (
            row
            for row in PROVIDERS
            if _serves(row, name, port)
            and (path is None or not row.paths or path.startswith(row.paths))
        ),
        None,
    )


def name(provider_id: str | None) -> str | None:
    """Return the display name of a provider."""
    return next((row.name for row in PROVIDERS if row.id == provider_id), None)


def _serves(row: Provider, name: str, port: int | None) -> bool:
    if row.local_port is not None and port == row.local_port and name in _LOOPBACK:
        return True
    return any(_matches(name, pattern) for pattern in row.hosts)


def _matches(name: str, pattern: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return name == pattern
    middle = name[len(before) : len(name) - len(after)]
    return (
        len(name) > len(before) + len(after)
        and name.startswith(before)
        and name.endswith(after)
        # A star within a name is one label; a leading `*.` takes any number of them.
        and (pattern.startswith("*.") or "." not in middle)
        and not middle.startswith(".")
    )
