"""`classify` of one buffer: what is AI, what is not, and what never leaves."""

import zlib

import pytest

from busted.classifier import Classification, Direction, McpInfo, classify
from busted.events import McpRequest, PiiDetected, Prompt, Response, Sdk, ToolCall
from tests import http2_wire
from tests.unit.classifier.wire import (
    CHAT,
    CHUNKS,
    COMPLETION,
    MESSAGES,
    as_json,
    request,
    response,
    sse,
)

WRITE, READ = Direction.WRITE, Direction.READ
A2A_SAID = {"message": {"messageId": "m", "role": "user", "parts": [{"text": "hi"}]}}
ASKED = (
    (":method", "POST"),
    (":path", "/v1/chat/completions"),
    (":authority", "api.openai.com"),
    ("user-agent", "OpenAI/Python 3.54.0"),
)


@pytest.mark.parametrize("direction", [WRITE, READ])
@pytest.mark.parametrize("opening", [b"", http2_wire.PREFACE + http2_wire.settings()])
def test_a_request_in_http2(direction: Direction, opening: bytes) -> None:
    sender = http2_wire.Sender()
    sent = sender.headers(1, ASKED) + http2_wire.data(1, as_json(CHAT), last=True)
    sent += sender.headers(3, ASKED) + http2_wire.data(3, b"another one")

    found = classify(opening + sent, direction)

    assert (found.protocol, found.content_class) == ("http2", "llm_request")
    assert (found.provider, found.endpoint) == ("openai", "/v1/chat/completions")
    assert found.model == "gpt-4o"
    assert found.sdk == Sdk(name="openai-python", version="3.54.0")
    assert [type(action) for action in found.actions] == [Prompt]


def test_an_answer_in_http2() -> None:
    fields = ((":status", "200"), ("content-type", "application/json"))
    sent = http2_wire.Sender().headers(1, fields)
    sent += http2_wire.data(1, as_json(COMPLETION), last=True)

    found = classify(sent, READ, "api.openai.com")

    assert (found.protocol, found.content_class) == ("http2", "llm_response")
    assert found.http is not None
    assert found.http.status == 200
    assert [type(action) for action in found.actions] == [Response]


def test_a_body_in_http2_without_its_head_is_judged_by_itself() -> None:
    found = classify(http2_wire.data(1, as_json(CHAT), last=True), WRITE, "api.openai.com")

    assert (found.protocol, found.content_class) == ("http2", "llm_request")
    assert (found.http, found.endpoint) == (None, None)


def test_frames_of_http2_without_a_message_are_nothing() -> None:
    found = classify(http2_wire.settings((3, 100)), READ)

    assert (found.protocol, found.content_class, found.actions) == ("http2", "none", ())


def test_a_request_to_a_known_host() -> None:
    sent = request(
        {**CHAT, "stream": True, "temperature": 0.5},
        path="/v1/chat/completions?key=secret&x=1",
        headers={"Authorization": "Bearer secret", "User-Agent": "OpenAI/Python 3.54.0"},
    )

    found = classify(sent, WRITE, "api.openai.com")

    assert found.interesting
    assert (found.protocol, found.content_class) == ("http1_request", "llm_request")
    assert (found.provider, found.provider_name) == ("openai", "OpenAI")
    assert (found.api, found.operation) == ("openai.chat", "chat")
    assert found.endpoint == "/v1/chat/completions"
    assert (found.model, found.stream, found.params) == ("gpt-4o", True, {"temperature": 0.5})
    assert found.sdk == Sdk(name="openai-python", version="3.54.0")
    assert found.confidence == 1.0
    assert found.signature is not None
    assert len(found.signature) == 16
    assert found.http is not None
    assert found.http.method == "POST"
    assert found.http.path == "/v1/chat/completions?key=<redacted>&x=1"
    assert found.http.headers["authorization"] == "Bearer <redacted>"
    assert [type(action) for action in found.actions] == [Prompt]
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("payload", "direction", "sni", "content_class", "api", "provider"),
    [
        (request(CHAT, host="gw.example"), WRITE, None, "llm_request", "openai.chat", None),
        (request(CHAT)[:-10], WRITE, None, "llm_request", "openai.chat", "openai"),
        (request(CHAT, host="a.example")[:-70], WRITE, None, "llm_request", "openai.chat", None),
        (
            request(MESSAGES, path="/v1/messages", host="gw.example"),
            WRITE,
            None,
            "llm_request",
            "anthropic.messages",
            None,
        ),
        (
            request(MESSAGES, path="/anthropic/v1/messages", host="api.deepseek.com"),
            WRITE,
            None,
            "llm_request",
            "anthropic.messages",
            "deepseek",
        ),
        (
            request(CHAT, path="/openai/deployments/d/chat/completions?api-version=1", host="h"),
            WRITE,
            "me.openai.azure.com",
            "llm_request",
            "openai.chat",
            "azure.ai.openai",
        ),
        (
            request({"model": "e", "input": "x"}, path="/v1/embeddings"),
            WRITE,
            None,
            "llm_request",
            "openai.embeddings",
            "openai",
        ),
        (as_json(CHAT), WRITE, None, "llm_request", "openai.chat", None),
        (
            as_json({**MESSAGES, "system": "x"}),
            WRITE,
            None,
            "llm_request",
            "anthropic.messages",
            None,
        ),
        (
            as_json(MESSAGES),
            WRITE,
            "api.anthropic.com",
            "llm_request",
            "anthropic.messages",
            "anthropic",
        ),
        (response(COMPLETION), READ, None, "llm_response", "openai.chat", None),
        (response(COMPLETION)[:-5], READ, "api.groq.com", "llm_response", "openai.chat", "groq"),
        (as_json(COMPLETION), READ, None, "llm_response", "openai.chat", None),
        (as_json(COMPLETION), WRITE, None, "llm_response", "openai.chat", None),
        (
            response(sse(CHUNKS), kind="text/event-stream"),
            READ,
            None,
            "llm_stream",
            "openai.chat",
            None,
        ),
        (sse(CHUNKS[1:2], done=False), READ, None, "llm_stream", "openai.chat", None),
        (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":"Hi"}}\n\n',
            READ,
            "api.anthropic.com",
            "llm_stream",
            "anthropic.messages",
            "anthropic",
        ),
        (
            response({"error": {"message": "no", "type": "auth"}}, status=401),
            READ,
            "api.openai.com",
            "llm_response",
            "openai.chat",
            "openai",
        ),
    ],
)
def test_ai_traffic_is_recognised(
    payload: bytes,
    direction: Direction,
    sni: str | None,
    content_class: str,
    api: str,
    provider: str | None,
) -> None:
    found = classify(payload, direction, sni)

    assert (found.content_class, found.api, found.provider) == (content_class, api, provider)
    assert found.interesting
    assert 0.5 <= found.confidence <= 1.0


OTHERS = {
    "json with a model": request({"model": "T-1000", "messages": ["low"]}, path="/cars", host="c"),
    "json with messages": request({"messages": [{"id": 1}]}, path="/inbox", host="mail.example"),
    "a chat of people": request(CHAT, path="/rooms/1/messages", host="chat.example"),
    "slack": request(
        {"channel": "C1", "text": "hi", "messages": []},
        path="/api/chat.postMessage",
        host="slack.com",
    ),
    "graphql": request({"query": "{ model { id } }"}, path="/graphql", host="api.example"),
    "ethereum": request(
        {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": []},
        path="/",
        host="eth.example",
    ),
    "a web page": response(b"<p>call api.openai.com/v1/chat/completions</p>", kind="text/html"),
    "a log": as_json({"model": "x", "messages": [{"level": "info"}]}),
    "a spoofed host": request({"a": 1}, path="/v1/x", host="openai.com.evil.example"),
    "a path alone": request({"foo": 1}, path="/v1/chat/completions", host="example.com"),
    "a query of a dialect's path": request(
        None, path="/v1/chat/completions", host="example.com", method="GET"
    ),
    "language server": as_json(
        {
            "jsonrpc": "2.0",
            "id": 0,
            "method": "initialize",
            "params": {"processId": 1, "capabilities": {}},
        }
    ),
    "completion item": as_json({"jsonrpc": "2.0", "id": 0, "result": {}}),
    "events": b'data: {"price": 3}\n\n',
    "binary": bytes(range(256)) * 4,
    "text": b"POST is a word, and so is HTTP",
    "nothing": b"",
}


@pytest.mark.parametrize("payload", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("direction", Direction)
def test_other_traffic_is_not_called_ai(payload: bytes, direction: Direction) -> None:
    found = classify(payload, direction)

    assert not found.interesting
    assert found.content_class in ("http", "json_rpc", "none")
    assert (found.provider, found.api, found.actions) == (None, None, ())


@pytest.mark.parametrize("path", ["/api/claude_code/metrics", "/v1/models", "/"])
def test_a_known_host_alone_is_no_prompt(path: str) -> None:
    found = classify(request({"a": 1}, path=path), WRITE, "api.anthropic.com")

    assert (found.content_class, found.provider, found.interesting) == ("http", "anthropic", True)
    assert (found.api, found.actions) == (None, ())


def test_anything_to_a_known_host_is_interesting() -> None:
    found = classify(b"\x00\x01\x02", WRITE, "api.openai.com")

    assert found == Classification(
        interesting=True,
        protocol="binary",
        provider="openai",
        provider_name="OpenAI",
    )


def test_a_head_whose_body_comes_later() -> None:
    head = request(CHAT).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    known = classify(head, WRITE, "api.openai.com")
    unknown = classify(head, WRITE, "gateway.example")

    assert known.content_class == unknown.content_class == "llm_request"
    assert [a.truncated for a in known.actions if isinstance(a, Prompt)] == [True]
    assert unknown.actions == ()


def test_mcp_is_described() -> None:
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "sum"}}

    found = classify(as_json(call), WRITE)

    assert found.content_class == "mcp"
    assert found.mcp == McpInfo(
        method="tools/call", category="tools", kind="request", id="7", tool="sum"
    )
    assert [type(action) for action in found.actions] == [McpRequest]


def test_an_mcp_answer_needs_mcps_headers() -> None:
    body = {"jsonrpc": "2.0", "id": 7, "result": {}}

    plain = classify(response(body), READ)
    told = classify(response(body, headers={"Mcp-Session-Id": "s"}), READ)

    assert plain.content_class == "json_rpc"
    assert told.content_class == "mcp"
    assert told.mcp == McpInfo(kind="response", id="7")


@pytest.mark.parametrize(
    "payload",
    [
        request(None, path="/.well-known/agent-card.json", method="GET", host="agent.example"),
        request(
            {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": A2A_SAID}, path="/a"
        ),
        request({"message": {}}, path="/message:send", headers={"A2A-Version": "1.0"}),
        as_json({"jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": A2A_SAID}),
    ],
)
def test_a2a_is_recognised(payload: bytes) -> None:
    assert classify(payload, WRITE).content_class == "a2a"


def test_an_answer_yields_its_actions() -> None:
    calls = [{"id": "c", "function": {"name": "f", "arguments": '{"to":"bob@example.com"}'}}]
    body = {"object": "chat.completion", "choices": [{"message": {"tool_calls": calls}}]}

    found = classify(response(body), READ)

    assert [type(action) for action in found.actions] == [Response, ToolCall, PiiDetected]


def placed(payload: bytes) -> list[tuple[str, bytes]]:
    found = classify(payload, WRITE)
    return [(f.where, payload[f.start : f.end]) for f in found.pii]


def test_findings_count_bytes_of_the_payload() -> None:
    turns = [{"role": "user", "content": "é\nbob@example.com"}]
    body = b'{"model":"m","messages":[{"role":"user","content":"\xc3\xa9\\nbob@example.com"}]}'

    assert placed(body) == [("payload", b"bob@example.com")]
    assert placed(request(body)) == [("payload", b"bob@example.com")]
    assert placed(request({"messages": turns})) == [("payload", b"bob@example.com")]
    assert placed(b"I am bob@example.com") == [("payload", b"bob@example.com")]


def test_findings_in_a_coded_body_count_its_decoded_bytes() -> None:
    body = b'{"a":"bob@example.com"}'
    compressor = zlib.compressobj(wbits=31)
    coded = compressor.compress(body) + compressor.flush()

    found = classify(response(coded, headers={"Content-Encoding": "gzip"}), READ)

    assert [(f.where, body[f.start : f.end]) for f in found.pii] == [("body", b"bob@example.com")]


def test_heads_are_not_searched() -> None:
    sent = request({"a": 1}, headers={"Authorization": "Bearer " + "a1" * 20, "From": "a@b.io"})

    assert placed(sent) == []


def test_the_signature_is_of_the_shape_only() -> None:
    def signature(**changes: object) -> str | None:
        return classify(request({**CHAT, **changes}), WRITE).signature

    assert signature() == signature(model="other", messages=[{"role": "user", "content": "bye"}])
    assert signature() != signature(temperature=1)
    assert signature(tools=[{"function": {"name": "a"}}]) != signature(
        tools=[{"function": {"name": "b"}}]
    )


def test_the_host_of_an_absolute_target_tells_the_provider() -> None:
    target = "http://api.openai.com/v1/chat/completions"
    found = classify(request(CHAT, path=target, host="a.example"), Direction.WRITE)
    assert (found.provider, found.endpoint) == ("openai", "/v1/chat/completions")


def test_lines_of_mcp_over_a_pipe_are_read() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "sum"}}
    listed = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    one = classify(as_json(call) + b"\n", Direction.WRITE)
    two = classify(as_json(call) + b"\n" + as_json(listed) + b"\n", Direction.WRITE)

    assert (one.content_class, one.mcp and one.mcp.tool) == ("mcp", "sum")
    methods = [action.method for action in two.actions if isinstance(action, McpRequest)]
    assert methods == ["tools/call", "tools/list"]
