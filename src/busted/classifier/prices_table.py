"""List prices in US dollars for a million tokens, as they were known on `AS_OF`.

Only providers that bill in dollars, by the token alone, at one price wherever they are asked.
Left out for that: Azure, Bedrock and Vertex AI (by region and contract), OpenRouter and
other gateways (by whom they pass on to), Perplexity (a fee by the call besides), Moonshot and
others with a second price list in yuan. So are xAI's reasoning models, whose usage counts what
they thought apart from the output. An operator adds what is missing, and newer prices, in the
configuration file.

Sources: https://platform.openai.com/docs/pricing, https://docs.anthropic.com/en/docs/about-claude/pricing,
https://ai.google.dev/gemini-api/docs/pricing, https://mistral.ai/pricing,
https://api-docs.deepseek.com/quick_start/pricing, https://groq.com/pricing, https://cohere.com/pricing,
https://docs.x.ai/docs/models, https://docs.z.ai/guides/overview/pricing
"""

from __future__ import annotations

from busted.classifier.prices import Price

AS_OF = "2025-12-31"


def _row(
    provider: str,
    models: str,
    input: float,
    cached: float | None,
    output: float,
    *,
    written: float | None = None,
    above: int = 0,
) -> Price:
    return Price(
        provider=provider,
        models=tuple(models.split()),
        input=input,
        cached=cached,
        output=output,
        cache_written=written,
        above=above,
    )


def _claude(models: str, input: float, output: float, above: int = 0) -> Price:
    # "5-minute cache write tokens are 1.25 times the base input tokens price; cache read
    # tokens are 0.1 times the base input tokens price"
    return _row("anthropic", models, input, input / 10, output, written=input * 1.25, above=above)


PRICES = (
    # model, input, cached input, output
    _row("openai", "gpt-5.2 gpt-5.2-chat-latest gpt-5.2-codex", 1.75, 0.175, 14),
    _row("openai", "gpt-5.2-pro", 21, None, 168),
    _row("openai", "gpt-5.1 gpt-5.1-chat-latest gpt-5.1-codex", 1.25, 0.125, 10),
    _row("openai", "gpt-5.1-codex-max", 1.25, 0.125, 10),
    _row("openai", "gpt-5.1-codex-mini", 0.25, 0.025, 2),
    _row("openai", "gpt-5 gpt-5-chat-latest gpt-5-codex", 1.25, 0.125, 10),
    _row("openai", "gpt-5-mini", 0.25, 0.025, 2),
    _row("openai", "gpt-5-nano", 0.05, 0.005, 0.4),
    _row("openai", "gpt-5-pro", 15, None, 120),
    _row("openai", "gpt-4.1", 2, 0.5, 8),
    _row("openai", "gpt-4.1-mini", 0.4, 0.1, 1.6),
    _row("openai", "gpt-4.1-nano", 0.1, 0.025, 0.4),
    _row("openai", "gpt-4o", 2.5, 1.25, 10),
    _row("openai", "gpt-4o-2024-05-13 chatgpt-4o-latest", 5, None, 15),
    _row("openai", "gpt-4o-mini", 0.15, 0.075, 0.6),
    _row("openai", "o1", 15, 7.5, 60),
    _row("openai", "o1-mini o3-mini", 1.1, 0.55, 4.4),
    _row("openai", "o1-pro", 150, None, 600),
    _row("openai", "o3", 2, 0.5, 8),
    _row("openai", "o3-pro", 20, None, 80),
    _row("openai", "o4-mini", 1.1, 0.275, 4.4),
    _row("openai", "codex-mini-latest", 1.5, 0.375, 6),
    _row("openai", "gpt-4-turbo gpt-4-0125-preview gpt-4-1106-preview", 10, None, 30),
    _row("openai", "gpt-4 gpt-4-0613", 30, None, 60),
    _row("openai", "gpt-3.5-turbo gpt-3.5-turbo-0125", 0.5, None, 1.5),
    _row("openai", "text-embedding-3-small", 0.02, None, 0),
    _row("openai", "text-embedding-3-large", 0.13, None, 0),
    _row("openai", "text-embedding-ada-002", 0.1, None, 0),
    # model, input, output
    _claude("claude-opus-4-5", 5, 25),
    _claude("claude-opus-4-1 claude-opus-4 claude-opus-4-0", 15, 75),
    _claude("claude-3-opus claude-3-opus-latest", 15, 75),
    _claude("claude-sonnet-4-5 claude-sonnet-4 claude-sonnet-4-0", 3, 15),
    _claude("claude-sonnet-4-5 claude-sonnet-4 claude-sonnet-4-0", 6, 22.5, above=200_000),
    _claude("claude-3-7-sonnet claude-3-7-sonnet-latest", 3, 15),
    _claude("claude-3-5-sonnet claude-3-5-sonnet-latest", 3, 15),
    _claude("claude-haiku-4-5", 1, 5),
    _claude("claude-3-5-haiku claude-3-5-haiku-latest", 0.8, 4),
    _row("anthropic", "claude-3-haiku", 0.25, 0.03, 1.25, written=0.3),
    # model, input, cached input, output
    _row("gcp.gemini", "gemini-3-pro-preview", 2, 0.2, 12),
    _row("gcp.gemini", "gemini-3-pro-preview", 4, 0.4, 18, above=200_000),
    _row("gcp.gemini", "gemini-3-flash-preview", 0.5, 0.05, 3),
    _row("gcp.gemini", "gemini-2.5-pro", 1.25, 0.125, 10),
    _row("gcp.gemini", "gemini-2.5-pro", 2.5, 0.25, 15, above=200_000),
    _row("gcp.gemini", "gemini-2.5-flash", 0.3, 0.03, 2.5),
    _row("gcp.gemini", "gemini-2.5-flash-lite", 0.1, 0.01, 0.4),
    _row("gcp.gemini", "gemini-2.0-flash gemini-2.0-flash-001", 0.1, 0.025, 0.4),
    _row("gcp.gemini", "gemini-2.0-flash-lite gemini-2.0-flash-lite-001", 0.075, None, 0.3),
    _row("gcp.gemini", "gemini-embedding-001", 0.15, None, 0),
    _row("mistral_ai", "mistral-large-2512", 0.5, None, 1.5),
    _row("mistral_ai", "mistral-large-2411 pixtral-large-2411", 2, None, 6),
    _row("mistral_ai", "mistral-medium-2505 mistral-medium-2508", 0.4, None, 2),
    _row("mistral_ai", "mistral-small-2506", 0.1, None, 0.3),
    _row("mistral_ai", "magistral-medium-2509", 2, None, 5),
    _row("mistral_ai", "magistral-small-2509", 0.5, None, 1.5),
    _row("mistral_ai", "codestral-2508", 0.3, None, 0.9),
    _row("mistral_ai", "ministral-8b-2410", 0.1, None, 0.1),
    _row("mistral_ai", "ministral-3b-2410", 0.04, None, 0.04),
    _row("mistral_ai", "mistral-embed", 0.1, None, 0),
    _row("deepseek", "deepseek-chat deepseek-reasoner", 0.28, 0.028, 0.42),
    _row("groq", "llama-3.3-70b-versatile", 0.59, None, 0.79),
    _row("groq", "llama-3.1-8b-instant", 0.05, None, 0.08),
    _row("groq", "openai/gpt-oss-120b", 0.15, 0.075, 0.6),
    _row("groq", "openai/gpt-oss-20b", 0.075, 0.0375, 0.3),
    _row("groq", "qwen/qwen3-32b", 0.29, None, 0.59),
    _row("groq", "moonshotai/kimi-k2-instruct-0905", 1, 0.5, 3),
    _row("cohere", "command-a-03-2025", 2.5, None, 10),
    _row("cohere", "command-r-plus-08-2024", 2.5, None, 10),
    _row("cohere", "command-r-08-2024", 0.15, None, 0.6),
    _row("cohere", "command-r7b-12-2024", 0.0375, None, 0.15),
    _row("x_ai", "grok-3", 3, 0.75, 15),
    _row("x_ai", "grok-4-fast-non-reasoning grok-4-1-fast-non-reasoning", 0.2, 0.05, 0.5),
    _row("z_ai", "glm-4.6 glm-4.5", 0.6, 0.11, 2.2),
    _row("z_ai", "glm-4.5-air", 0.2, 0.03, 1.1),
)
