import pytest

from busted.classifier import anthropic
from busted.classifier.assembly import Answer
from busted.events import ChatMessage, ToolResult, Usage

TURNS: list[object] = [
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "old", "name": "clock"}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "old", "content": "1"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"place": "here"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [{"type": "text", "text": "sunny"}],
                "is_error": True,
            },
            {"type": "text", "text": "and?"},
        ],
    },
]


def streamed(*events: dict[str, object]) -> Answer:
    answer = Answer()
    for event in events:
        anthropic.read_event(answer, "{...}", event)
    return answer


def start(**usage: object) -> dict[str, object]:
    return {"type": "message_start", "message": {"model": "claude", "usage": usage}}


def block(index: int, **content: object) -> dict[str, object]:
    return {"type": "content_block_start", "index": index, "content_block": content}


def delta(index: int, kind: str, **content: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **content}}


def test_a_request_is_read() -> None:
    asked = anthropic.read_request(
        {
            "max_tokens": 9,
            "messages": TURNS,
            "model": "claude",
            "system": [{"type": "text", "text": "be brief"}, {"type": "text", "text": "be kind"}],
            "tools": [{"name": "weather", "input_schema": {}}, {"type": "web_search_20250305"}],
            "thinking": {"type": "enabled", "budget_tokens": 5},
        }
    )

    assert asked.model == "claude"
    assert asked.system_prompt == "be brief\nbe kind"
    assert asked.user_message == "and?"
    assert asked.tools == ("weather", "web_search_20250305")
    assert asked.params == {"max_tokens": 9, "thinking": "enabled"}
    assert asked.messages[-3:] == (
        ChatMessage(role="assistant", content="Let me look.\n[tool call: weather]"),
        ChatMessage(role="tool", content="sunny"),
        ChatMessage(role="user", content="and?"),
    )


def test_only_results_after_the_last_assistant_turn_are_new() -> None:
    asked = anthropic.read_request({"messages": TURNS})

    assert asked.results == (
        ToolResult(id="t1", name="weather", content="sunny", is_error=True, truncated=False),
    )


def test_an_image_is_described() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 16384}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}]

    asked = anthropic.read_request({"messages": [{"role": "user", "content": content}]})

    assert asked.user_message == "[image/png, 12 KB]\nwhat is it?"


@pytest.mark.parametrize("content", [None, 7, [], [None, 3, {}], {"type": "text"}, "text"])
def test_any_content_is_read(content: object) -> None:
    asked = anthropic.read_request(
        {"messages": [{"role": "user", "content": content}], "system": 7}
    )

    assert asked.results == ()
    assert asked.system_prompt == "7"


def test_a_request_without_a_path_needs_what_no_other_dialect_has() -> None:
    body: dict[str, object] = {"max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}

    assert anthropic.is_request(body)
    assert not anthropic.is_distinct_request(body)
    assert anthropic.is_distinct_request({**body, "system": "be brief"})


def test_a_whole_answer_is_read() -> None:
    body: dict[str, object] = {
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "Hello"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {
            "input_tokens": 3,
            "output_tokens": 4,
            "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 5,
        },
    }
    answer = Answer()
    anthropic.read_answer(answer, body)

    assert anthropic.is_answer(body)
    assert (answer.model, answer.text, answer.reasoning) == ("claude", "Hello", "hm")
    assert answer.finish_reason == "tool_use"
    assert answer.usage == Usage(input=15, output=4, cached=7, cache_written=5)
    (call,) = answer.tool_calls("anthropic", truncated=False)
    assert (call.id, call.name, call.arguments) == ("t", "f", '{"x":1}')


def test_a_stream_is_assembled() -> None:
    answer = streamed(
        start(
            input_tokens=3,
            cache_read_input_tokens=7,
            cache_creation_input_tokens=5,
            output_tokens=1,
        ),
        block(0, type="thinking", thinking=""),
        delta(0, "thinking_delta", thinking="hm"),
        {"type": "ping"},
        block(1, type="text", text=""),
        delta(1, "text_delta", text="Hel"),
        delta(1, "text_delta", text="lo"),
        block(2, type="tool_use", id="t", name="f", input={}),
        delta(2, "input_json_delta", partial_json='{"x"'),
        delta(2, "input_json_delta", partial_json=":1}"),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use"},
            "usage": {"output_tokens": 9},
        },
    )

    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Hello", "hm", "tool_use")
    assert answer.usage == Usage(input=15, output=9, cached=7, cache_written=5)
    assert not answer.finished
    anthropic.read_event(answer, "", {"type": "message_stop"})
    assert answer.finished
    (call,) = answer.tool_calls(None, truncated=False)
    assert (call.id, call.name, call.arguments) == ("t", "f", '{"x":1}')


def test_an_error_ends_the_stream() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}

    answer = streamed(start(), {"type": "error", "error": error})

    assert answer.finished
    assert answer.error == "overloaded_error: Overloaded"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start", "message": 7},
        {"type": "content_block_start", "index": "x", "content_block": None},
        {"type": "content_block_delta", "index": 5, "delta": {"type": "text_delta", "text": 5}},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta"}},
        {"type": "message_delta", "delta": None, "usage": []},
        {"type": 7},
        {},
    ],
)
def test_a_strange_event_is_survived(event: dict[str, object]) -> None:
    answer = streamed(event, delta(0, "text_delta", text="fine"))

    assert answer.text == "fine"
