"""Requests and answers of the OpenAI and Anthropic families as they go over the wire.

Bodies have the shapes of each provider's reference; what comes out is what is reported.
"""

import pytest

from busted.classifier import Direction, classify
from busted.classifier.connection import ConnectionReader
from busted.events import Action, Prompt, Response, ToolCall, ToolResult, Usage
from tests.unit.classifier.wire import MESSAGES, as_json, named_sse, request, response, sse

WRITE, READ = Direction.WRITE, Direction.READ
OPENAI, ANTHROPIC = "api.openai.com", "api.anthropic.com"
TURN = {"role": "user", "content": "hi"}
MESSAGE = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [TURN]}
BATCH = {"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h"}


def exchange(sent: bytes, answered: bytes) -> list[Action]:
    reader = ConnectionReader()
    seen = reader.feed(WRITE, sent, 1) + reader.feed(READ, answered, 2) + reader.close(3)
    return [observed.action for observed in seen]


def form(*fields: bytes, path: str, host: str = OPENAI) -> bytes:
    """A form; `fields` are the rest of the head of each, a blank line and its data."""
    parts = (b"--xYz\r\nContent-Disposition: form-data; " + field + b"\r\n" for field in fields)
    kind = {"Content-Type": "multipart/form-data; boundary=xYz"}
    return request(b"".join(parts) + b"--xYz--\r\n", path=path, host=host, headers=kind)


@pytest.mark.parametrize(
    ("host", "path", "body", "api", "operation"),
    [
        (OPENAI, "/v1/responses", {"model": "m", "input": "x"}, "openai.responses", "chat"),
        (
            "chatgpt.com",
            "/backend-api/codex/responses",
            {"model": "m", "input": []},
            "openai.responses",
            "chat",
        ),
        (
            OPENAI,
            "/v1/responses/compact",
            {"model": "m", "input": "x"},
            "openai.responses.compact",
            "compact",
        ),
        (
            OPENAI,
            "/v1/responses/input_tokens",
            {"model": "m", "input": "x"},
            "openai.responses.input_tokens",
            "count_tokens",
        ),
        (OPENAI, "/v1/completions", {"model": "m"}, "openai.completions", "text_completion"),
        (OPENAI, "/v1/embeddings", {"model": "m"}, "openai.embeddings", "embeddings"),
        (OPENAI, "/v1/moderations", {"input": "x"}, "openai.moderations", "moderation"),
        (OPENAI, "/v1/images/generations", {}, "openai.images", "image_generation"),
        (OPENAI, "/v1/audio/speech", {"model": "m"}, "openai.audio.speech", "speech"),
        (OPENAI, "/v1/batches", BATCH, "openai.batches", "batch"),
        ("a.openai.azure.com", "/openai/v1/responses", {}, "openai.responses", "chat"),
        ("a.openai.azure.com", "/openai/batches?api-version=1", BATCH, "openai.batches", "batch"),
        (
            "api.mistral.ai",
            "/v1/fim/completions",
            {"model": "m", "prompt": "x"},
            "mistral.fim",
            "text_completion",
        ),
        (
            "api.mistral.ai",
            "/v1/agents/completions",
            {"agent_id": "a", "messages": [TURN]},
            "openai.chat",
            "chat",
        ),
        ("api.groq.com", "/openai/v1/chat/completions", {}, "openai.chat", "chat"),
        ("openrouter.ai", "/api/v1/chat/completions", {}, "openai.chat", "chat"),
        ("openrouter.ai", "/api/v1/messages", MESSAGE, "anthropic.messages", "chat"),
        ("api.deepseek.com", "/anthropic/v1/messages", MESSAGE, "anthropic.messages", "chat"),
        ("api.deepseek.com", "/beta/completions", {}, "openai.completions", "text_completion"),
        (
            "models.services.ai.azure.com",
            "/anthropic/v1/messages",
            MESSAGE,
            "anthropic.messages",
            "chat",
        ),
        (
            ANTHROPIC,
            "/v1/messages/count_tokens?beta=true",
            MESSAGE,
            "anthropic.messages.count_tokens",
            "count_tokens",
        ),
        (ANTHROPIC, "/v1/messages/batches", {"requests": []}, "anthropic.batches", "batch"),
        (ANTHROPIC, "/v1/complete", {"prompt": "x"}, "anthropic.complete", "text_completion"),
        (ANTHROPIC, "/v1/files", {}, "anthropic.files", "file_upload"),
    ],
)
def test_each_path_names_its_dialect_and_operation(
    host: str, path: str, body: object, api: str, operation: str
) -> None:
    found = classify(request(body, path=path, host=host), WRITE, host)

    assert (found.content_class, found.api, found.operation) == ("llm_request", api, operation)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "m", "input": ["x"]}),
        ("/v1/moderations", {"model": "m", "input": "x"}),
        ("/v1/responses", {"model": "m", "input": [TURN]}),
        ("/v1/completions", {"model": "m", "prompt": "x"}),
        ("/v1/images/generations", {"model": "m", "prompt": "x"}),
        ("/v1/audio/speech", {"model": "m", "input": "x", "voice": "alloy"}),
        ("/v1/batches", BATCH),
        ("/v1/messages/count_tokens", {"model": "m", "messages": [TURN]}),
        ("/v1/messages/batches", {"requests": [{"custom_id": "a", "params": MESSAGE}]}),
        ("/v1/complete", {"model": "m", "prompt": "x", "max_tokens_to_sample": 1}),
    ],
)
def test_at_an_unknown_host_path_and_body_are_enough(path: str, body: object) -> None:
    assert classify(request(body, path=path, host="gw.example"), WRITE).confidence == 0.8


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"survey": 7, "input": "good"}),
        ("/v1/responses", {"model": "T-1000", "input": [{"question": 1}]}),
        ("/api/completions", {"text": "Par"}),
        ("/v1/embeddings", {"input": "x"}),
        ("/v1/files", {"model": "m", "file": "x"}),
        ("/v1/batches", {"model": "m"}),
        ("/shop/images/edits", {"prompt": 7}),
        ("/v1/complete", {"order": 7}),
        ("/v1/messages/batches", {"requests": [{"id": 1}]}),
        ("/v1/messages/count_tokens", {"messages": []}),
    ],
)
def test_at_an_unknown_host_a_path_alone_is_nothing(path: str, body: object) -> None:
    found = classify(request(body, path=path, host="shop.example"), WRITE)

    assert (found.content_class, found.actions) == ("http", ())


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/embeddings", "/moderations"])
def test_common_paths_whose_body_was_not_seen_are_nothing(path: str) -> None:
    head, _, _ = request({"model": "m"}, path=path, host="shop.example").partition(b"\r\n\r\n")

    assert classify(head + b"\r\n\r\n", WRITE).content_class == "http"


def test_asking_for_the_list_of_models_is_no_prompt() -> None:
    sent = request(None, path="/v1/models", method="GET")
    listed = {"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]}

    assert exchange(sent, response(listed)) == []


@pytest.mark.parametrize(
    ("host", "path", "model"),
    [
        (
            "a.openai.azure.com",
            "/openai/deployments/my-gpt-4o/chat/completions?api-version=2024-10-21",
            "my-gpt-4o",
        ),
        ("gateway.example", "/openai/deployments/gpt-4.1/chat/completions", "gpt-4.1"),
        ("copilot-proxy.githubusercontent.com", "/v1/engines/gpt-41/completions", "gpt-41"),
        ("gateway.example", "/engines/llama.cpp/v1/chat/completions", None),
    ],
)
def test_the_path_tells_the_model_when_the_body_does_not(
    host: str, path: str, model: str | None
) -> None:
    body = {"messages": [TURN], "prompt": "def f("}

    found = classify(request(body, path=path, host=host), WRITE)

    assert (found.content_class, found.model) == ("llm_request", model)


def test_the_body_goes_before_the_path() -> None:
    path = "/openai/deployments/d/chat/completions"
    body = {"model": "m", "messages": [TURN]}

    assert classify(request(body, path=path, host="a.openai.azure.com"), WRITE).model == "m"


def test_a_response_with_a_tool_call_and_its_result() -> None:
    called = {
        "type": "function_call",
        "call_id": "call_1",
        "name": "weather",
        "arguments": '{"city":"Paris"}',
    }
    asked = {
        "model": "gpt-5",
        "input": [
            TURN,
            called,
            {"type": "function_call_output", "call_id": "call_1", "output": "5"},
        ],
        "stream": True,
    }
    told = {"object": "response", "status": "completed", "model": "gpt-5-2025", "output": [called]}
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": {"status": "in_progress", "model": "gpt-5-2025"}},
        {"type": "response.output_item.added", "output_index": 0, "item": called},
        {"type": "response.completed", "response": {**told, "usage": {"input_tokens": 7}}},
    ]

    seen = exchange(
        request(asked, path="/v1/responses"),
        response(named_sse(events), kind="text/event-stream"),
    )

    prompt, result, answer, call = seen
    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.model, prompt.user_message) == ("openai.responses", "gpt-5", "hi")
    assert result == ToolResult(
        id="call_1", name="weather", content="5", provider="openai", truncated=False
    )
    assert isinstance(answer, Response)
    assert (answer.model, answer.finish_reason, answer.stream) == ("gpt-5-2025", "completed", True)
    assert (answer.usage, answer.truncated) == (Usage(input=7), False)
    assert call == ToolCall(
        id="call_1",
        name="weather",
        arguments='{"city":"Paris"}',
        provider="openai",
        truncated=False,
    )


def test_a_stream_of_fill_in_the_middle_is_shaped_as_a_chat() -> None:
    pieces = [
        {"model": "codestral", "choices": [{"index": 0, "delta": {"content": "a + "}}]},
        {
            "choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 8, "completion_tokens": 3},
        },
    ]

    _, answer = exchange(
        request(
            {"model": "codestral", "prompt": "x = ", "stream": True},
            path="/v1/fim/completions",
            host="codestral.mistral.ai",
        ),
        response(sse(pieces), kind="text/event-stream"),
    )

    assert isinstance(answer, Response)
    assert (answer.api, answer.text, answer.finish_reason) == ("mistral.fim", "a + b", "stop")


FILE = b'name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
FIELDS = (b'name="model"\r\n\r\nwhisper-1', b'name="prompt"\r\n\r\nnames: Ann')


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ((*FIELDS, FILE + b"RIFF" * 512), "[a.wav, 2 KB]"),
        ((FILE + b"RIFF" * 512, *FIELDS), "[a.wav, 2 KB]"),
        # Beyond what is kept of a body: its settings are in the end that is.
        ((FILE + b'{"model":"no"}' * 400_000, *FIELDS), "[a.wav]"),
    ],
)
def test_a_form_tells_its_settings_and_describes_its_file(
    fields: tuple[bytes, ...], shown: str
) -> None:
    prompt, answer = exchange(
        form(*fields, path="/v1/audio/transcriptions"),
        response(b"Hello Ann\n", kind="text/plain; charset=utf-8"),
    )

    assert isinstance(prompt, Prompt)
    assert (prompt.operation, prompt.model) == ("transcription", "whisper-1")
    assert prompt.user_message == f"names: Ann\n{shown}"
    assert isinstance(answer, Response)
    assert (answer.text, answer.truncated) == ("Hello Ann\n", False)


def test_several_files_of_one_name_are_each_described() -> None:
    image = b'name="image[]"; filename="%s.png"\r\n\r\nPNG'
    sent = form(b'name="prompt"\r\n\r\nmerge', image % b"a", image % b"b", path="/v1/images/edits")

    (prompt, _) = exchange(sent, response({"data": [{"b64_json": "AAAA"}]}))

    assert isinstance(prompt, Prompt)
    assert prompt.user_message == "merge\n[a.png, 3 B]\n[b.png, 3 B]"


def test_speech_is_described() -> None:
    _, answer = exchange(
        request({"model": "tts-1", "input": "Hi", "voice": "alloy"}, path="/v1/audio/speech"),
        response(b"ID3\xff\xfb" * 1000, kind="audio/mpeg"),
    )

    assert isinstance(answer, Response)
    assert (answer.text, answer.bytes, answer.truncated) == ("[audio/mpeg, 4 KB]", 5000, False)


def test_an_upload_of_a_batch_is_named_and_not_read() -> None:
    line = as_json({"custom_id": "1", "body": {"model": "m", "messages": [TURN]}})
    sent = form(
        b'name="purpose"\r\n\r\nbatch',
        b'name="file"; filename="in.jsonl"\r\n\r\n' + line,
        path="/v1/files",
    )

    prompt, answer = exchange(sent, response({"id": "file-1", "object": "file"}))

    assert isinstance(prompt, Prompt)
    assert (prompt.api, prompt.operation, prompt.model) == ("openai.files", "file_upload", None)
    assert prompt.user_message == f"[in.jsonl, {len(line)} B]"
    assert isinstance(answer, Response)
    assert answer.text == "[file file-1]"


def test_counting_tells_the_tokens_and_costs_nothing() -> None:
    prompt, answer = exchange(
        request(MESSAGE, path="/v1/messages/count_tokens", host=ANTHROPIC),
        response({"input_tokens": 2095}),
    )

    assert isinstance(prompt, Prompt)
    assert (prompt.operation, prompt.user_message) == ("count_tokens", "hi")
    assert isinstance(answer, Response)
    assert (answer.usage, answer.cost, answer.text) == (Usage(input=2095), None, None)


def test_anthropics_own_tools_are_told_after_the_answer() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_result", "title": "T", "url": "https://a.example"}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [found]}
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": use},
        {"type": "content_block_start", "index": 1, "content_block": result},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]

    seen = exchange(
        request(MESSAGES, path="/v1/messages", host=ANTHROPIC),
        response(named_sse(events), kind="text/event-stream"),
    )

    assert [type(action) for action in seen] == [Prompt, Response, ToolCall, ToolResult]
    assert seen[3] == ToolResult(
        id="s",
        name="web_search",
        content="T\nhttps://a.example",
        provider="anthropic",
        server_side=True,
        truncated=False,
    )


@pytest.mark.parametrize(
    ("body", "api"),
    [
        ({"object": "response", "status": "completed", "output": []}, "openai.responses"),
        ({"object": "text_completion", "choices": [{"text": "x"}]}, "openai.completions"),
        (
            {"object": "list", "data": [{"object": "embedding", "embedding": [1.0]}]},
            "openai.embeddings",
        ),
        ({"type": "completion", "completion": "x", "stop_reason": None}, "anthropic.complete"),
    ],
)
def test_an_answer_whose_request_was_not_seen_names_its_dialect(body: object, api: str) -> None:
    assert classify(response(body), READ).api == api
