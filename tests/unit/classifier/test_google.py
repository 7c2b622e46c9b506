import json

import pytest

from busted.classifier import google
from busted.classifier.assembly import Answer
from busted.classifier.connection import ConnectionReader
from busted.classifier.direction import Direction
from busted.events import Action, ChatMessage, Prompt, Response, ToolCall, ToolResult, Usage
from tests.unit.classifier.wire import chunked, request, response, sse

HOST = "generativelanguage.googleapis.com"
MODEL = "/v1beta/models/gemini-2.5-flash"
TOOL_TURNS: list[object] = [
    {"role": "user", "parts": [{"text": "weather?"}]},
    {"role": "model", "parts": [{"functionCall": {"name": "old", "args": {}}}]},
    {"role": "user", "parts": [{"functionResponse": {"name": "old", "response": {"a": 1}}}]},
    {
        "role": "model",
        "parts": [
            {"text": "I think", "thought": True},
            {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Bonn"}}},
            {"functionCall": {"name": "news", "args": {}}},
        ],
    },
    {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "c1", "name": "weather", "response": {"output": "sun"}}},
            {"functionResponse": {"name": "news", "response": {"error": "none"}}},
        ],
    },
]
REQUEST = {
    "contents": TOOL_TURNS,
    "systemInstruction": {"role": "user", "parts": [{"text": "be brief"}]},
    "tools": [
        {"functionDeclarations": [{"name": "weather"}, {"name": "news"}]},
        {"googleSearch": {}},
    ],
    "generationConfig": {"temperature": 0.5, "maxOutputTokens": 99, "topK": 3},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
}


def piece(*parts: object, **more: object) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if "finishReason" in more:
        candidate["finishReason"] = more.pop("finishReason")
    return {"candidates": [candidate], "modelVersion": "gemini-2.5-flash-001", **more}


PIECES: list[dict[str, object]] = [
    piece({"text": "I must look", "thought": True}),
    piece({"text": "Hel"}, usageMetadata={"promptTokenCount": 7, "totalTokenCount": 7}),
    piece({"text": "lo"}, {"functionCall": {"name": "weather", "args": {"city": "Bonn"}}}),
    piece(
        {"text": ""},
        finishReason="STOP",
        usageMetadata={
            "promptTokenCount": 7,
            "candidatesTokenCount": 5,
            "totalTokenCount": 32,
            "cachedContentTokenCount": 4,
            "thoughtsTokenCount": 20,
        },
    ),
]


def growing(pieces: list[dict[str, object]]) -> bytes:
    """A JSON array as Google sends it."""
    return b"[" + b"\n,\r\n".join(json.dumps(p, indent=2).encode() for p in pieces) + b"\n]\n"


def exchange(asked: bytes, told: bytes, host: str = HOST) -> list[Action]:
    reader = ConnectionReader(host)
    seen = reader.feed(Direction.WRITE, asked, 0) + reader.feed(Direction.READ, told, 1)
    return [observed.action for observed in [*seen, *reader.close(2)]]


def whole(body: dict[str, object]) -> Answer:
    answer = Answer()
    google.read_answer(answer, body)
    return answer


def test_a_request_is_read() -> None:
    asked = google.read_request(REQUEST)

    assert asked.model is None
    assert asked.system_prompt == "be brief"
    assert asked.user_message == "weather?"
    assert asked.tools == ("weather", "news", "googleSearch")
    assert asked.params == {"temperature": 0.5, "max_output_tokens": 99, "top_k": 3}
    assert asked.messages == (
        ChatMessage(role="user", content="weather?"),
        ChatMessage(role="model", content="[tool call: old]"),
        ChatMessage(role="tool", content='{"a":1}'),
        ChatMessage(role="model", content="[tool call: weather]\n[tool call: news]"),
        ChatMessage(role="tool", content='{"output":"sun"}'),
        ChatMessage(role="tool", content='{"error":"none"}'),
    )


def test_only_results_after_the_last_turn_of_the_model_are_new() -> None:
    assert google.read_request(REQUEST).results == (
        ToolResult(id="c1", name="weather", content='{"output":"sun"}', truncated=False),
        ToolResult(name="news", content='{"error":"none"}', is_error=True, truncated=False),
    )


def test_names_may_be_spelled_with_underscores() -> None:
    """As protobuf's JSON allows and REST examples do."""
    asked = google.read_request(
        {
            "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "A" * 8}}]}],
            "system_instruction": {"parts": [{"text": "be brief"}]},
            "tools": [{"function_declarations": [{"name": "weather"}]}],
            "generation_config": {"temperature": 1},
        }
    )

    assert asked.messages == (ChatMessage(role="user", content="[image/png, 6 B]"),)
    assert asked.system_prompt == "be brief"
    assert asked.tools == ("weather",)
    assert asked.params == {"temperature": 1}


@pytest.mark.parametrize(
    ("part", "described"),
    [
        ({"inlineData": {"mimeType": "audio/wav", "data": "A" * 16384}}, "[audio/wav, 12 KB]"),
        ({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://a/b"}}, "[video/mp4]"),
        ({"executableCode": {"language": "PYTHON", "code": "print(1)"}}, "print(1)"),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, "1"),
        ({"text": "thinking", "thought": True}, None),
        ({"videoMetadata": {}}, None),
        (7, None),
    ],
)
def test_parts_that_are_not_text_are_described(part: object, described: str | None) -> None:
    assert google.read_request({"contents": [{"parts": [part]}]}).user_message == described


@pytest.mark.parametrize(
    "body",
    [
        {"contents": []},
        {"contents": "text"},
        {"contents": [{"role": "user"}]},
        {"contents": [{"parts": []}]},
        {"contents": [{"parts": ["wheel", "door"]}]},
        {"contents": [{"parts": [{"sku": 1}]}]},
        {"candidates": [{"name": "someone", "party": "x"}]},
        {"candidates": ["a"]},
        {"request": {"id": 1}, "response": {"candidates": 3}},
    ],
)
def test_ordinary_json_is_no_request_and_no_answer(body: dict[str, object]) -> None:
    assert not google.is_request(body)
    assert not google.is_answer(body)


def test_a_whole_answer_is_read() -> None:
    answer = whole(
        piece({"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}})
        | {"usageMetadata": {"promptTokenCount": 3, "toolUsePromptTokenCount": 2}}
    )

    assert answer.model == "gemini-2.5-flash-001"
    assert answer.text == "Hi[image/png, 3 B]"
    assert answer.usage == Usage(input=5)


def test_a_blocked_prompt_says_why() -> None:
    answer = whole({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"}})

    assert (answer.finish_reason, answer.error, answer.text) == ("SAFETY", "no", None)


def test_an_error_is_told_with_its_status() -> None:
    error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}

    assert whole({"error": error}).error == "INVALID_ARGUMENT: API key not valid."


def test_candidates_after_the_first_are_left_out() -> None:
    second = {"index": 1, "content": {"parts": [{"text": "other"}]}, "finishReason": "MAX_TOKENS"}

    assert whole({"candidates": [second]}).text is None


ANSWERS = [
    response(sse(PIECES, done=False), kind="text/event-stream"),
    chunked(*sse(PIECES, done=False).splitlines(keepends=True), kind="text/event-stream"),
    response(growing(PIECES), kind="application/json; charset=UTF-8"),
    chunked(growing(PIECES)[:40], growing(PIECES)[40:], kind="application/json; charset=UTF-8"),
    response(growing(PIECES), kind=""),
]


@pytest.mark.parametrize("told", ANSWERS)
def test_a_stream_says_the_same_as_events_and_as_an_array(told: bytes) -> None:
    asked = request(REQUEST, path=f"{MODEL}:streamGenerateContent?alt=sse", host=HOST)

    prompt, *_, answer, call = exchange(asked, told)

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.provider) == ("google.generate_content", "gcp.gemini")
    assert (prompt.model, prompt.stream) == ("gemini-2.5-flash", True)
    assert prompt.operation == "generate_content"
    assert isinstance(answer, Response)
    assert (answer.text, answer.reasoning) == ("Hello", "I must look")
    assert (answer.finish_reason, answer.stream, answer.truncated) == ("STOP", True, False)
    assert answer.model == "gemini-2.5-flash-001"
    assert answer.usage == Usage(input=7, output=25, cached=4, reasoning=20)
    assert call == ToolCall(
        name="weather", arguments='{"city":"Bonn"}', provider="gcp.gemini", truncated=False
    )


def test_an_array_that_ends_early_is_told_as_far_as_it_came() -> None:
    asked = request(REQUEST, path=f"{MODEL}:streamGenerateContent", host=HOST)
    told = chunked(growing(PIECES[:2])[:-40], kind="application/json", last=False)

    answer = exchange(asked, told)[-1]

    assert isinstance(answer, Response)
    assert (answer.text, answer.truncated) == ("Hel", True)


def test_an_array_is_told_as_it_comes() -> None:
    reader = ConnectionReader(HOST)
    reader.feed(
        Direction.WRITE, request(REQUEST, path=f"{MODEL}:streamGenerateContent", host=HOST), 0
    )
    told = chunked(growing(PIECES), kind="application/json")
    reader.feed(Direction.READ, told[:700], 1_000_000_000)
    seen = reader.feed(Direction.READ, told[700:], 5_000_000_000)

    (answer,) = [o.action for o in seen if isinstance(o.action, Response)]
    assert (answer.time_to_first_token, answer.latency) == (1.0, 5.0)


def test_a_refused_stream_is_an_array_with_an_error() -> None:
    asked = request(REQUEST, path=f"{MODEL}:streamGenerateContent", host=HOST)
    error = {"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}}

    answer = exchange(asked, response([error], status=429))[-1]

    assert isinstance(answer, Response)
    assert (answer.status, answer.error) == (429, "RESOURCE_EXHAUSTED: Quota")


def test_an_array_whose_request_was_not_seen_is_a_stream() -> None:
    answer = exchange(b"", response(growing(PIECES)))[0]

    assert isinstance(answer, Response)
    assert (answer.api, answer.text, answer.stream) == ("google.generate_content", "Hello", True)


def test_code_assist_wraps_request_and_answer() -> None:
    wrapped = {
        "model": "gemini-2.5-pro",
        "project": "p",
        "user_prompt_id": "u",
        "request": {**REQUEST, "session_id": "s"},
    }
    asked = request(
        wrapped,
        path="/v1internal:streamGenerateContent?alt=sse",
        host="cloudcode-pa.googleapis.com",
    )
    told = response(
        sse([{"response": p, "traceId": "t"} for p in PIECES], done=False),
        kind="text/event-stream",
    )

    prompt, *_, answer, _ = exchange(asked, told, "cloudcode-pa.googleapis.com")

    assert isinstance(prompt, Prompt)
    assert (prompt.model, prompt.user_message) == ("gemini-2.5-pro", "weather?")
    assert isinstance(answer, Response)
    assert (answer.text, answer.finish_reason) == ("Hello", "STOP")


def test_tokens_are_counted() -> None:
    body = {"generateContentRequest": {"model": "models/gemini-2.5-flash", **REQUEST}}

    prompt, *_, answer = exchange(
        request(body, path=f"{MODEL}:countTokens", host=HOST), response({"totalTokens": 31})
    )

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.operation) == ("google.count_tokens", "count_tokens")
    assert prompt.user_message == "weather?"
    assert isinstance(answer, Response)
    assert answer.usage == Usage(input=31)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        (
            "embedContent",
            {"content": {"parts": [{"text": "one"}, {"text": "two"}]}, "outputDimensionality": 8},
        ),
        (
            "batchEmbedContents",
            {
                "requests": [
                    {"model": "models/e", "content": {"parts": [{"text": "one"}]}},
                    {"model": "models/e", "content": {"parts": [{"text": "two"}]}},
                ]
            },
        ),
    ],
)
def test_embedded_texts_are_the_prompt(verb: str, body: dict[str, object]) -> None:
    asked = request(body, path=f"/v1beta/models/e:{verb}", host=HOST)

    prompt, answer = exchange(asked, response({"embedding": {"values": [0.1]}}))

    assert google.is_embedding_request(body)
    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.model) == ("google.embed_content", "e")
    assert prompt.user_message == "one\ntwo"
    assert isinstance(answer, Response)
    assert not answer.truncated


def test_claude_on_vertex_is_asked_as_anthropic_defines() -> None:
    path = "/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:rawPredict"
    body = {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
    }
    told = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
    host = "us-east5-aiplatform.googleapis.com"

    prompt, answer = exchange(request(body, path=path, host=host), response(told), host)

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.provider) == ("anthropic.messages", "gcp.vertex_ai")
    assert prompt.model == "claude-x"
    assert isinstance(answer, Response)
    assert answer.text == "Hi"


def test_an_unknown_host_is_believed_if_the_body_agrees() -> None:
    path = f"{MODEL}:generateContent"

    (prompt,) = exchange(request(REQUEST, path=path, host="a.example"), b"", "a.example")[:1]
    nothing = exchange(request({"contents": 1}, path=path, host="a.example"), b"", "a.example")

    assert isinstance(prompt, Prompt)
    assert nothing == []
