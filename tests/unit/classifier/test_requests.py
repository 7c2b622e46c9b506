import pytest

from busted.classifier import requests
from busted.classifier.collect import BodyStore
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import DEFAULT_OPTIONS
from busted.classifier.requests import Request, body_store, serving
from busted.events import Prompt
from busted.protocols.http import HttpRequest
from tests.unit.classifier.wire import CHAT, as_json


def head(path: str = "/v1/chat/completions", *, kind: str = "application/json") -> HttpRequest:
    return HttpRequest("POST", path, (("host", "a.example"), ("content-type", kind)))


def read(store: BodyStore, *, sni: str | None = None, truncated: bool = False) -> Request:
    return requests.read(
        head(),
        store,
        sni=sni,
        truncated=truncated,
        pending=Pending(),
        options=DEFAULT_OPTIONS,
    )


@pytest.mark.parametrize(
    ("path", "kind", "kept"),
    [
        ("/x", "application/json; charset=utf-8", True),
        ("/x", "application/vnd.api+json", True),
        ("/x", "", True),
        ("/x", "application/x-www-form-urlencoded", True),
        ("/x", "multipart/form-data; boundary=b", False),
        ("/x", "application/octet-stream", False),
        ("/v1/chat/completions", "application/octet-stream", True),
    ],
)
def test_bodies_that_cannot_be_ours_are_only_counted(path: str, kind: str, kept: bool) -> None:
    store = body_store(head(path, kind=kind))
    store.feed(b"{}")

    assert store.size == 2
    assert store.decoded == (b"{}" if kept else b"")


def test_the_checked_name_goes_before_the_claimed_one() -> None:
    claimed = HttpRequest("POST", "/v1/x", (("host", "api.openai.com"),))

    assert serving(claimed, "evil.example", DEFAULT_OPTIONS) is None
    assert (found := serving(claimed, None, DEFAULT_OPTIONS)) is not None
    assert found.id == "openai"
    assert serving(None, "api.groq.com", DEFAULT_OPTIONS) is not None
    assert serving(None, None, DEFAULT_OPTIONS) is None


@pytest.mark.parametrize(
    ("body", "truncated", "sni", "confidence"),
    [
        (as_json(CHAT), False, "api.openai.com", 1.0),
        (as_json(CHAT), False, None, 0.8),
        (b"not json", False, "api.openai.com", 0.8),
        (b"", True, None, 0.5),
        (b'{"model":"m","tempera', True, None, 0.8),
    ],
)
def test_the_more_agrees_the_surer_we_are(
    body: bytes, truncated: bool, sni: str | None, confidence: float
) -> None:
    store = BodyStore()
    store.feed(body)

    found = read(store, sni=sni, truncated=truncated)

    assert (found.content_class, found.confidence) == ("llm_request", confidence)


def test_the_last_model_of_the_tail_is_the_requests_own() -> None:
    store = BodyStore(limit=60)
    quoted = '{"model": "quoted"}'
    turns = [{"role": "user", "content": quoted * 9}]
    store.feed(as_json({"messages": turns, "extra": {"model": "nested"}, "model": "mine"}))

    (prompt,) = read(store).actions or read(store, sni="api.openai.com").actions

    assert isinstance(prompt, Prompt)
    assert prompt.model == "mine"
    assert prompt.truncated


def test_the_host_in_a_target_goes_before_the_host_field() -> None:
    told = HttpRequest("POST", "http://api.openai.com/v1/x", (("host", "a.example"),))

    assert (found := serving(told, None, DEFAULT_OPTIONS)) and found.id == "openai"
    assert serving(told, "a.example", DEFAULT_OPTIONS) is None
