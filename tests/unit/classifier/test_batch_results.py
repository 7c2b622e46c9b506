"""What is fetched later: the results of batches, and responses made in the background."""

import pytest

from busted.classifier.connection import ConnectionReader, Observed
from busted.classifier.direction import Direction
from busted.events import Response, ToolCall
from tests.unit.classifier.wire import COMPLETION, as_json, chunked, request, response

WRITE, READ = Direction.WRITE, Direction.READ
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "ls", "input": {}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 3, "output_tokens": 4},
}
ANTHROPIC: list[dict[str, object]] = [
    {"custom_id": "a", "result": {"type": "succeeded", "message": MESSAGE}},
    {
        "custom_id": "b",
        "result": {
            "type": "errored",
            "error": {"type": "error", "error": {"type": "invalid_request", "message": "no"}},
        },
    },
    {"custom_id": "c", "result": {"type": "expired"}},
]
OPENAI: list[dict[str, object]] = [
    {"id": "1", "custom_id": "a", "response": {"status_code": 200, "body": COMPLETION}},
    {
        "id": "2",
        "custom_id": "b",
        "response": {"status_code": 429, "body": {"error": {"message": "slow", "type": "limit"}}},
    },
    {"id": "3", "custom_id": "c", "response": None, "error": {"message": "late", "code": "x"}},
]
RESULTS = "/v1/messages/batches/msgbatch_1/results"


def lines(values: list[dict[str, object]]) -> bytes:
    return b"".join(as_json(value) + b"\n" for value in values)


def fetched(path: str, answer: bytes, host: str = "api.openai.com") -> list[Observed]:
    reader = ConnectionReader(host)
    asked = reader.feed(WRITE, request(None, method="GET", path=path, host=host), 0)
    assert asked == [], "what is fetched was asked for before"
    return reader.feed(READ, answer, 1) + reader.close(2)


def responses(seen: list[Observed]) -> list[Response]:
    return [o.action for o in seen if isinstance(o.action, Response)]


@pytest.mark.parametrize("kind", ["application/x-jsonl", "application/binary", "application/json"])
def test_each_result_of_anthropics_batch_is_told(kind: str) -> None:
    wire = response(lines(ANTHROPIC), kind=kind)
    seen = fetched(RESULTS, wire, "api.anthropic.com")
    first, second = responses(seen)

    assert (first.api, first.provider, first.model, first.text) == (
        "anthropic.messages",
        "anthropic",
        "claude-sonnet-4-5",
        "Hi",
    )
    assert (first.status, first.finish_reason, first.bytes) == (
        200,
        "tool_use",
        len(as_json(ANTHROPIC[0])),
    )
    assert first.usage is not None
    assert first.cost is None, "batches have prices of their own"
    assert second.error == "invalid_request: no"
    assert [type(o.action) for o in seen] == [Response, ToolCall, Response]
    assert {o.exchange for o in seen} == {1}


def test_each_result_of_openais_batch_is_told() -> None:
    pieces = [lines(OPENAI)[:90], lines(OPENAI)[90:]]
    seen = responses(fetched("/v1/files/file-1/content", chunked(*pieces, kind="")))

    assert [(r.status, r.text, r.error) for r in seen] == [
        (200, "Hello", None),
        (429, None, "limit: slow"),
        (400, None, "x: late"),
    ]


def test_a_result_cut_short_is_told_as_truncated() -> None:
    whole = response(lines(OPENAI[:1]))
    (cut,) = responses(fetched("/v1/files/file-1/content", whole[:-30]))
    assert (cut.text, cut.truncated) == ("Hello", True)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\0", b"a,b\n1,2\n", b'{"custom_id":1}\n[1]\n7', b"{}\n{"]
)
def test_files_that_are_no_results_are_nothing(body: bytes) -> None:
    assert fetched("/v1/files/file-1/content", response(body)) == []


def test_a_refusal_of_results_is_nothing() -> None:
    refused = response({"error": {"message": "no"}}, status=404)
    assert fetched("/v1/files/file-1/content", refused) == []


def background(status: str) -> bytes:
    part = {"type": "output_text", "text": "Hello"}
    output = [{"type": "message", "content": [part]}] if status == "completed" else []
    return response({"object": "response", "id": "r", "status": status, "output": output})


def test_a_response_made_in_the_background_is_told_when_it_is_there() -> None:
    reader = ConnectionReader("api.openai.com")
    seen: list[Observed] = []
    for status in ("queued", "in_progress", "completed"):
        reader.feed(WRITE, request(None, method="GET", path="/v1/responses/resp_1"), 0)
        seen += reader.feed(READ, background(status), 1)
    (told,) = responses(seen)

    assert (told.api, told.text, told.finish_reason) == ("openai.responses", "Hello", "completed")


def test_a_stored_completion_is_told() -> None:
    (told,) = responses(fetched("/v1/chat/completions/chatcmpl-1", response(COMPLETION)))
    assert told.text == "Hello"


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/v1/responses/r", "a.example"),
        ("/v1/responses/r/input_items", "api.openai.com"),
        ("/v1/models", "api.openai.com"),
        ("/v1/files/file-1", "api.openai.com"),
    ],
)
def test_what_else_is_fetched_is_nothing(path: str, host: str) -> None:
    assert fetched(path, response(COMPLETION), host) == []
