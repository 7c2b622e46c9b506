import json

import pytest

from busted.classifier import Direction, classify, ollama
from busted.classifier.connection import ConnectionReader
from busted.events import Action, ChatMessage, Prompt, Response, ToolCall, ToolResult, Usage
from tests.unit.classifier.wire import chunked, request, response

HOST = "localhost:11434"
CHAT: dict[str, object] = {
    "model": "llama3.2",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "weather?", "images": ["A" * 16384]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Bonn"}}}],
        },
        {"role": "tool", "tool_name": "weather", "content": "sun"},
    ],
    "tools": [{"type": "function", "function": {"name": "weather"}}],
    "options": {"temperature": 0.5, "num_predict": 99, "seed": 7},
    "think": True,
    "keep_alive": "5m",
}


def line(said: dict[str, object], **more: object) -> dict[str, object]:
    return {"model": "llama3.2", "created_at": "2026-01-01T00:00:00Z", **said, **more}


END: dict[str, object] = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 5_000_000,
    "prompt_eval_count": 26,
    "eval_count": 9,
}
CALL = {"function": {"index": 0, "name": "weather", "arguments": {"city": "Bonn"}}}
CHATTED = [
    line({"message": {"role": "assistant", "content": "", "thinking": "hm"}}, done=False),
    line({"message": {"role": "assistant", "content": "Hel"}}, done=False),
    line({"message": {"role": "assistant", "content": "lo", "tool_calls": [CALL]}}, done=False),
    line({"message": {"role": "assistant", "content": ""}}, **END),
]
CHATTED_WHOLE = line(
    {
        "message": {
            "role": "assistant",
            "content": "Hello",
            "thinking": "hm",
            "tool_calls": [CALL],
        }
    },
    **END,
)
GENERATED = [
    line({"response": "", "thinking": "hm"}, done=False),
    line({"response": "Hel"}, done=False),
    line({"response": "lo"}, done=False),
    line({"response": ""}, **END, context=[1, 2, 3]),
]


def lines(values: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def exchange(path: str, body: object, told: bytes, host: str = HOST) -> list[Action]:
    reader = ConnectionReader(None)
    seen = reader.feed(Direction.WRITE, request(body, path=path, host=host), 0)
    seen += reader.feed(Direction.READ, told, 1)
    return [observed.action for observed in [*seen, *reader.close(2)]]


def test_a_chat_is_read() -> None:
    asked = ollama.read_chat_request(CHAT)

    assert asked.model == "llama3.2"
    assert asked.stream
    assert asked.system_prompt == "be brief"
    assert asked.user_message == "weather?\n[image, 12 KB]"
    assert asked.tools == ("weather",)
    assert asked.params == {"temperature": 0.5, "max_tokens": 99, "seed": 7, "thinking": True}
    assert asked.messages[2] == ChatMessage(role="assistant", content="[tool call: weather]")
    assert asked.results == (ToolResult(name="weather", content="sun", truncated=False),)


def test_results_before_the_last_answer_are_old() -> None:
    turns = [{"role": "tool", "content": "old"}, {"role": "assistant", "content": "said"}]

    assert ollama.read_chat_request({"messages": turns}).results == ()


@pytest.mark.parametrize(
    ("told", "streamed"),
    [
        (chunked(*map(lines, ([c] for c in CHATTED)), kind="application/x-ndjson"), True),
        (response(lines(CHATTED), kind=""), True),
        (response(CHATTED_WHOLE, kind="application/json; charset=utf-8"), False),
    ],
)
def test_a_chat_says_the_same_whole_and_streamed(told: bytes, streamed: bool) -> None:
    prompt, _, answer, call = exchange("/api/chat", {**CHAT, "stream": streamed}, told)

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.provider, prompt.stream) == ("ollama.chat", "ollama", streamed)
    assert isinstance(answer, Response)
    assert (answer.model, answer.text, answer.reasoning) == ("llama3.2", "Hello", "hm")
    assert (answer.finish_reason, answer.stream) == ("stop", streamed)
    assert answer.usage == Usage(input=26, output=9)
    assert not answer.truncated
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("weather", '{"city":"Bonn"}')


def test_a_text_is_generated() -> None:
    body = {"model": "llama3.2", "prompt": "hi", "system": "be brief", "images": ["AAAA"]}

    prompt, answer = exchange(
        "/api/generate", body, response(lines(GENERATED), kind="application/x-ndjson")
    )

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.operation) == ("ollama.generate", "text_completion")
    assert (prompt.user_message, prompt.system_prompt) == ("hi\n[image, 3 B]", "be brief")
    assert prompt.stream
    assert isinstance(answer, Response)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Hello", "hm", "stop")
    assert answer.usage == Usage(input=26, output=9)


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("/api/embed", {"model": "m", "input": ["one", "two"]}, "one\ntwo"),
        ("/api/embed", {"model": "m", "input": "one"}, "one"),
        ("/api/embeddings", {"model": "m", "prompt": "one"}, "one"),
    ],
)
def test_embedded_texts_are_the_prompt(path: str, body: dict[str, object], asked: str) -> None:
    told = response({"model": "m", "embeddings": [[0.1]], "prompt_eval_count": 4})

    prompt, answer = exchange(path, body, told)

    assert ollama.is_embed_request(body)
    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.user_message) == ("ollama.embed", asked)
    assert isinstance(answer, Response)
    assert answer.usage == Usage(input=4)


def test_an_error_in_a_stream_ends_it() -> None:
    told = lines([CHATTED[1], {"error": "model runner has stopped"}])

    answer = exchange("/api/chat", CHAT, response(told, kind="application/x-ndjson"))[-1]

    assert isinstance(answer, Response)
    assert (answer.text, answer.error) == ("Hel", "model runner has stopped")


def test_an_unknown_host_is_believed_if_the_body_agrees() -> None:
    assert exchange("/api/chat", CHAT, b"", "a.example")
    assert exchange("/api/chat", {"id": 1, "message": "hi"}, b"", "a.example") == []
    assert exchange("/api/generate", {"model": "m", "seed": 1}, b"", "a.example") == []


def test_lines_without_any_head_are_a_stream() -> None:
    found = classify(lines(CHATTED), Direction.READ)

    assert (found.api, found.model, found.stream) == ("ollama.chat", "llama3.2", True)
    assert found.content_class == "llm_stream"


def test_other_lines_are_none_of_ours() -> None:
    told = lines([{"status": "pulling", "done": False}, {"status": "success", "done": True}])

    assert classify(told, Direction.READ).api is None
