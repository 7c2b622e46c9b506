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


SEARCHED: list[dict[str, object]] = [
    {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "otters"},
    },
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [
            {
                "type": "web_search_result",
                "url": "https://a.example/otters",
                "title": "Otters",
                "encrypted_content": "EqgfCioIARgB",
                "page_age": "April 30, 2025",
            }
        ],
    },
    {"type": "text", "text": "They swim."},
]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_that_the_provider_runs_tell_what_they_returned(stream: bool) -> None:
    answer = Answer()
    if stream:
        answer = streamed(*(block(index, **content) for index, content in enumerate(SEARCHED)))
    else:
        anthropic.read_answer(answer, {"content": SEARCHED})

    (call,) = answer.tool_calls("anthropic", truncated=False)
    assert (call.name, call.arguments, call.server_side) == (
        "web_search",
        '{"query":"otters"}',
        True,
    )
    assert answer.tool_results("anthropic", truncated=False) == (
        ToolResult(
            id="srvtoolu_1",
            name="web_search",
            content="Otters\nhttps://a.example/otters",
            provider="anthropic",
            server_side=True,
            truncated=False,
        ),
    )
    assert answer.text == "They swim."


@pytest.mark.parametrize(
    ("content", "told", "is_error"),
    [
        ({"type": "web_search_tool_result_error", "error_code": "max_uses"}, "max_uses", True),
        (
            {
                "type": "web_fetch_result",
                "url": "https://a.example",
                "content": {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "Full text"},
                },
            },
            "https://a.example\nFull text",
            False,
        ),
        (
            {"type": "bash_code_execution_result", "stdout": "1\n", "stderr": "", "return_code": 0},
            "1\n",
            False,
        ),
        ([{"type": "text", "text": "from a server"}], "from a server", False),
        ("from a server", "from a server", False),
        (None, "", False),
        (7, "7", False),
    ],
)
def test_what_a_tool_returned_is_text(content: object, told: str, is_error: bool) -> None:
    answer = streamed(block(0, type="x_tool_result", tool_use_id="t", content=content))

    (result,) = answer.tool_results(None, truncated=False)
    assert (result.content, result.is_error) == (told, is_error)


def test_tools_that_the_provider_ran_stay_in_the_conversation() -> None:
    asked = anthropic.read_request({"messages": [{"role": "assistant", "content": SEARCHED}]})

    assert [(m.role, m.content) for m in asked.messages] == [
        ("tool", "Otters\nhttps://a.example/otters"),
        ("assistant", "[tool call: web_search]\nThey swim."),
    ]


def test_hidden_thoughts_are_described() -> None:
    answer = streamed(block(0, type="redacted_thinking", data="A" * 4096))

    assert answer.reasoning == "[redacted thinking, 3 KB]"


def test_what_is_written_to_the_cache_counts_as_input() -> None:
    answer = streamed(
        start(
            input_tokens=3,
            cache_creation_input_tokens=100,
            cache_read_input_tokens=50,
            output_tokens=1,
        ),
        {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 3, "output_tokens": 9}},
    )

    assert answer.usage == Usage(input=153, output=9, cached=50, cache_written=100)


def test_counting_tells_what_was_sent_and_no_results() -> None:
    body: dict[str, object] = {"model": "claude", "messages": TURNS}
    answer = Answer()
    anthropic.read_count(answer, {"input_tokens": 2095})

    assert anthropic.is_count_request(body)
    assert anthropic.read_count_request(body).user_message == "and?"
    assert anthropic.read_count_request(body).results == ()
    assert (answer.usage, answer.text, answer.finished) == (Usage(input=2095), None, True)
