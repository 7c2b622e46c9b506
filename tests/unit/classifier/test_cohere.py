import json

import pytest

from busted.classifier import cohere
from busted.classifier.connection import ConnectionReader
from busted.classifier.direction import Direction
from busted.events import Action, ChatMessage, Prompt, Response, ToolCall, ToolResult, Usage
from tests.unit.classifier.wire import named_sse, request, response

HOST = "api.cohere.com"
CHAT: dict[str, object] = {
    "model": "command-a-03-2025",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "tool_plan": "I look.",
            "tool_calls": [{"id": "t1", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {
            "role": "tool",
            "tool_call_id": "t1",
            "content": [{"type": "document", "document": {"data": "sun"}}],
        },
    ],
    "tools": [{"type": "function", "function": {"name": "weather"}}],
    "stream": True,
    "p": 0.9,
    "k": 5,
}
CALL = {"id": "t2", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}
USAGE = {
    "billed_units": {"input_tokens": 3, "output_tokens": 2},
    "tokens": {"input_tokens": 71, "output_tokens": 9},
    "cached_tokens": 64,
}
CHATTED = {
    "id": "c",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "tool_plan": "I look.",
        "tool_calls": [CALL],
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}],
    },
    "usage": USAGE,
}
EVENTS: list[dict[str, object]] = [
    {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I look."}}},
    {
        "type": "content-start",
        "index": 0,
        "delta": {"message": {"content": {"type": "thinking", "thinking": ""}}},
    },
    {
        "type": "content-delta",
        "index": 0,
        "delta": {"message": {"content": {"thinking": "hm"}}},
    },
    {
        "type": "content-start",
        "index": 1,
        "delta": {"message": {"content": {"type": "text", "text": ""}}},
    },
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "Hel"}}}},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "lo"}}}},
    {"type": "content-end", "index": 1},
    {
        "type": "tool-call-start",
        "index": 0,
        "delta": {
            "message": {
                "tool_calls": {
                    "id": "t2",
                    "type": "function",
                    "function": {"name": "weather", "arguments": ""},
                }
            }
        },
    },
    {
        "type": "tool-call-delta",
        "index": 0,
        "delta": {"message": {"tool_calls": {"function": {"arguments": '{"a":1}'}}}},
    },
    {"type": "tool-call-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": USAGE}},
]
CHAT_V1: dict[str, object] = {
    "message": "and tomorrow?",
    "model": "command-r",
    "preamble": "be brief",
    "chat_history": [
        {"role": "USER", "message": "weather?"},
        {"role": "CHATBOT", "message": "", "tool_calls": [{"name": "weather", "parameters": {}}]},
        {"role": "TOOL", "tool_results": [{"call": {"name": "weather"}, "outputs": [{"a": 1}]}]},
    ],
    "tools": [{"name": "weather", "description": "", "parameter_definitions": {}}],
    "tool_results": [{"call": {"name": "weather", "parameters": {}}, "outputs": [{"sun": 1}]}],
    "temperature": 0.5,
}
CHATTED_V1 = {
    "response_id": "r",
    "generation_id": "g",
    "text": "Hello",
    "finish_reason": "COMPLETE",
    "tool_calls": [{"name": "weather", "parameters": {"a": 1}}],
    "meta": {"api_version": {"version": "1"}, "tokens": USAGE["tokens"]},
}
EVENTS_V1: list[dict[str, object]] = [
    {"is_finished": False, "event_type": "stream-start", "generation_id": "g"},
    {"is_finished": False, "event_type": "text-generation", "text": "Hel"},
    {"is_finished": False, "event_type": "text-generation", "text": "lo"},
    {"is_finished": False, "event_type": "tool-calls-chunk", "tool_call_delta": {"index": 0}},
    {
        "is_finished": False,
        "event_type": "tool-calls-generation",
        "tool_calls": CHATTED_V1["tool_calls"],
    },
    {
        "is_finished": True,
        "event_type": "stream-end",
        "finish_reason": "COMPLETE",
        "response": CHATTED_V1,
    },
]


def lines(values: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def exchange(path: str, body: object, told: bytes, host: str = HOST) -> list[Action]:
    reader = ConnectionReader(host)
    seen = reader.feed(Direction.WRITE, request(body, path=path, host=host), 0)
    seen += reader.feed(Direction.READ, told, 1)
    return [observed.action for observed in [*seen, *reader.close(2)]]


@pytest.mark.parametrize(
    "told", [response(named_sse(EVENTS), kind="text/event-stream"), response(CHATTED)]
)
def test_version_2_says_the_same_whole_and_streamed(told: bytes) -> None:
    prompt, _, answer, call = exchange("/v2/chat", CHAT, told)

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.provider) == ("cohere.chat", "cohere")
    assert (prompt.model, prompt.user_message) == ("command-a-03-2025", "weather?")
    assert prompt.params == {"top_p": 0.9, "top_k": 5}
    assert isinstance(answer, Response)
    assert (answer.text, answer.reasoning) == ("Hello", "I look.hm")
    assert (answer.finish_reason, answer.truncated) == ("TOOL_CALL", False)
    assert answer.usage == Usage(input=71, output=9, cached=64)
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.arguments) == ("t2", "weather", '{"a":1}')


@pytest.mark.parametrize(
    "told",
    [
        response(CHATTED_V1),
        response(lines(EVENTS_V1), kind="application/stream+json"),
        response(lines(EVENTS_V1), kind=""),
    ],
)
def test_version_1_says_the_same_whole_and_streamed(told: bytes) -> None:
    prompt, _, answer, call = exchange("/v1/chat", CHAT_V1, told)

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.model) == ("cohere.chat", "command-r")
    assert isinstance(answer, Response)
    assert (answer.text, answer.finish_reason) == ("Hello", "COMPLETE")
    assert answer.usage == Usage(input=71, output=9)
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("weather", '{"a":1}')


def test_version_1_tells_the_conversation_in_other_words() -> None:
    asked = cohere.read_request(CHAT_V1)

    assert asked.messages == (
        ChatMessage(role="user", content="weather?"),
        ChatMessage(role="chatbot", content="[tool call: weather]"),
        ChatMessage(role="tool", content='[{"a":1}]'),
        ChatMessage(role="user", content="and tomorrow?"),
    )
    assert (asked.system_prompt, asked.user_message) == ("be brief", "and tomorrow?")
    assert asked.tools == ("weather",)
    assert asked.results == (ToolResult(name="weather", content='[{"sun":1}]', truncated=False),)


@pytest.mark.parametrize(
    ("path", "body", "api", "asked"),
    [
        ("/v1/embed", {"model": "m", "texts": ["one", "two"]}, "cohere.embed", "one\ntwo"),
        (
            "/v2/embed",
            {"model": "m", "inputs": [{"content": [{"type": "text", "text": "one"}]}]},
            "cohere.embed",
            "one",
        ),
        (
            "/v2/rerank",
            {"model": "m", "query": "which?", "documents": ["one", {"text": "two"}]},
            "cohere.rerank",
            "which?\none\ntwo",
        ),
    ],
)
def test_embedded_and_ranked_texts_are_the_prompt(
    path: str, body: dict[str, object], api: str, asked: str
) -> None:
    told = response({"id": "e", "meta": {"billed_units": {"input_tokens": 3}}})

    prompt, answer = exchange(path, body, told, "rerank.example")

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.user_message) == (api, asked)
    assert isinstance(answer, Response)
    assert answer.usage == Usage(input=3)


@pytest.mark.parametrize("path", ["/v1/chat", "/v2/chat"])
def test_a_refusal_is_told(path: str) -> None:
    answer = exchange(path, CHAT, response({"message": "invalid api token"}, status=401))[-1]

    assert isinstance(answer, Response)
    assert answer.error == "invalid api token"


@pytest.mark.parametrize(
    "body",
    [
        {"message": "hi"},
        {"message": {"text": "hi"}, "finish_reason": "x"},
        {"messages": [{"role": "user", "content": "hi"}]},
        {"text": "hi", "finish_reason": "stop"},
        {"type": "message", "event_type": ["stream-end"]},
        {},
    ],
)
def test_ordinary_json_is_neither(body: dict[str, object]) -> None:
    assert not cohere.is_request(body)
    assert not cohere.is_answer(body)
