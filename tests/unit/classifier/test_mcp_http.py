import pytest

from busted.classifier.mcp_http import Carrier, answering, carrier, mismatches, opened
from busted.protocols.http import Headers, HttpRequest, by_name
from busted.protocols.jsonrpc import JsonRpc
from busted.protocols.sse import SseEvent

SESSION = (("mcp-session-id", "s-1"),)


def posted(*headers: tuple[str, str], target: str = "/mcp", sni: str | None = None) -> Carrier:
    return carrier(HttpRequest("POST", target, (("host", "Tools.example"), *headers)), sni)


def test_a_head_without_mcps_headers_declares_nothing() -> None:
    told = posted(("content-type", "application/json"))

    assert not told.declared
    assert not told.shared
    assert (told.revision, told.session) == (None, None)


def test_a_server_is_its_host_and_path() -> None:
    assert posted(target="/mcp?key=1").server == "tools.example/mcp"
    assert posted(sni="other.example").server == "other.example/mcp"
    assert carrier(HttpRequest("POST", "/mcp"), None).server is None


@pytest.mark.parametrize(
    "name", ["mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name"]
)
def test_each_header_declares(name: str) -> None:
    assert posted((name, "x")).declared


def test_a_session_is_told_as_a_hash_and_ties_connections() -> None:
    told = posted(*SESSION)

    assert told.shared
    assert told.session is not None
    assert len(told.session) == 16
    assert "s-1" not in repr(told)
    assert told.place == posted(*SESSION).place
    assert told.place != posted(("mcp-session-id", "s-2")).place
    assert told.place != posted(*SESSION, target="/other").place


def test_a_session_begins_with_the_answer_to_initialize() -> None:
    asked = posted()

    told = answering(asked, by_name(SESSION))

    assert told.declared
    assert told.session == posted(*SESSION).session
    assert told.place == asked.place
    assert answering(asked, {}) is asked


@pytest.mark.parametrize(
    ("headers", "message", "expected"),
    [
        ((("mcp-method", "tools/list"),), JsonRpc("request", "1", "tools/call"), ("mcp-method",)),
        (
            (("mcp-method", "tools/call"), ("mcp-name", "read")),
            JsonRpc("request", "1", "tools/call", params={"name": "delete"}),
            ("mcp-name",),
        ),
        (
            (("mcp-name", "file:///a"),),
            JsonRpc("request", "1", "resources/read", params={"uri": "file:///b"}),
            ("mcp-name",),
        ),
        (
            (("mcp-protocol-version", "2025-06-18"),),
            JsonRpc("request", "1", "tools/list"),
            ("mcp-protocol-version",),
        ),
        (
            (("mcp-method", "a"), ("mcp-name", "=?base64?!?=")),
            JsonRpc("request", "1", "prompts/get", params={"name": "p"}),
            ("mcp-method", "mcp-name"),
        ),
    ],
)
def test_headers_that_contradict_are_named(
    headers: Headers, message: JsonRpc, expected: tuple[str, ...]
) -> None:
    assert mismatches(posted(*headers), message, "2026-07-28") == expected


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ((), JsonRpc("request", "1", "tools/call", params={"name": "read"})),
        (
            (("mcp-method", "tools/call"), ("mcp-name", "read")),
            JsonRpc("request", "1", "tools/call", params={"name": "read"}),
        ),
        (
            (("mcp-name", "=?base64?w6k=?="),),
            JsonRpc("request", "1", "tools/call", params={"name": "\u00e9"}),
        ),
        # Cut before the name was over.
        (
            (("mcp-name", "read"),),
            JsonRpc("request", "1", "tools/call", params={"name": "re"}, truncated=True),
        ),
        ((("mcp-name", "x"),), JsonRpc("request", "1", "tools/list", params={"": "y"})),
        ((("mcp-protocol-version", "2025-06-18"),), JsonRpc("request", "1", "tools/list")),
        ((("mcp-name", "x"),), JsonRpc("request", "1", "tools/call", params=["x"])),
    ],
)
def test_headers_that_agree_or_say_nothing_are_no_mismatch(
    headers: Headers, message: JsonRpc
) -> None:
    assert mismatches(posted(*headers), message, None) == ()


def test_an_endpoint_event_says_where_the_client_posts() -> None:
    stream = posted(target="/sse")
    target = "/messages/?session_id=1"

    told = opened(stream, SseEvent(target, "endpoint"))

    assert told is not None
    assert told.shared
    assert told.server == "tools.example/messages/"
    assert told.place == posted(target=target).place
    absolute = opened(stream, SseEvent(f"https://Tools.example{target}", "endpoint"))
    assert absolute == told


@pytest.mark.parametrize(
    "event",
    [
        SseEvent("/messages"),
        SseEvent("", "endpoint"),
        SseEvent("messages", "endpoint"),
        SseEvent("{}", "endpoint"),
        SseEvent("/" * 3000, "endpoint"),
    ],
)
def test_other_events_open_no_stream(event: SseEvent) -> None:
    assert opened(Carrier(), event) is None
