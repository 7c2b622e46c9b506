"""OpenAI's responses, in the shapes of its reference and of what Codex sends."""

import pytest

from busted.classifier import openai_responses as responses
from busted.classifier.assembly import Answer
from busted.events import ChatMessage, ToolResult, Usage

ITEMS: list[object] = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "kind"}]},
    {"role": "user", "content": "list the files"},
    {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"},
    {"type": "function_call", "call_id": "c0", "name": "shell", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c0", "output": "old"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
    {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": '{"cmd":"ls"}'},
    {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
    {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
    {
        "type": "custom_tool_call_output",
        "call_id": "c2",
        "output": [{"type": "input_text", "text": "Done!"}],
    },
]
USAGE = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 12},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}
OUTPUT: list[object] = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "news"},
    },
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Today:", "annotations": []}],
    },
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "weather",
        "arguments": '{"city":"Paris"}',
    },
]
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-5-2025-08-07",
    "output": OUTPUT,
    "usage": USAGE,
}
PIECES: list[dict[str, object]] = [
    {
        "type": "response.created",
        "response": {"object": "response", "status": "in_progress", "model": "gpt-5-2025-08-07"},
    },
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}},
    {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "H"},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "m."},
    {"type": "response.output_item.done", "output_index": 0, "item": OUTPUT[0]},
    {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {"type": "web_search_call", "id": "ws_1", "status": "in_progress"},
    },
    {"type": "response.output_item.done", "output_index": 1, "item": OUTPUT[1]},
    {"type": "response.output_item.added", "output_index": 2, "item": {"type": "message"}},
    {"type": "response.output_text.delta", "output_index": 2, "delta": "To"},
    {"type": "response.output_text.delta", "output_index": 2, "delta": "day:"},
    {"type": "response.output_text.done", "output_index": 2, "text": "Today:"},
    {"type": "response.output_item.done", "output_index": 2, "item": OUTPUT[2]},
    {
        "type": "response.output_item.added",
        "output_index": 3,
        "item": {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "weather",
            "arguments": "",
        },
    },
    {"type": "response.function_call_arguments.delta", "output_index": 3, "delta": '{"city":'},
    {"type": "response.function_call_arguments.delta", "output_index": 3, "delta": '"Paris"}'},
    {
        "type": "response.function_call_arguments.done",
        "output_index": 3,
        "arguments": '{"city":"Paris"}',
    },
    {"type": "response.output_item.done", "output_index": 3, "item": OUTPUT[3]},
    {"type": "response.completed", "response": RESPONSE},
]


def streamed(*events: dict[str, object]) -> Answer:
    answer = Answer()
    for event in events:
        responses.read_event(answer, "{...}", event)
    return answer


def whole(**body: object) -> Answer:
    answer = Answer()
    responses.read_answer(answer, body)
    return answer


def facts(answer: Answer) -> object:
    return (
        answer.model,
        answer.text,
        answer.reasoning,
        answer.finish_reason,
        answer.error,
        answer.usage,
        answer.tool_calls("openai", truncated=False),
        answer.tool_results("openai", truncated=False),
        answer.finished,
    )


def test_a_plain_text_is_what_the_user_says() -> None:
    asked = responses.read_request(
        {
            "model": "gpt-5",
            "instructions": "be brief",
            "input": "Tell me a story.",
            "previous_response_id": "resp_0",
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {"format": {"type": "json_schema", "name": "s"}, "verbosity": "high"},
            "stream": True,
            "tools": [
                {"type": "function", "name": "weather"},
                {"type": "web_search"},
                {"type": "custom", "name": "apply_patch"},
            ],
        }
    )

    assert (asked.model, asked.user_message, asked.system_prompt, asked.stream) == (
        "gpt-5",
        "Tell me a story.",
        "be brief",
        True,
    )
    assert asked.messages == (ChatMessage(role="user", content="Tell me a story."),)
    assert asked.tools == ("weather", "web_search", "apply_patch")
    assert asked.params == {
        "previous_response_id": "resp_0",
        "reasoning_effort": "low",
        "verbosity": "high",
        "response_format": "json_schema",
    }


def test_items_are_turns() -> None:
    asked = responses.read_request({"instructions": "be brief", "input": ITEMS})

    assert asked.system_prompt == "be brief\nkind"
    assert asked.user_message == "list the files"
    assert asked.messages[2:5] == (
        ChatMessage(role="assistant", content="[reasoning]"),
        ChatMessage(role="assistant", content="[tool call: shell]"),
        ChatMessage(role="tool", content="old"),
    )


def test_only_results_since_the_model_spoke_are_new() -> None:
    assert responses.read_request({"input": ITEMS}).results == (
        ToolResult(id="c1", name="shell", content="a.txt", truncated=False),
        ToolResult(id="c2", name="apply_patch", content="Done!", truncated=False),
    )


def test_results_alone_go_on_with_an_earlier_response() -> None:
    asked = responses.read_request({"previous_response_id": "resp_1", "input": ITEMS[-2:]})

    assert [(r.id, r.name, r.content) for r in asked.results] == [
        ("c1", None, "a.txt"),
        ("c2", None, "Done!"),
    ]


def test_counting_tells_no_results() -> None:
    asked = responses.read_count_request({"model": "m", "input": ITEMS})

    assert (asked.user_message, asked.results) == ("list the files", ())


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (
            {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 16384},
            "[image/png, 12 KB]",
        ),
        ({"type": "input_image", "image_url": "https://a.example/b.png"}, "[input_image]"),
        ({"type": "input_image", "file_id": "file-1"}, "[input_image]"),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "A" * 400}, "[a.pdf, 300 B]"),
    ],
)
def test_parts_that_are_not_text_are_described(part: object, shown: str) -> None:
    content = [{"type": "input_text", "text": "look"}, part]

    asked = responses.read_request({"input": [{"role": "user", "content": content}]})

    assert asked.user_message == f"look\n{shown}"


@pytest.mark.parametrize(
    ("body", "on_its_path", "anywhere"),
    [
        ({"model": "m", "input": "hi"}, True, False),
        ({"model": "m", "input": ITEMS}, True, True),
        ({"model": "m", "input": [*ITEMS, {"ty": 1}]}, True, True),
        ({"model": "m", "input": ["a", "b"]}, False, False),
        ({"model": "m", "input": [{"x": 1}]}, False, False),
        ({"model": "m", "input": [{"type": []}]}, False, False),
        ({"model": "m", "input": []}, False, False),
        ({"model": {}, "input": "hi"}, False, False),
        ({"input": ITEMS}, False, False),
    ],
)
def test_a_request_is_known_by_its_items(
    body: dict[str, object], on_its_path: bool, anywhere: bool
) -> None:
    assert responses.is_request(body) is on_its_path
    assert responses.is_distinct_request(body) is anywhere


def test_a_whole_answer_is_read() -> None:
    answer = whole(**RESPONSE)

    assert (answer.model, answer.text, answer.reasoning) == ("gpt-5-2025-08-07", "Today:", "Hm.")
    assert (answer.finish_reason, answer.error, answer.finished) == ("completed", None, True)
    assert answer.usage == Usage(input=36, output=87, cached=12, reasoning=64)
    search, weather = answer.tool_calls("openai", truncated=False)
    assert (search.name, search.arguments, search.server_side) == (
        "web_search",
        '{"type":"search","query":"news"}',
        True,
    )
    assert (weather.id, weather.name, weather.arguments, weather.server_side) == (
        "call_1",
        "weather",
        '{"city":"Paris"}',
        False,
    )


def test_a_stream_tells_what_the_whole_answer_does() -> None:
    assert facts(streamed(*PIECES)) == facts(whole(**RESPONSE))


@pytest.mark.parametrize("kept", [(0, -1), (-1,)])
def test_what_no_piece_told_is_taken_from_the_end(kept: tuple[int, ...]) -> None:
    answer = streamed(*(PIECES[place] for place in kept))

    assert facts(answer) == facts(whole(**RESPONSE))


def test_an_incomplete_answer_says_why() -> None:
    told = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}

    answer = streamed({"type": "response.incomplete", "response": told})

    assert (answer.finish_reason, answer.finished) == ("max_output_tokens", True)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "sorry", "param": None},
        {"type": "error", "error": {"type": "server_error", "message": "sorry"}},
        {
            "type": "response.failed",
            "response": {
                "status": "failed",
                "error": {"code": "server_error", "message": "sorry"},
            },
        },
    ],
)
def test_a_failure_is_told(event: dict[str, object]) -> None:
    answer = streamed(event)

    assert (answer.error, answer.finished) == ("server_error: sorry", True)


@pytest.mark.parametrize(
    ("item", "name", "arguments", "returned", "is_error"),
    [
        (
            {
                "type": "mcp_call",
                "id": "mcp_1",
                "name": "roll",
                "server_label": "dice",
                "arguments": '{"n":1}',
                "output": "4",
                "error": None,
            },
            "roll",
            '{"n":1}',
            "4",
            False,
        ),
        (
            {
                "type": "mcp_call",
                "id": "mcp_1",
                "name": "roll",
                "arguments": "{}",
                "output": None,
                "error": {"type": "mcp_tool_execution_error", "content": "no dice"},
            },
            "roll",
            "{}",
            '{"type":"mcp_tool_execution_error","content":"no dice"}',
            True,
        ),
        (
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "code": "print(2)",
                "outputs": [{"type": "logs", "logs": "2\n"}],
            },
            "code_interpreter",
            "print(2)",
            "2\n",
            False,
        ),
        (
            {
                "type": "file_search_call",
                "id": "fs_1",
                "queries": ["tax"],
                "results": [{"file_id": "f", "filename": "a.txt", "text": "20 %"}],
            },
            "file_search",
            '["tax"]',
            "20 %",
            False,
        ),
        (
            {"type": "image_generation_call", "id": "ig_1", "result": "A" * 4096},
            "image_generation",
            "",
            "[image, 3 KB]",
            False,
        ),
    ],
)
def test_tools_that_the_provider_runs_tell_what_they_returned(
    item: dict[str, object], name: str, arguments: str, returned: str, is_error: bool
) -> None:
    done: dict[str, object] = {"type": "response.output_item.done", "item": item}

    answer = streamed(
        done, {"type": "response.completed", "response": {**RESPONSE, "output": [item]}}
    )

    (call,) = answer.tool_calls("openai", truncated=False)
    assert (call.name, call.arguments, call.server_side) == (name, arguments, True)
    (result,) = answer.tool_results("openai", truncated=False)
    assert (result.id, result.name, result.content) == (item["id"], name, returned)
    assert (result.is_error, result.server_side) == (is_error, True)


@pytest.mark.parametrize(
    ("item", "arguments"),
    [
        (
            {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
            '{"command":["ls"]}',
        ),
        ({"type": "custom_tool_call", "call_id": "c", "name": "x", "input": "*** Begin"}, None),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file"}},
            '{"type":"delete_file"}',
        ),
    ],
)
def test_tools_of_the_client_are_called_with_their_arguments(
    item: dict[str, object], arguments: str | None
) -> None:
    (call,) = whole(output=[item]).tool_calls("openai", truncated=False)

    assert call.arguments == (arguments or item["input"])
    assert (call.id, call.server_side) == ("c", False)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": []},
        {"type": "response.output_text.delta", "delta": {}},
        {"type": "response.output_item.done", "output_index": "x", "item": {"type": 7}},
        {"type": "response.output_item.done", "item": {"type": "mcp_call", "output": {"a": 1}}},
        {"type": "response.output_item.added", "item": {"type": "x_call", "name": []}},
        {"type": "response.completed", "response": []},
        {"type": "response.created", "response": {"status": {}, "usage": 3, "error": []}},
        {"type": "error", "error": 7, "message": []},
    ],
)
def test_a_strange_event_is_survived(event: dict[str, object]) -> None:
    answer = streamed(event, {"type": "response.output_text.delta", "delta": "fine"})

    assert answer.text == "fine"


@pytest.mark.parametrize(
    ("body", "is_ours"),
    [
        (RESPONSE, True),
        (PIECES[9], True),
        ({"object": "response"}, False),
        ({"type": "response.unheard_of"}, False),
        ({"type": "response"}, False),
        ({"output": []}, False),
    ],
)
def test_an_answer_is_known_by_its_kind(body: dict[str, object], is_ours: bool) -> None:
    assert responses.is_answer(body) is is_ours


def test_counted_tokens_are_input() -> None:
    answer = Answer()
    responses.read_count(answer, {"object": "response.input_tokens", "input_tokens": 11})

    assert answer.usage == Usage(input=11)
