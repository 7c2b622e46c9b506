import pytest

from busted.classifier import openai
from busted.classifier.assembly import Answer
from busted.events import ChatMessage, ToolResult, Usage

TOOL_TURNS: list[object] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "tool_calls": [{"id": "old", "function": {"name": "clock"}}]},
    {"role": "tool", "tool_call_id": "old", "content": "noon"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "function": {"name": "weather", "arguments": "{}"}},
            {"id": "c2", "function": {"name": "news", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "none"}]},
]


def streamed(*events: dict[str, object]) -> Answer:
    answer = Answer()
    for event in events:
        openai.read_event(answer, "{...}", event)
    return answer


def delta(said: dict[str, object], **choice: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": said, **choice}]}


def test_a_request_is_read() -> None:
    asked = openai.read_request(
        {
            "model": "gpt-4o",
            "messages": TOOL_TURNS,
            "tools": [{"type": "function", "function": {"name": "weather"}}, {"type": "web"}, 7],
            "temperature": 0.5,
            "stream": True,
            "user": "someone",
        }
    )

    assert asked.model == "gpt-4o"
    assert asked.stream
    assert asked.system_prompt == "be brief"
    assert asked.user_message == "weather?"
    assert asked.tools == ("weather", "web")
    assert asked.params == {"temperature": 0.5}
    assert asked.messages[4] == ChatMessage(
        role="assistant", content="[tool call: weather]\n[tool call: news]"
    )


def test_only_results_after_the_last_assistant_turn_are_new() -> None:
    asked = openai.read_request({"messages": TOOL_TURNS})

    assert asked.results == (
        ToolResult(id="c1", name="weather", content="sunny", truncated=False),
        ToolResult(id="c2", name="news", content="none", truncated=False),
    )


@pytest.mark.parametrize("content", [None, 7, True, {}, [None, 3, {}], [[["deep"]]], {"text": 1}])
def test_any_content_is_read(content: object) -> None:
    asked = openai.read_request({"messages": [{"role": "user", "content": content}, None, 3]})

    assert asked.messages[0].role == "user"
    assert len(asked.messages) == 3


@pytest.mark.parametrize(
    ("part", "described"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 16384}},
            "[image/png, 12 KB]",
        ),
        ({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}, "[image]"),
        (
            {"type": "input_audio", "input_audio": {"data": "A" * 400, "format": "wav"}},
            "[input_audio, 300 B]",
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "A" * (4 << 20)}},
            "[a.pdf, 3.0 MB]",
        ),
    ],
)
def test_parts_that_are_not_text_are_described(part: object, described: str) -> None:
    content = [{"type": "text", "text": "look"}, part]

    asked = openai.read_request({"messages": [{"role": "user", "content": content}]})

    assert asked.user_message == f"look\n{described}"


@pytest.mark.parametrize(
    "body",
    [
        {"model": "T-1000", "messages": ["low battery"]},
        {"model": "x", "messages": [{"id": 1, "text": "hi"}]},
        {"model": "x", "messages": []},
        {"model": "x", "messages": {"role": "user"}},
        {"model": 3, "messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"role": "admin", "content": "hi"}]},
        {"model": "x"},
    ],
)
def test_ordinary_json_is_no_request(body: dict[str, object]) -> None:
    assert not openai.is_request(body)
    assert not openai.is_answer(body)


def test_a_whole_answer_is_read() -> None:
    answer = Answer()
    openai.read_answer(
        answer,
        {
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls",
                    "message": {
                        "content": "Hello",
                        "reasoning_content": "hm",
                        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
                    },
                },
                {"index": 1, "finish_reason": "stop", "message": {"content": "other"}},
            ],
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
        },
    )

    assert (answer.model, answer.text, answer.reasoning) == ("m", "Hello", "hm")
    assert answer.finish_reason == "tool_calls"
    assert answer.usage == Usage(input=9, output=4, cached=8, reasoning=3)
    (call,) = answer.tool_calls("openai", truncated=False)
    assert (call.id, call.name, call.arguments) == ("c", "f", "{}")


def test_a_stream_is_assembled() -> None:
    answer = streamed(
        delta({"role": "assistant", "content": ""}),
        delta({"content": "Hel"}),
        {"choices": [{"index": 1, "delta": {"content": "other choice"}}]},
        delta({"content": "lo"}, finish_reason="stop"),
        {"choices": [], "usage": {"prompt_tokens": 5}},
    )

    assert answer.text == "Hello"
    assert answer.finish_reason == "stop"
    assert not answer.finished
    openai.read_event(answer, "[DONE]", {})
    assert answer.finished
    assert answer.usage == Usage(input=5)


def test_arguments_are_joined_per_call() -> None:
    def call(index: int, **rest: object) -> dict[str, object]:
        return delta({"tool_calls": [{"index": index, **rest}]})

    answer = streamed(
        call(0, id="a", function={"name": "f", "arguments": ""}),
        call(0, function={"arguments": '{"x"'}),
        call(1, id="b", function={"name": "g", "arguments": "{"}),
        call(0, function={"arguments": ":1}"}),
        call(1, function={"arguments": "}"}),
    )

    calls = answer.tool_calls(None, truncated=False)
    assert [(c.id, c.name, c.arguments) for c in calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]


def test_whole_calls_that_share_an_index_are_kept_apart() -> None:
    calls = [
        {"index": 0, "id": i, "function": {"name": i, "arguments": {"n": i}}} for i in ("a", "b")
    ]

    answer = streamed(*(delta({"tool_calls": [c]}) for c in calls))

    told = answer.tool_calls(None, truncated=False)
    assert [(c.id, c.arguments) for c in told] == [("a", '{"n":"a"}'), ("b", '{"n":"b"}')]


def test_a_refusal_is_text_and_an_error_is_told() -> None:
    assert streamed(delta({"refusal": "I cannot"})).text == "I cannot"

    answer = streamed({"error": {"message": "Overloaded", "type": "server_error"}})

    assert answer.error == "server_error: Overloaded"


@pytest.mark.parametrize(
    "event",
    [
        {"choices": None},
        {"choices": [None, 3, {"delta": 5}, {"index": "x", "delta": {}}]},
        {"choices": [{"delta": {"content": 5, "tool_calls": [None, {"function": 3}]}}]},
        {"usage": 7, "error": 3, "model": {}},
        {"choices": [{"delta": {"tool_calls": [{"index": -5, "id": 7}]}}]},
    ],
)
def test_a_strange_event_is_survived(event: dict[str, object]) -> None:
    assert streamed(event, delta({"content": "fine"})).text in ("fine", "5fine")


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        # Moonshot, Perplexity, OpenRouter, xAI (which counts thoughts beside the completion)
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 8},
            Usage(input=9, output=4, cached=8),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "reasoning_tokens": 3},
            Usage(input=9, output=4, reasoning=3),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 7},
                "cost": 0.01,
            },
            Usage(input=9, output=4, cached=1, cache_written=7),
        ),
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(input=32, output=103, reasoning=94),
        ),
    ],
)
def test_each_provider_counts_in_its_own_way(usage: dict[str, object], read: Usage) -> None:
    assert streamed({"choices": [], "usage": usage}).usage == read
    assert streamed({"choices": [], "x_groq": {"usage": usage}}).usage == read
    assert streamed({"choices": [{"delta": {}, "usage": usage}]}).usage == read


def test_mistrals_thoughts_are_not_what_it_says() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}

    answer = streamed(
        delta({"content": [thought]}),
        delta({"content": [{"type": "text", "text": "Hel"}]}),
        delta({"content": "lo"}),
    )

    assert (answer.reasoning, answer.text) == ("hm", "Hello")


def test_of_a_spoken_answer_the_transcript_is_told() -> None:
    answer = streamed(
        delta({"audio": {"id": "audio_1", "transcript": "Hel"}}),
        delta({"audio": {"transcript": "lo", "data": "AAAA"}}),
    )

    assert answer.text == "Hello"


def test_an_image_in_an_answer_is_described() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4096}}

    assert streamed(delta({"content": "", "images": [image]})).text == "[image/png, 3 KB]"


def test_an_error_with_a_good_status_is_told() -> None:
    failed: dict[str, object] = {
        "base_resp": {"status_code": 1004, "status_msg": "login fail"},
        "choices": None,
    }

    assert streamed(failed).error == "1004: login fail"
    assert streamed({"base_resp": {"status_code": 0, "status_msg": ""}}).error is None
