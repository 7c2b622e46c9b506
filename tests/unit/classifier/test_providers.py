import pytest
from msgspec import ValidationError, convert

from busted.classifier import Direction, classify
from busted.classifier.options import DEFAULT_OPTIONS
from busted.classifier.providers import Provider, Providers, host_name
from busted.classifier.providers_table import EDITORS, PROVIDERS
from tests.unit.classifier.wire import request

find = DEFAULT_OPTIONS.providers.find


def example(pattern: str) -> str:
    return pattern.replace("*", "some-name", 1)


HOSTS = [(row, example(pattern)) for row in PROVIDERS for pattern in row.hosts]
PATHS = [(row, path) for row in PROVIDERS for path in row.paths if row.hosts]
PORTS = [(row, port, path) for row in PROVIDERS for port in row.local_ports for path in row.paths]


def test_the_table_is_as_an_operator_would_have_to_write_it() -> None:
    for row in PROVIDERS:
        assert convert({f: getattr(row, f) for f in row.__struct_fields__}, Provider) == row
        assert bool(row.hosts) != bool(row.local_ports)
        assert row.paths or row.hosts
    assert len(PROVIDERS) >= 60


@pytest.mark.parametrize(("row", "host"), HOSTS, ids=[host for _, host in HOSTS])
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
    assert find(host.replace(".", "-")) is None


@pytest.mark.parametrize(("row", "path"), PATHS, ids=[f"{r.hosts[0]}{p}" for r, p in PATHS])
def test_a_host_that_serves_more_needs_the_path(row: Provider, path: str) -> None:
    host = example(row.hosts[0])

    assert find(host, f"{path}x") == row
    assert find(host, "/x") is None
    assert find(host, f"/x{path}") is None
    assert find(host) is not None


@pytest.mark.parametrize(
    ("row", "port", "path"), PORTS, ids=[f"{port}{path}" for _, port, path in PORTS]
)
def test_local_servers_are_told_by_port_and_path_on_this_host_only(
    row: Provider, port: int, path: str
) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert find(f"{host}:{port}", path) == row
    assert find(f"localhost:{port}") is None
    assert find(f"localhost:{port}", "/x") is None
    assert find("localhost:65000", path) is None
    assert find("localhost", path) is None
    assert find(f"192.0.2.1:{port}", path) is None
    assert find(f"localhost.example.com:{port}", path) is None


def test_a_local_port_names_nobody_without_the_shape_of_a_prompt() -> None:
    prompt = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    local = "localhost:8000"

    found = classify(request(prompt, host=local), Direction.WRITE)
    assert (found.provider, found.provider_name, found.interesting) == ("vllm", "vLLM", True)
    found = classify(request(b'{"model":"m"}', host=local), Direction.WRITE)
    assert (found.provider, found.content_class, found.interesting) == (None, "http", False)


def test_editors_are_known_and_have_no_dialect() -> None:
    assert {row.api for row in EDITORS} == {None}


def test_the_first_row_wins_whatever_the_others_know_of_the_host() -> None:
    mine = Provider("mine", "Mine", ("*.openai.com",), paths=("/v1/",))
    rows = Providers((mine, *PROVIDERS))

    assert rows.find("api.openai.com", "/v1/x") == mine
    found = rows.find("api.openai.com", "/x")
    assert found is not None
    assert found.id == "openai"


@pytest.mark.parametrize(
    ("pattern", "fits", "near"),
    [
        ("llm", ("llm", "LLM:8080"), ("llm.example", "allm")),
        ("*.corp", ("a.corp", "b.a.corp"), ("corp", "a.corpx", "acorp")),
        ("a-*.corp", ("a-1.corp",), ("a-.corp", "a-1.b.corp", "b.a-1.corp")),
        ("*-llm.corp", ("x-llm.corp",), ("-llm.corp", "y.x-llm.corp")),
        ("a.*.b.corp", ("a.x.b.corp",), ("a.b.corp", "a.x.y.b.corp")),
    ],
)
def test_stars(pattern: str, fits: tuple[str, ...], near: tuple[str, ...]) -> None:
    rows = Providers((convert({"id": "x", "name": "X", "hosts": [pattern]}, Provider),))

    assert [host for host in fits if rows.find(host) is None] == []
    assert [host for host in near if rows.find(host) is not None] == []


@pytest.mark.parametrize(
    "pattern", ["", "*", "*.*.corp", "a*", "A.corp", ".corp", "a..b", "a.corp.", "a:80", "a/b", "é"]
)
def test_patterns_that_could_fit_too_much_or_nothing_are_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        convert({"id": "x", "name": "X", "hosts": [pattern]}, Provider)


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
        "a." * 200 + "api.openai.com",
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
    assert DEFAULT_OPTIONS.providers.name("gcp.gemini") == "Google Gemini"
    assert DEFAULT_OPTIONS.providers.name("nobody") is None
    assert DEFAULT_OPTIONS.providers.name(None) is None
