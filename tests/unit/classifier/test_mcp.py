import pytest

from busted.classifier import mcp
from busted.classifier.direction import Direction
from busted.classifier.mcp import METHODS, Pending, actions, category, is_mcp
from busted.events import McpRequest, McpResponse
from busted.protocols.jsonrpc import JsonRpc

ALL = [(method, category) for category, methods in METHODS.items() for method in methods.split()]
SHARED_PARAMS = {
    "initialize": {"protocolVersion": "2025-06-18", "capabilities": {}},
    "tasks/get": {"taskId": "t"},
    "tasks/cancel": {"taskId": "t"},
}


@pytest.mark.parametrize(("method", "about"), ALL)
def test_each_method_of_each_revision_is_known(method: str, about: str) -> None:
    message = JsonRpc("request", "1", method, params=SHARED_PARAMS.get(method))

    assert category(method) == about
    assert is_mcp(message)


@pytest.mark.parametrize(
    "message",
    [
        JsonRpc("request", "1", "initialize", params={"processId": 1, "rootUri": None}),
        JsonRpc("request", "1", "initialize", params={"protocolVersion": 1}),
        JsonRpc("request", "1", "tasks/get", params={"id": "a2a"}),
        JsonRpc("request", "1", "textDocument/completion"),
        JsonRpc("request", "1", "eth_call", params=[]),
        JsonRpc("notification", None, "initialized"),
        JsonRpc("notification", None, "tools/listChanged"),
        JsonRpc("notification", None, "notifications/roots/listChanged"),
        JsonRpc("response", "1", result={}),
    ],
)
def test_json_rpc_of_others_is_not_mcp(message: JsonRpc) -> None:
    assert not is_mcp(message)


def test_a_stateless_request_shows_by_its_meta() -> None:
    meta = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}

    assert is_mcp(JsonRpc("request", "1", "tasks/get", params=meta))


def test_headers_make_an_unknown_method_mcps() -> None:
    message = JsonRpc("request", "1", "vendor/thing")
    assert mcp.has_headers((("mcp-protocol-version", "2025-06-18"),))
    assert not mcp.has_headers((("content-type", "application/json"),))

    (action,) = actions([message], Pending(), Direction.WRITE, 10, declared=True)

    assert isinstance(action, McpRequest)
    assert action.category == "unknown"


def test_answers_are_paired_by_id_and_side() -> None:
    pending = Pending()
    asked = JsonRpc("request", "1", "tools/list")
    back = JsonRpc("response", "1", result={"tools": []})

    actions([asked], pending, Direction.WRITE, 1, declared=False)
    assert actions([back], pending, Direction.WRITE, 1, declared=False) == ()
    (answer,) = actions([back], pending, Direction.READ, 1, declared=False)
    assert actions([back], pending, Direction.READ, 1, declared=False) == ()

    assert answer == McpResponse(
        method="tools/list",
        category="tools",
        id="1",
        result='{"tools":[]}',
        bytes=1,
        truncated=False,
    )


def test_an_error_is_told() -> None:
    message = JsonRpc("error", "1", error={"code": -32601, "message": "Method not found"})

    (answer,) = actions([message], Pending(), Direction.READ, 1, declared=True)

    assert isinstance(answer, McpResponse)
    assert answer.error == "-32601: Method not found"


def test_who_waits_is_bounded() -> None:
    pending = Pending(limit=2)
    for number in range(5):
        pending.asked(Direction.WRITE, JsonRpc("request", str(number), "tools/list"))

    answered = [
        pending.answered(Direction.READ, JsonRpc("response", str(number))) for number in range(5)
    ]

    assert answered == [None, None, None, "tools/list", "tools/list"]


def test_an_overlong_value_is_cut_and_told() -> None:
    message = JsonRpc("request", "1", "tools/call", params={"a": "x" * mcp.MAX_VALUE_CHARS})

    action = mcp.request(message, 1)

    assert action.truncated
    assert len(action.params or "") == mcp.MAX_VALUE_CHARS
