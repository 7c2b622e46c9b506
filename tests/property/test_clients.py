"""What headers and hosts claim is read or not, never with an exception, and never without bound."""

from hypothesis import given
from hypothesis import strategies as st

from busted.classifier import fingerprint
from busted.classifier.credential import HASH_BYTES, credential
from busted.classifier.options import DEFAULT_OPTIONS
from busted.classifier.providers import host_name
from busted.events import Usage
from busted.protocols.http import by_name

NAMES = st.sampled_from(
    [
        *("user-agent", "originator", "x-stainless-lang", "x-stainless-package-version"),
        *("x-goog-api-client", "copilot-integration-id", "editor-plugin-version"),
        *("anthropic-version", "anthropic-beta", "openai-beta", "authorization", "x-api-key"),
    ]
)
PIECES = st.sampled_from(
    [
        *("claude-cli/", "ai-sdk/", "OpenAI/Python ", "2.1.0", "Mozilla/5.0 ", "codex", "vscode"),
        *("Bearer ", "AWS4-HMAC-SHA256 ", "Credential=a/", " ", "/", "," * 100, "9" * 100, "é"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=20), max_size=20).map("".join)
HEADERS = st.lists(st.tuples(NAMES, TEXTS), max_size=8).map(tuple)
COUNTS = st.none() | st.integers(-(2**63), 2**63 - 1)


@given(HEADERS, TEXTS)
def test_any_headers_are_read(headers: tuple[tuple[str, str], ...], target: str) -> None:
    named = by_name(headers)
    for told in (fingerprint.sdk(named), fingerprint.agent(named)):
        if told is not None:
            assert 0 < len(told.name) <= 2 * fingerprint.MAX_VERSION_CHARS + 1
            assert len(told.version or "") <= fingerprint.MAX_VERSION_CHARS
    assert len(fingerprint.api_version(named, target) or "") <= fingerprint.MAX_VERSION_CHARS
    assert len(fingerprint.betas(headers)) <= fingerprint.MAX_BETAS
    carried = credential(named, target, b"key")
    assert carried is None or len(carried.hash) == 2 * HASH_BYTES


@given(TEXTS | st.text(".*[]:abc0", max_size=300), st.none() | TEXTS)
def test_any_host_is_looked_up(host: str, path: str | None) -> None:
    found = DEFAULT_OPTIONS.providers.find(host, path)

    assert found is None or host_name(host)[0]


@given(st.builds(Usage, input=COUNTS, output=COUNTS, cached=COUNTS, cache_written=COUNTS))
def test_any_usage_costs_something_sensible_or_is_not_known(usage: Usage) -> None:
    for model in ("claude-sonnet-4-5", "gpt-4o", "text-embedding-3-small"):
        for provider in ("openai", "anthropic"):
            cost = DEFAULT_OPTIONS.prices.cost(provider, model, usage)
            assert cost is None or cost >= 0
