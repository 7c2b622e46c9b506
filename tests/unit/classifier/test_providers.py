import pytest

from busted.classifier import providers
from busted.classifier.providers import PROVIDERS, Provider, find, host_name


def example(pattern: str) -> str:
    return pattern.replace("*", "some-name", 1)


ROWS = [(row, example(pattern)) for row in PROVIDERS for pattern in row.hosts]


@pytest.mark.parametrize(("row", "host"), ROWS, ids=[host for _, host in ROWS])
def test_each_row_is_found_by_its_hosts_and_only_on_label_boundaries(
    row: Provider, host: str
) -> None:
    path = row.paths[0] if row.paths else "/v1/x"

    assert find(host, path) == row
    assert find(f"{host.upper()}.:443", path) == row
    assert find(f"{host}.evil.example") is None
    assert find(f"not{host}.evil.example") is None
    if not host.startswith("some-name"):
        assert find(f"not{host}") is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ".",
        "notopenai.com",
        "notapi.openai.com",
        "openai.com",
        "api.openai.com.evil.example",
        "openai.com.evil.example",
        "www.anthropic.com",
        "bedrock-runtime.amazonaws.com",
        "bedrock-runtime.us-east-1.evil.amazonaws.com",
        "s3.us-east-1.amazonaws.com",
        ".openai.azure.com",
        "evil-aiplatform.googleapis.com.example",
        "104.18.6.192",
        "[2606:4700::6812:6c0]:443",
        "localhost",
        "localhost:8000",
        "example.com:11434",
    ],
)
def test_other_hosts_are_nobodys(host: str | None) -> None:
    assert find(host) is None


def test_local_servers_are_told_by_their_port_on_this_host_only() -> None:
    found = find("127.0.0.1:11434", "/v1/chat/completions")

    assert found is not None
    assert found.id == "ollama"
    assert find("192.0.2.1:11434", "/v1/chat/completions") is None


def test_a_host_that_serves_more_needs_the_path() -> None:
    assert find("openrouter.ai", "/docs") is None
    assert find("openrouter.ai", "/api/v1/chat/completions") is not None
    assert find("openrouter.ai") is not None


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("API.OpenAI.com.:443", ("api.openai.com", 443)),
        (" localhost ", ("localhost", None)),
        ("[::1]:11434", ("::1", 11434)),
        ("::1", ("::1", None)),
        ("host:junk", ("host", None)),
        ("host:99999999", ("host", None)),
    ],
)
def test_host_name_and_port(host: str, parts: tuple[str, int | None]) -> None:
    assert host_name(host) == parts


def test_names_are_for_display() -> None:
    assert providers.name("gcp.gemini") == "Google Gemini"
    assert providers.name("nobody") is None
    assert providers.name(None) is None
