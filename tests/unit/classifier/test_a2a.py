import pytest

from busted.classifier import Direction, classify
from busted.classifier.a2a import is_a2a, is_a2a_request, is_agent_card
from busted.protocols.jsonrpc import JsonRpc
from tests.unit.classifier.wire import request, response

SAID = {"message": {"messageId": "m", "role": "user", "parts": [{"text": "hi"}]}}
TASK = {"id": "t"}
CARD = {
    "name": "agent",
    "capabilities": {"streaming": True},
    "defaultInputModes": ["text/plain"],
    "skills": [{"id": "s"}],
}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("SendMessage", SAID),
        ("SendStreamingMessage", SAID),
        ("SubscribeToTask", TASK),
        ("CreateTaskPushNotificationConfig", TASK),
        ("GetTaskPushNotificationConfig", TASK),
        ("ListTaskPushNotificationConfigs", TASK),
        ("DeleteTaskPushNotificationConfig", TASK),
        ("GetExtendedAgentCard", None),
        ("message/send", SAID),
        ("message/stream", SAID),
        ("tasks/get", TASK),
        ("tasks/cancel", TASK),
        ("tasks/resubscribe", TASK),
        ("tasks/pushNotificationConfig/set", TASK),
        ("tasks/pushNotificationConfig/get", TASK),
        ("tasks/pushNotificationConfig/list", TASK),
        ("tasks/pushNotificationConfig/delete", TASK),
        ("agent/getAuthenticatedExtendedCard", None),
    ],
)
def test_methods_of_both_versions_are_known(method: str, params: object) -> None:
    assert is_a2a(JsonRpc("request", "1", method, params=params))


@pytest.mark.parametrize(
    "message",
    [
        JsonRpc("request", "1", "tasks/get", params={"taskId": "mcp"}),
        JsonRpc("request", "1", "tasks/cancel"),
        JsonRpc("request", "1", "SendMessage", params={"message": "hi", "channel": "c"}),
        JsonRpc("request", "1", "GetTask", params=TASK),
        JsonRpc("request", "1", "ListTasks"),
        JsonRpc("request", "1", "tools/list"),
        JsonRpc("response", "1"),
    ],
)
def test_others_are_not_a2a(message: JsonRpc) -> None:
    assert not is_a2a(message)


@pytest.mark.parametrize("method", ["GetTask", "ListTasks", "CancelTask"])
def test_its_header_makes_a_common_name_a2as(method: str) -> None:
    sent = request(
        {"jsonrpc": "2.0", "id": 1, "method": method, "params": TASK},
        path="/rpc",
        host="agent.example",
        headers={"A2A-Version": "1.0"},
    )

    assert classify(sent, Direction.WRITE).content_class == "a2a"


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/agent-card.json",
        "/.well-known/agent.json",
        "/extendedAgentCard",
        "/tenant/message:send",
        "/v1/message:stream",
        "/tasks/1:cancel",
        "/v1/tasks/1:subscribe",
        "/tasks/1/pushNotificationConfigs",
        "/tasks/1/pushNotificationConfigs/2",
    ],
)
def test_paths_of_the_rest_binding_tell(path: str) -> None:
    assert is_a2a_request(path, {})


def test_the_version_header_tells() -> None:
    assert is_a2a_request("/x", {"a2a-version": "1.0"})


@pytest.mark.parametrize("path", ["/message", "/tasks", "/tasks/1", "/v1/projects/p/messages:send"])
def test_ordinary_paths_do_not_tell(path: str) -> None:
    assert not is_a2a_request(path, {"content-type": "application/json"})


def test_an_agents_card_shows_by_itself() -> None:
    assert is_agent_card(CARD)
    assert not is_agent_card({**CARD, "skills": "many"})
    assert classify(response(CARD), Direction.READ).content_class == "a2a"
