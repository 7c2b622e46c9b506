from collections.abc import Sequence

import pytest

from busted.classifier import mcp
from busted.classifier.mcp import ERRORS, MAX_BATCH, METHODS, category, is_mcp
from busted.classifier.mcp_http import Carrier, Sender
from busted.classifier.mcp_memory import Pending
from busted.events import Action, McpImplementation, McpRequest, McpResponse
from busted.protocols.jsonrpc import JsonRpc

ALL = [(method, category) for category, methods in METHODS.items() for method in methods.split()]
CLIENT_INFO = {"name": "agent", "version": "1.2", "title": "An agent"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT_INFO,
}
DECLARED = Carrier(declared=True)
SHARED_PARAMS = {
    "ping": {"_meta": META},
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


def actions(
    *messages: JsonRpc,
    carrier: Carrier = DECLARED,
    pending: Pending | None = None,
    sender: Sender = "client",
) -> Sequence[Action]:
    return mcp.actions(messages, carrier, pending or Pending(), sender, 10)


def test_headers_make_an_unknown_method_mcps() -> None:
    (action,) = actions(JsonRpc("request", "1", "vendor/thing"))

    assert isinstance(action, McpRequest)
    assert action.category == "unknown"


def test_a_ping_is_mcps_where_mcp_was_spoken() -> None:
    ping, pending = JsonRpc("request", "1", "ping"), Pending()

    assert actions(ping, carrier=Carrier(), pending=pending) == ()
    actions(JsonRpc("request", "0", "tools/list"), carrier=Carrier(), pending=pending)

    assert len(actions(ping, carrier=Carrier(), pending=pending)) == 1


def test_answers_are_paired_by_id_and_side() -> None:
    pending, bare = Pending(), Carrier()
    asked = JsonRpc("request", "1", "resources/list")
    back = JsonRpc("response", "1", result={"resources": []})

    actions(asked, carrier=bare, pending=pending)
    assert actions(back, carrier=bare, pending=pending) == ()
    (answer,) = actions(back, carrier=bare, pending=pending, sender="server")
    assert actions(back, carrier=bare, pending=pending, sender="server") == ()

    assert answer == McpResponse(
        method="resources/list",
        category="resources",
        id="1",
        result='{"resources":[]}',
        bytes=10,
        truncated=False,
    )


def test_who_asks_is_told() -> None:
    asked = JsonRpc("request", "1", "sampling/createMessage")

    (request,) = actions(asked, sender="server")
    (answer,) = actions(JsonRpc("response", "1", result={}))

    assert isinstance(request, McpRequest)
    assert isinstance(answer, McpResponse)
    assert (request.sender, answer.sender) == ("server", "client")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (-32020, "header_mismatch"),
        (-32021, "missing_required_client_capability"),
        (-32022, "unsupported_protocol_version"),
        (-32601, "method_not_found"),
        (-32000, None),
    ],
)
def test_an_error_is_told_with_its_name(code: int, name: str | None) -> None:
    (answer,) = actions(JsonRpc("error", "1", error={"code": code, "message": "No"}))

    assert isinstance(answer, McpResponse)
    assert (answer.error, answer.error_code, answer.error_name) == (f"{code}: No", code, name)


def test_names_of_errors_are_unique() -> None:
    assert len(set(ERRORS.values())) == len(ERRORS)


def test_initialize_tells_who_speaks_and_which_revision() -> None:
    asked = JsonRpc(
        "request",
        "0",
        "initialize",
        params={"protocolVersion": "2025-11-25", "clientInfo": CLIENT_INFO},
    )
    server = {"name": "files", "version": "3"}
    back = JsonRpc("response", "0", result={"protocolVersion": "2025-06-18", "serverInfo": server})

    (request,) = actions(asked, carrier=Carrier())
    (answer,) = actions(back, sender="server")

    assert isinstance(request, McpRequest)
    assert (request.revision, request.client) == (
        "2025-11-25",
        McpImplementation(name="agent", version="1.2"),
    )
    assert isinstance(answer, McpResponse)
    assert (answer.revision, answer.server) == (
        "2025-06-18",
        McpImplementation(name="files", version="3"),
    )


def test_a_stateless_request_tells_them_in_its_meta() -> None:
    asked = JsonRpc("request", "0", "server/discover", params={"_meta": META})
    told = {"io.modelcontextprotocol/serverInfo": {"name": "files"}}
    back = JsonRpc("response", "0", result={"_meta": told, "supportedVersions": ["2026-07-28"]})

    (request,) = actions(asked, carrier=Carrier())
    (answer,) = actions(back, sender="server")

    assert isinstance(request, McpRequest)
    assert request.revision == "2026-07-28"
    assert request.client == McpImplementation(name="agent", version="1.2")
    assert isinstance(answer, McpResponse)
    assert answer.server == McpImplementation(name="files")


@pytest.mark.parametrize("told", [None, [], "name", {}, {"name": 1}, {"name": ""}])
def test_a_malformed_implementation_is_not_told(told: object) -> None:
    asked = JsonRpc("request", "0", "initialize", params={"clientInfo": told})
    back = JsonRpc("response", "0", result={"serverInfo": told})

    (request,) = actions(asked)
    (answer,) = actions(back, sender="server")

    assert isinstance(request, McpRequest)
    assert isinstance(answer, McpResponse)
    assert (request.client, answer.server) == (None, None)


def test_a_batch_is_read_up_to_its_limit_and_the_rest_told() -> None:
    batch = [JsonRpc("request", str(number), "tools/list") for number in range(MAX_BATCH + 1)]

    found = actions(*batch)

    assert len(found) == MAX_BATCH
    assert [a.truncated for a in found[-2:] if isinstance(a, McpRequest)] == [False, True]


def test_an_overlong_value_is_cut_and_told() -> None:
    message = JsonRpc("request", "1", "tools/call", params={"a": "x" * mcp.MAX_VALUE_CHARS})

    (action,) = actions(message)

    assert isinstance(action, McpRequest)
    assert action.truncated
    assert len(action.params or "") == mcp.MAX_VALUE_CHARS
