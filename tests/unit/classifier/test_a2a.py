import pytest

from busted.classifier import Direction, classify
from busted.classifier.a2a import (
    MAX_PARTS,
    agent_of,
    is_a2a,
    is_a2a_request,
    is_agent_card,
    remember,
    text_of,
)
from busted.classifier.chat import MAX_TEXT_CHARS
from busted.classifier.mcp_memory import MAX_AGENTS, Memory
from busted.events import A2aAgent, A2aRequest
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


def said(payload: bytes) -> A2aRequest:
    action, *_ = classify(payload, Direction.WRITE).actions
    assert isinstance(action, A2aRequest)
    return action


@pytest.mark.parametrize(
    ("method", "params", "told"),
    [
        ("SendMessage", SAID, "SendMessage"),
        ("message/stream", SAID, "SendStreamingMessage"),
        ("tasks/get", TASK, "GetTask"),
        ("tasks/pushNotificationConfig/set", TASK, "CreateTaskPushNotificationConfig"),
    ],
)
def test_a_method_is_told_by_the_name_that_v1_has_for_it(
    method: str, params: object, told: str
) -> None:
    action = said(request({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))

    assert (action.method, action.binding, action.id) == (told, "jsonrpc", "7")
    assert action.revision == ("0.3" if "/" in method else None)
    assert action.stream == (told == "SendStreamingMessage")


@pytest.mark.parametrize(
    ("path", "told", "task"),
    [
        ("/rest/message:send", "SendMessage", None),
        ("/v1/message:stream", "SendStreamingMessage", None),
        ("/tasks/t-1:cancel", "CancelTask", "t-1"),
        ("/tasks/t-1/pushNotificationConfigs", "CreateTaskPushNotificationConfig", "t-1"),
        ("/extendedAgentCard", "GetExtendedAgentCard", None),
        ("/.well-known/agent-card.json", "GetAgentCard", None),
        ("/tasks/t-1/else", "POST /tasks/t-1/else", None),
    ],
)
def test_over_rest_the_path_is_the_method(path: str, told: str, task: str | None) -> None:
    action = said(request(SAID, path=path, headers={"A2A-Version": "1.0"}))

    assert (action.method, action.binding, action.task_id) == (told, "rest", task)
    assert (action.revision, action.text) == ("1.0", "hi")


def test_a_message_is_told_with_its_task_and_context() -> None:
    message = {**SAID["message"], "taskId": "t", "contextId": "c", "role": "ROLE_USER"}
    sent = {"jsonrpc": "2.0", "id": "1", "method": "SendMessage", "params": {"message": message}}

    action = said(request(sent))

    assert (action.task_id, action.context_id, action.role) == ("t", "c", "user")
    assert (action.text, action.truncated) == ("hi", False)


def test_personal_data_in_a_message_is_found() -> None:
    sent = {"message": {"parts": [{"text": "write to bob@example.com"}]}}

    assert [one.kind for one in said(request(sent, path="/message:send")).pii] == ["email"]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"kind": "text", "text": "hi"}, "hi"),
        ({"data": {"a": [1]}, "mediaType": "application/json"}, '{"a":[1]}'),
        ({"kind": "data", "data": {"a": 1}}, '{"a":1}'),
        ({"raw": "QUJD" * 1024, "mediaType": "image/png"}, "[image/png, 3 KB]"),
        ({"url": "https://x.example/a", "filename": "a.pdf"}, "[a.pdf]"),
        ({"kind": "file", "file": {"bytes": "QUJD", "mimeType": "text/x"}}, "[text/x, 3 B]"),
        ({"kind": "file", "file": {"uri": "https://x.example/a"}}, "[file]"),
        ({"kind": "odd"}, ""),
        ("text", ""),
        (None, ""),
    ],
)
def test_parts_of_both_revisions_are_told(part: object, text: str) -> None:
    assert text_of([part]) == (text, False)


def test_what_parts_say_is_bounded_and_told_as_cut() -> None:
    long, cut = text_of([{"text": "a" * MAX_TEXT_CHARS}, {"text": "b"}])
    _, many = text_of([{"text": ""}] * (MAX_PARTS + 1))

    assert (len(long), cut, many) == (MAX_TEXT_CHARS, True, True)


@pytest.mark.parametrize("parts", [None, "x", {"text": "x"}, 1])
def test_what_is_no_list_of_parts_says_nothing(parts: object) -> None:
    assert text_of(parts) == ("", False)


def test_an_agent_is_known_at_each_address_of_its_card_and_cards_are_bounded() -> None:
    memory = Memory()
    interfaces = [{"url": "https://Agent.example:443/rpc/"}, {"url": "http://[broken"}, None]
    card = {"name": "weather", "version": "1", "supportedInterfaces": interfaces}
    agent = agent_of(card)

    assert agent == A2aAgent(name="weather", version="1", url="https://Agent.example:443/rpc/")
    remember(card, agent, memory)
    assert memory.agents.get("agent.example/rpc") == agent
    for i in range(MAX_AGENTS):
        remember({"url": f"https://{i}.example"}, agent, memory)
    assert memory.agents.get("agent.example/rpc") is None
    assert agent_of({"url": "https://x.example"}) is None
