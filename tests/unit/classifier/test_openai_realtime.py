"""Messages of OpenAI's WebSockets, realtime and responses, in the shapes of the reference."""

import pytest

from busted.classifier import Direction, classify
from busted.classifier import openai_realtime as realtime
from busted.classifier.assembly import Answer
from busted.events import Prompt, Response, ToolCall, ToolResult, Usage
from tests.unit.classifier.wire import as_json

HOST = "api.openai.com"
TURN = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
DONE: dict[str, object] = {
    "type": "response.done",
    "event_id": "event_1",
    "response": {
        "object": "realtime.response",
        "id": "resp_1",
        "status": "completed",
        "status_details": None,
        "output": [
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_audio", "transcript": "Hello there"}],
            },
            {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        ],
        "usage": {
            "total_tokens": 30,
            "input_tokens": 20,
            "output_tokens": 10,
            "input_token_details": {"cached_tokens": 5},
        },
    },
}


def test_what_is_set_for_a_session_is_told() -> None:
    session = {"instructions": "be kind", "tools": [{"type": "function", "name": "weather"}]}

    asked = realtime.read_request({"type": "session.update", "session": session})

    assert (asked.system_prompt, asked.tools, asked.stream) == ("be kind", ("weather",), True)


def test_what_is_added_to_a_conversation_is_told() -> None:
    said = realtime.read_request({"type": "conversation.item.create", "item": TURN})
    output = {"type": "function_call_output", "call_id": "c", "output": "5 degrees"}
    returned = realtime.read_request({"type": "conversation.item.create", "item": output})

    assert (said.user_message, said.results) == ("hi", ())
    assert returned.results == (
        ToolResult(id="c", name=None, content="5 degrees", truncated=False),
    )


def test_a_complete_answer_is_read() -> None:
    answer = Answer()
    realtime.read_event(answer, "{...}", DONE)

    assert (answer.text, answer.finish_reason, answer.finished) == (
        "Hello there",
        "completed",
        True,
    )
    assert answer.usage == Usage(input=20, output=10, cached=5)
    (call,) = answer.tool_calls(None, truncated=False)
    assert (call.name, call.id) == ("weather", "c")


def test_a_failure_says_why() -> None:
    answer = Answer()
    error = {"type": "server_error", "message": "sorry"}
    details = {"type": "failed", "reason": "overload", "error": error}
    told = {"object": "realtime.response", "status": "failed", "status_details": details}
    realtime.read_answer(answer, {"type": "response.done", "response": told})

    assert (answer.error, answer.finish_reason) == ("server_error: sorry", "overload")


@pytest.mark.parametrize(
    ("message", "api"),
    [
        ({"type": "conversation.item.create", "item": TURN}, "openai.realtime"),
        ({"type": "session.update", "session": {"instructions": "x"}}, "openai.realtime"),
        ({"type": "response.create", "response": {"instructions": "x"}}, "openai.realtime"),
        ({"type": "response.create", "model": "m", "input": "hi"}, "openai.responses"),
        ({"type": "response.create", "model": "m", "input": [TURN]}, "openai.responses"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, None),
        ({"type": "session.update", "session": {"user": 7}}, None),
        ({"type": "conversation.item.create", "item": {"sku": 7}}, None),
        ({"type": "response.create"}, None),
        ({"type": []}, None),
    ],
)
@pytest.mark.parametrize("sni", [HOST, None])
def test_a_message_to_the_model_is_known_by_itself(
    message: object, api: str | None, sni: str | None
) -> None:
    found = classify(as_json(message), Direction.WRITE, sni)

    assert found.api == api
    assert [type(action) for action in found.actions] == ([Prompt] if api else [])


@pytest.mark.parametrize(
    ("message", "api", "actions"),
    [
        (DONE, "openai.realtime", [Response, ToolCall]),
        (
            {
                "type": "response.completed",
                "response": {"object": "response", "status": "completed", "output": [TURN]},
            },
            "openai.responses",
            [Response],
        ),
        ({"type": "error", "error": {"type": "t", "code": None, "message": "m"}}, None, [Response]),
        # Pieces are of a model's answer, and the end repeats them.
        ({"type": "response.output_text.delta", "delta": "x"}, "openai.responses", []),
        ({"type": "response.created", "response": {"status": "queued"}}, "openai.responses", []),
        ({"type": "session.created", "session": {"instructions": "x"}}, None, []),
        ({"type": "response.done", "response": {"object": "survey"}}, None, []),
    ],
)
def test_a_message_of_the_model_is_told_when_it_is_complete(
    message: object, api: str | None, actions: list[type]
) -> None:
    found = classify(as_json(message), Direction.READ, HOST)

    assert [type(action) for action in found.actions] == actions
    assert found.api == (api or (actions and "openai.responses") or None)
    assert found.content_class in ("llm_response", "llm_stream", "none")
