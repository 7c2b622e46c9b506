"""What another agent answers is told whole, however it comes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.classifier.a2a_answers import MAX_ARTIFACTS, A2aReader
from busted.classifier.chat import MAX_TEXT_CHARS
from busted.classifier.mcp_memory import Memory
from busted.events import A2aRequest, A2aResponse
from busted.protocols.http import HttpResponse

WORKING = {"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
DONE = {"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}


def asked(method: str = "SendStreamingMessage") -> A2aRequest:
    return A2aRequest(method=method, binding="rest", bytes=1, truncated=False)


def reader(
    method: str = "SendMessage", *, stream: bool = False, status: int = 200, memory: Memory
) -> A2aReader:
    kind = "text/event-stream" if stream else "application/json"
    head = HttpResponse(status, (("content-type", kind),))
    return A2aReader(head, asked(method), memory, 1_000_000_000)


def whole(value: object, method: str = "SendMessage", status: int = 200) -> A2aResponse:
    answer = reader(method, status=status, memory=Memory())
    assert answer.feed(json.dumps(value).encode(), 2_000_000_000) == []
    (action,) = answer.end(False, 3_000_000_000)
    assert isinstance(action, A2aResponse)
    return action


def streamed(*values: object, cut: int | None = None) -> A2aResponse:
    data = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)
    answer = reader("SendStreamingMessage", stream=True, memory=Memory())
    pieces = [data] if cut is None else [data[:cut], data[cut:]]
    found = [action for piece in pieces for action in answer.feed(piece, 2_000_000_000)]
    (action,) = found + answer.end(False, 3_000_000_000)
    assert isinstance(action, A2aResponse)
    return action


def artifact(text: str, append: bool = False, name: str = "a") -> dict[str, object]:
    told = {"artifactId": name, "parts": [{"text": text}]}
    return {"artifactUpdate": {"taskId": "t", "artifact": told, "append": append}}


@pytest.mark.parametrize(
    "value",
    [
        {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_INPUT_REQUIRED"}}},
        {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "input-required"}},
        {
            "jsonrpc": "2.0",
            "id": 1,
            "result": {"id": "t", "contextId": "c", "status": {"state": "input-required"}},
        },
    ],
)
def test_a_task_is_told_in_the_words_of_both_revisions(value: object) -> None:
    action = whole(value)

    assert (action.task_id, action.context_id, action.state) == ("t", "c", "input_required")
    assert (action.status, action.latency, action.truncated) == (200, 2.0, False)


@pytest.mark.parametrize(
    "value",
    [
        {"message": {"role": "ROLE_AGENT", "parts": [{"text": "hi"}]}},
        {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": "hi"}]},
    ],
)
def test_a_message_may_be_the_answer(value: object) -> None:
    action = whole(value)

    assert (action.role, action.text, action.state) == ("agent", "hi", None)


def test_a_stream_is_told_as_one_answer_when_the_task_is_done() -> None:
    events = ({"statusUpdate": WORKING}, artifact("it "), artifact("rains", True))

    action = streamed(*events, {"statusUpdate": DONE}, artifact("too late"))

    assert (action.text, action.state, action.stream) == ("it rains", "completed", True)
    assert not action.truncated


def test_an_artifact_that_comes_again_replaces_what_it_was() -> None:
    action = streamed(artifact("old"), artifact("new"), {"statusUpdate": DONE})

    assert action.text == "new"


def test_a_stream_that_ends_before_its_task_is_told_as_far_as_it_came() -> None:
    action = streamed({"statusUpdate": WORKING}, artifact("half"))

    assert (action.text, action.state) == ("half", "working")


@given(st.integers(min_value=0, max_value=400))
def test_the_same_is_told_however_the_stream_is_cut(cut: int) -> None:
    events = (artifact("é ", name="b"), artifact("rains", True, "b"), {"statusUpdate": DONE})

    assert streamed(*events, cut=cut) == streamed(*events)


@pytest.mark.parametrize(
    "value",
    [
        {"error": {"code": 404, "status": "NOT_FOUND", "message": "no task"}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 404, "message": "no task"}},
        {"code": 404, "message": "no task"},
    ],
)
def test_an_error_is_told_however_it_is_wrapped(value: object) -> None:
    action = whole(value, status=404)

    assert (action.error, action.error_code, action.text) == ("404: no task", 404, None)


def test_a_card_tells_who_answers_from_then_on() -> None:
    memory = Memory()
    card = {"name": "weather", "url": "https://w.example/a2a", "skills": []}

    answer = reader("GetAgentCard", memory=memory)
    answer.feed(json.dumps(card).encode(), 0)
    (action,) = answer.end(False, 0)

    assert isinstance(action, A2aResponse)
    assert action.agent is not None
    assert action.agent.name == "weather"
    assert memory.agents.get("w.example/a2a") == action.agent


def test_what_is_said_is_bounded_and_told_as_cut() -> None:
    answer = reader("SendStreamingMessage", stream=True, memory=Memory())
    for i in range(MAX_ARTIFACTS + 8):
        event = artifact("x" * 16_384, name=str(i))
        assert answer.feed(b"data: " + json.dumps(event).encode() + b"\n\n", 0) == []

    assert answer.kept <= 2 * MAX_TEXT_CHARS
    (action,) = answer.end(True, 0)
    assert isinstance(action, A2aResponse)
    assert action.truncated
    assert len(action.text or "") <= MAX_TEXT_CHARS + MAX_ARTIFACTS


def test_what_was_never_seen_is_told() -> None:
    answer = reader("SendStreamingMessage", stream=True, memory=Memory())
    answer.feed(b"data: " + json.dumps(artifact("a")).encode() + b"\n\nda", 0)
    answer.gap(10)
    end = json.dumps({"statusUpdate": DONE}).encode()
    (action,) = answer.feed(b"}\n\ndata: " + end + b"\n\n", 0)

    assert isinstance(action, A2aResponse)
    assert (action.missing_bytes, action.truncated, action.text) == (10, True, "a")
    assert answer.end(False, 0) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "task",
                    "message",
                    "parts",
                    "status",
                    "state",
                    "statusUpdate",
                    "artifacts",
                    "artifactUpdate",
                    "artifact",
                    "kind",
                    "text",
                    "data",
                    "raw",
                    "file",
                    "error",
                    "code",
                    "result",
                    "jsonrpc",
                    "id",
                )
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=24,
)


@given(VALUES, st.sampled_from(("SendMessage", "GetAgentCard")), st.sampled_from((200, 404)))
def test_no_answer_makes_it_raise(value: object, method: str, status: int) -> None:
    action = whole(value, method, status)

    assert action.method == method
