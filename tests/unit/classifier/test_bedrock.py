import base64
import json

import pytest

from busted.classifier import bedrock
from busted.classifier.assembly import Answer
from busted.classifier.connection import ConnectionReader
from busted.classifier.direction import Direction
from busted.events import Action, ChatMessage, Prompt, Response, ToolCall, ToolResult, Usage
from tests.eventstream_wire import message, text
from tests.unit.classifier.wire import request, response

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
STREAM = "application/vnd.amazon.eventstream"
NOVA = "/model/us.amazon.nova-lite-v1%3A0"
CLAUDE = "/model/us.anthropic.claude-sonnet-4-20250514-v1%3A0"
LLAMA = "/model/meta.llama3-8b-instruct-v1%3A0"
CONVERSE: dict[str, object] = {
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "weather?"},
                {"image": {"format": "png", "source": {"bytes": "A" * 16384}}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                {"text": "I look."},
                {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Bonn"}}},
                {"toolUse": {"toolUseId": "t2", "name": "news", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"json": {"sun": True}}]}},
                {
                    "toolResult": {
                        "toolUseId": "t2",
                        "content": [{"text": "none"}],
                        "status": "error",
                    }
                },
                {"cachePoint": {"type": "default"}},
            ],
        },
    ],
    "system": [{"text": "be brief"}, {"cachePoint": {"type": "default"}}],
    "inferenceConfig": {"maxTokens": 99, "temperature": 0.5, "topP": 0.9},
    "toolConfig": {
        "tools": [
            {"toolSpec": {"name": "weather", "inputSchema": {"json": {}}}},
            {"cachePoint": {"type": "default"}},
        ]
    },
}
CONVERSED = {
    "metrics": {"latencyMs": 800},
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm"}}},
                {"text": "Hello"},
                {"toolUse": {"toolUseId": "t3", "name": "weather", "input": {"city": "Bonn"}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {
        "inputTokens": 7,
        "outputTokens": 5,
        "totalTokens": 16,
        "cacheReadInputTokens": 3,
        "cacheWriteInputTokens": 1,
    },
}
EVENTS: list[tuple[str, dict[str, object]]] = [
    ("messageStart", {"role": "assistant", "p": "abc"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}),
    (
        "contentBlockDelta",
        {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}},
    ),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Hel"}, "p": "abcdefg"}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "lo"}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    (
        "contentBlockStart",
        {
            "contentBlockIndex": 2,
            "start": {"toolUse": {"toolUseId": "t3", "name": "weather"}},
        },
    ),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"city"'}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": ':"Bonn"}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": CONVERSED["usage"], "metrics": {"latencyMs": 800}}),
]


def frame(name: str, payload: object, kind: str = "event") -> bytes:
    headers = text(f":{kind}-type", name) + text(":content-type", "application/json")
    return message(json.dumps(payload).encode(), headers + text(":message-type", kind))


def chunk(said: object) -> bytes:
    encoded = base64.b64encode(json.dumps(said).encode()).decode()
    return frame("chunk", {"bytes": encoded, "p": "abcdefghij"})


def exchange(path: str, body: object, told: bytes) -> list[Action]:
    reader = ConnectionReader(HOST)
    seen = reader.feed(Direction.WRITE, request(body, path=path, host=HOST), 0)
    seen += reader.feed(Direction.READ, told, 1)
    return [observed.action for observed in [*seen, *reader.close(2)]]


def test_a_request_is_read() -> None:
    asked = bedrock.read_request(CONVERSE)

    assert asked.system_prompt == "be brief"
    assert asked.user_message == "weather?\n[image/png, 12 KB]"
    assert asked.tools == ("weather",)
    assert asked.params == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 99}
    assert asked.messages[1:] == (
        ChatMessage(role="assistant", content="I look.\n[tool call: weather]\n[tool call: news]"),
        ChatMessage(role="tool", content='{"sun":true}'),
        ChatMessage(role="tool", content="none"),
    )
    assert asked.results == (
        ToolResult(id="t1", name="weather", content='{"sun":true}', truncated=False),
        ToolResult(id="t2", name="news", content="none", is_error=True, truncated=False),
    )


@pytest.mark.parametrize(
    ("block", "described"),
    [
        (
            {"document": {"format": "pdf", "name": "a", "source": {"bytes": "AAAA"}}},
            "[document/pdf, 3 B]",
        ),
        (
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://a/b"}}}},
            "[video/mp4]",
        ),
        ({"guardContent": {"text": {"text": "judged"}}}, "judged"),
        ({"unheardOf": 1}, None),
        (None, None),
    ],
)
def test_blocks_that_are_not_text_are_described(block: object, described: str | None) -> None:
    asked = bedrock.read_request({"messages": [{"role": "user", "content": [block]}]})

    assert asked.user_message == described


@pytest.mark.parametrize(
    "body",
    [
        {"message": "hello"},
        {"output": {"message": "done"}, "stopReason": "end"},
        {"metadata": {"usage": 1}},
        {"messageStop": 7},
        {"messages": [{"role": "user", "content": "hi"}]},
        {},
    ],
)
def test_ordinary_json_is_neither(body: dict[str, object]) -> None:
    assert not bedrock.is_answer(body)
    assert not bedrock.is_distinct_request(body)


def as_stream() -> bytes:
    return b"".join(frame(*event) for event in EVENTS)


def as_nova_stream() -> bytes:
    return b"".join(chunk({name: payload}) for name, payload in EVENTS)


@pytest.mark.parametrize(
    ("path", "told", "streamed"),
    [
        (f"{NOVA}/converse", response(CONVERSED), False),
        (f"{NOVA}/converse-stream", response(as_stream(), kind=STREAM), True),
        (f"{NOVA}/invoke", response(CONVERSED), False),
        (f"{NOVA}/invoke-with-response-stream", response(as_nova_stream(), kind=STREAM), True),
    ],
)
def test_converse_says_the_same_whole_and_streamed(path: str, told: bytes, streamed: bool) -> None:
    prompt, *_, answer, call = exchange(path, CONVERSE, told)

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.provider) == ("bedrock.converse", "aws.bedrock")
    assert (prompt.model, prompt.stream) == ("us.amazon.nova-lite-v1:0", streamed)
    assert isinstance(answer, Response)
    assert (answer.text, answer.reasoning) == ("Hello", "hm")
    assert (answer.finish_reason, answer.truncated) == ("tool_use", False)
    assert answer.stream == streamed
    assert answer.usage == Usage(input=11, output=5, cached=3, cache_written=1)
    assert call == ToolCall(
        name="weather",
        id="t3",
        arguments='{"city":"Bonn"}',
        provider="aws.bedrock",
        truncated=False,
    )


def test_a_stream_whose_request_was_not_seen_is_read() -> None:
    reader = ConnectionReader(HOST)

    seen = reader.feed(Direction.READ, response(as_stream(), kind=STREAM), 0)

    assert isinstance(answer := seen[0].action, Response)
    assert (answer.api, answer.text) == ("bedrock.converse", "Hello")


def test_a_stream_without_its_end_says_so() -> None:
    told = response(b"".join(frame(*event) for event in EVENTS[:5]), kind=STREAM)

    answer = exchange(f"{NOVA}/converse-stream", CONVERSE, told)[-1]

    assert isinstance(answer, Response)
    assert (answer.text, answer.truncated) == ("Hel", True)


@pytest.mark.parametrize("path", [f"{NOVA}/converse-stream", f"{CLAUDE}/converse-stream"])
def test_an_exception_in_a_stream_is_the_error(path: str) -> None:
    broken = frame("throttlingException", {"message": "Too many tokens"}, "exception")

    answer = exchange(path, CONVERSE, response(frame(*EVENTS[4]) + broken, kind=STREAM))[-1]

    assert isinstance(answer, Response)
    assert (answer.text, answer.error) == ("Hel", "throttlingException: Too many tokens")


@pytest.mark.parametrize(
    ("path", "body"), [(f"{NOVA}/converse", CONVERSE), (f"{LLAMA}/invoke", {"prompt": "hi"})]
)
def test_a_refusal_is_told(path: str, body: dict[str, object]) -> None:
    told = response({"message": "The security token is expired"}, status=403)

    answer = exchange(path, body, told)[-1]

    assert isinstance(answer, Response)
    assert (answer.status, answer.error) == (403, "The security token is expired")


def test_claude_is_asked_and_answers_as_anthropic_defines() -> None:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
    }
    told = [
        {
            "type": "message_start",
            "message": {"model": "claude-sonnet-4", "usage": {"input_tokens": 3}},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Hi"},
        },
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 2},
        },
        {
            "type": "message_stop",
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 2},
        },
    ]

    prompt, answer = exchange(
        f"{CLAUDE}/invoke-with-response-stream",
        body,
        response(b"".join(map(chunk, told)), kind=STREAM),
    )

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.provider) == ("anthropic.messages", "aws.bedrock")
    assert prompt.model == "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert prompt.stream
    assert isinstance(answer, Response)
    assert (answer.text, answer.model) == ("Hi", "claude-sonnet-4")
    assert (answer.finish_reason, answer.stream) == ("end_turn", True)
    assert answer.usage == Usage(input=3, output=2)


TEXTS = [
    (
        "meta.llama3-8b-instruct-v1:0",
        {"prompt": "hi", "max_gen_len": 9, "temperature": 0.5, "top_p": 0.9},
        {
            "generation": "Hello",
            "prompt_token_count": 3,
            "generation_token_count": 2,
            "stop_reason": "stop",
        },
    ),
    (
        "amazon.titan-text-express-v1",
        {
            "inputText": "hi",
            "textGenerationConfig": {"maxTokenCount": 9, "temperature": 0.5, "topP": 0.9},
        },
        {
            "inputTextTokenCount": 3,
            "results": [{"tokenCount": 2, "outputText": "Hello", "completionReason": "stop"}],
        },
    ),
    (
        "mistral.mistral-7b-instruct-v0:2",
        {"prompt": "hi", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9},
        {"outputs": [{"text": "Hello", "stop_reason": "stop"}]},
    ),
    (
        "us.deepseek.r1-v1:0",
        {"prompt": "hi", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9},
        {"choices": [{"text": "Hello", "stop_reason": "stop"}]},
    ),
]


@pytest.mark.parametrize(("model", "asked", "told"), TEXTS)
def test_models_that_give_a_text_for_a_text_are_read(
    model: str, asked: dict[str, object], told: dict[str, object]
) -> None:
    prompt, answer = exchange(f"/model/{model}/invoke", asked, response(told))

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.model, prompt.user_message) == ("bedrock.invoke", model, "hi")
    assert prompt.params == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9}
    assert isinstance(answer, Response)
    assert (answer.text, answer.finish_reason) == ("Hello", "stop")
    if "outputs" not in told and "choices" not in told:
        assert answer.usage == Usage(input=3, output=2)


@pytest.mark.parametrize("key", ["generation", "outputText"])
def test_a_stream_of_text_ends_with_bedrocks_counts(key: str) -> None:
    answer = Answer()
    bedrock.read_text_event(answer, "", {key: "Hel"})
    bedrock.read_text_event(
        answer,
        "",
        {
            key: "lo",
            "stop_reason": "stop",
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 2},
        },
    )

    assert (answer.text, answer.finish_reason, answer.finished) == ("Hello", "stop", True)
    assert answer.usage == Usage(input=3, output=2)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"converse": CONVERSE}, "weather?"),
        ({"invokeModel": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}}, "hi"),
        ({"invokeModel": {"inputText": "count me"}}, "count me"),
        ({"invokeModel": b"\xff"}, None),
    ],
)
def test_a_count_of_tokens_is_told(asked: dict[str, object], text: str | None) -> None:
    body = dict(asked)
    if "invokeModel" in body:
        given = body["invokeModel"]
        raw = given if isinstance(given, bytes) else json.dumps(given).encode()
        body["invokeModel"] = {"body": base64.b64encode(raw).decode()}
    reader = ConnectionReader(HOST)
    wire = request({"input": body}, path=CLAUDE + "/count-tokens", host=HOST)
    seen = reader.feed(Direction.WRITE, wire, 0)
    seen += reader.feed(Direction.READ, response({"inputTokens": 12}), 1)
    prompt, answer = (observed.action for observed in seen)

    assert isinstance(prompt, Prompt)
    assert isinstance(answer, Response)
    assert (prompt.api, prompt.operation) == ("bedrock.count_tokens", "count_tokens")
    assert prompt.model == "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert (prompt.user_message or "").startswith(text or "")
    assert (prompt.user_message is None) == (text is None)
    assert (answer.usage, answer.cost, answer.text) == (Usage(input=12), None, None)
