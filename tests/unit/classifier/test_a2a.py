import pytest

from busted.classifier.a2a import METHODS, is_a2a, is_a2a_request
from busted.protocols.jsonrpc import JsonRpc


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_method_of_both_versions_is_known(method: str) -> None:
    assert is_a2a(JsonRpc("request", "1", method, params={"id": "t"}))


@pytest.mark.parametrize(
    "message",
    [
        JsonRpc("request", "1", "tasks/get", params={"taskId": "mcp"}),
        JsonRpc("request", "1", "tasks/cancel"),
        JsonRpc("request", "1", "tools/list"),
        JsonRpc("response", "1"),
    ],
)
def test_others_are_not_a2a(message: JsonRpc) -> None:
    assert not is_a2a(message)


def test_paths_and_the_version_header_tell() -> None:
    assert is_a2a_request("/.well-known/agent-card.json", ())
    assert is_a2a_request("/tenant/message:stream", ())
    assert is_a2a_request("/x", (("a2a-version", "1.0"),))
    assert not is_a2a_request("/message", (("content-type", "application/json"),))
