import pytest

from busted.classifier.connection import IDLE_SECONDS, ConnectionReader, Observed
from busted.classifier.direction import Direction
from busted.classifier.interest import (
    MAX_BINARY_BYTES,
    MAX_OTHER_BYTES,
    MAX_OTHER_EXCHANGES,
)
from busted.events import (
    Action,
    McpRequest,
    McpResponse,
    PiiDetected,
    Prompt,
    Response,
    ToolCall,
    ToolResult,
    Usage,
)
from tests import http2_wire, websocket_wire
from tests.http2_wire import PREFACE, Sender
from tests.unit.classifier.wire import (
    CHAT,
    CHUNKS,
    COMPLETION,
    MESSAGES,
    as_json,
    chunked,
    named_sse,
    request,
    response,
    sse,
)

WRITE, READ = Direction.WRITE, Direction.READ
SECOND = 1_000_000_000
SNI = "api.openai.com"
OTHER = "gateway.example"
EVENTS = sse(CHUNKS)
PATH = "/v1/chat/completions"
OPENING = PREFACE + http2_wire.settings()
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}
SWITCHING = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def run(
    *steps: tuple[Direction, bytes], sni: str | None = SNI, close: bool = True
) -> list[Observed]:
    """Feed each step a second after the one before, then close."""
    reader = ConnectionReader(sni)
    seen: list[Observed] = []
    for second, (direction, data) in enumerate(steps, 1):
        seen += reader.feed(direction, data, second * SECOND)
    return seen + (reader.close(100 * SECOND) if close else [])


def actions(seen: list[Observed]) -> list[Action]:
    return [observed.action for observed in seen]


def only(seen: list[Observed], kind: type[Action]) -> Observed:
    (found,) = (observed for observed in seen if isinstance(observed.action, kind))
    return found


def prompt_of(seen: list[Observed]) -> Prompt:
    action = only(seen, Prompt).action
    assert isinstance(action, Prompt)
    return action


def response_of(seen: list[Observed]) -> Response:
    action = only(seen, Response).action
    assert isinstance(action, Response)
    return action


def test_a_prompt_and_its_answer() -> None:
    seen = run((WRITE, request(CHAT)), (READ, response(COMPLETION)), close=False)

    prompt, answer = prompt_of(seen), response_of(seen)
    assert (prompt.api, prompt.provider, prompt.endpoint) == (
        "openai.chat",
        "openai",
        "/v1/chat/completions",
    )
    assert (prompt.model, prompt.user_message) == ("gpt-4o", "hi")
    assert prompt.bytes == len(as_json(CHAT))
    assert (answer.status, answer.text, answer.finish_reason) == (200, "Hello", "stop")
    assert answer.model == "gpt-4o-2024-08-06"
    assert answer.usage == Usage(input=5, output=2)
    assert answer.latency == 1.0
    assert answer.time_to_first_token is None
    assert not prompt.truncated
    assert not answer.truncated
    assert [(o.exchange, o.time_ns, o.http_version, o.stream_id) for o in seen] == [
        (1, SECOND, "1.1", None),
        (1, 2 * SECOND, "1.1", None),
    ]


def test_a_stream_is_reported_at_its_semantic_end() -> None:
    head, *pieces = chunked(*(EVENTS.splitlines(keepends=True)), last=False).partition(b"\r\n\r\n")
    body = b"".join(pieces)

    seen = run((WRITE, request(CHAT)), (READ, head), (READ, body), close=False)

    answer = response_of(seen)
    assert answer.stream
    assert answer.text == "Hello"
    assert answer.usage == Usage(input=5, output=2)
    assert (answer.latency, answer.time_to_first_token) == (2.0, 2.0)
    assert not answer.truncated


def test_the_first_token_is_timed_and_the_stream_told_once() -> None:
    pieces = [b"data: " + as_json(chunk) + b"\n\n" for chunk in CHUNKS] + [b"data: [DONE]\n\n"]
    steps = [(READ, chunked(piece, last=False)) for piece in pieces[:1]]
    steps += [(READ, b"%x\r\n%s\r\n" % (len(piece), piece)) for piece in pieces[1:]]

    seen = run((WRITE, request(CHAT)), *steps, (READ, b"0\r\n\r\n"))

    answer = response_of(seen)
    assert (answer.time_to_first_token, answer.latency) == (2.0, 6.0)
    assert len(seen) == 2


def test_a_connection_that_dies_mid_answer_reports_what_was_seen() -> None:
    body = sse(CHUNKS[:2], done=False) + b'data: {"choices":[{"index":0,"delta":{"content":"l'

    answer = response_of(run((WRITE, request(CHAT)), (READ, chunked(body, last=False))))

    assert answer.text == "Hell"
    assert answer.truncated


def test_a_stream_that_gave_its_reason_misses_nothing() -> None:
    body = sse(CHUNKS[:4], done=False)

    answer = response_of(run((WRITE, request(CHAT)), (READ, chunked(body, last=False))))

    assert (answer.text, answer.finish_reason, answer.truncated) == ("Hello", "stop", False)


def test_anthropic_streams_end_at_message_stop() -> None:
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": '{"x":1}'},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}},
        {"type": "message_stop"},
    ]
    asked = request(MESSAGES, path="/v1/messages", host="api.anthropic.com")

    seen = run(
        (WRITE, asked),
        (READ, chunked(named_sse(events), last=False)),
        sni="api.anthropic.com",
        close=False,
    )

    assert [type(action) for action in actions(seen)] == [Prompt, Response, ToolCall]
    assert response_of(seen).text == "Hi"
    call = only(seen, ToolCall).action
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments, call.provider) == ("f", '{"x":1}', "anthropic")


def test_tool_results_follow_their_prompt() -> None:
    turns = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "weather"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "sunny"},
    ]

    seen = run((WRITE, request({"model": "m", "messages": turns})))

    assert [type(action) for action in actions(seen)] == [Prompt, ToolResult]
    result = only(seen, ToolResult).action
    assert isinstance(result, ToolResult)
    assert (result.name, result.content, result.provider) == ("weather", "sunny", "openai")


def test_keep_alive_and_pipelining_pair_in_order() -> None:
    def said(text: str) -> dict[str, object]:
        return {"model": text, "messages": [{"role": "user", "content": text}]}

    def answered(text: str) -> dict[str, object]:
        return {"object": "chat.completion", "choices": [{"message": {"content": text}}]}

    seen = run(
        (WRITE, request(said("a")) + request(said("b"))),
        (READ, response(answered("A")) + response(answered("B"))),
        (WRITE, request(said("c"))),
        (READ, response(answered("C"))),
    )

    told = [
        (o.exchange, o.action.model if isinstance(o.action, Prompt) else o.action.text)
        for o in seen
        if isinstance(o.action, Prompt | Response)
    ]
    assert told == [(1, "a"), (2, "b"), (1, "A"), (2, "B"), (3, "c"), (3, "C")]


def test_an_error_is_a_response() -> None:
    error = {"error": {"message": "Incorrect API key", "type": "invalid_request_error"}}

    answer = response_of(run((WRITE, request(CHAT)), (READ, response(error, status=401))))

    assert (answer.status, answer.error) == (401, "invalid_request_error: Incorrect API key")
    assert answer.text is None
    assert not answer.truncated


def test_an_error_page_is_told_by_its_text() -> None:
    page = response(b"<html>Bad Gateway</html>", status=502, kind="text/html")

    answer = response_of(run((WRITE, request(CHAT)), (READ, page)))

    assert (answer.status, answer.error) == (502, "<html>Bad Gateway</html>")


def test_a_refusal_before_the_request_was_all_sent() -> None:
    whole = request({**CHAT, "filler": "x" * 2000})
    seen = run((WRITE, whole[:-1000]), (READ, response({"error": "too long"}, status=413)))

    assert [type(action) for action in actions(seen)] == [Prompt, Response]
    assert prompt_of(seen).truncated
    assert response_of(seen).error == "too long"


def test_a_response_whose_request_was_not_seen() -> None:
    answer = response_of(run((READ, response(COMPLETION)), sni=None))

    assert (answer.api, answer.provider, answer.text) == ("openai.chat", None, "Hello")
    assert answer.latency is None


def test_joined_in_the_middle_of_an_answer() -> None:
    rest = EVENTS[100:] + b"\r\n0\r\n\r\n"
    reader = ConnectionReader()

    assert reader.feed(READ, rest, 0) == []
    seen = reader.feed(WRITE, request(CHAT), SECOND) + reader.feed(
        READ, response(COMPLETION), 2 * SECOND
    )

    assert reader.role == "client"
    assert [type(action) for action in actions(seen)] == [Prompt, Response]


def test_what_an_exchange_reveals_is_told_once_when_it_is_over() -> None:
    turns = [{"role": "user", "content": "I am bob@example.com"}]
    reply = {"object": "chat.completion", "choices": [{"message": {"content": "eve@example.com"}}]}

    seen = run((WRITE, request({"model": "m", "messages": turns})), (READ, response(reply)))

    assert [type(action) for action in actions(seen)] == [
        Prompt,
        Response,
        PiiDetected,
    ]
    assert seen[-1].action == PiiDetected(
        direction="write",
        kinds=("email",),
        categories=("personal",),
        counts={"email": 2},
        written={"email": 1},
        where="Prompt",
        actions=("Prompt", "Response"),
        count=2,
    )
    assert seen[-1].exchange == seen[0].exchange
    (finding,) = prompt_of(seen).pii
    assert (finding.where, finding.start, finding.end) == ("user_message", 5, 20)


ASKS_WITH_ADDRESS = request(
    {"model": "m", "messages": [{"role": "user", "content": "I am bob@example.com"}]}
)


def test_what_an_exchange_without_an_answer_reveals_is_told_when_the_connection_ends() -> None:
    reader = ConnectionReader()
    assert PiiDetected not in map(type, actions(reader.feed(WRITE, ASKS_WITH_ADDRESS, 0)))

    (detected,) = reader.close(SECOND)

    assert isinstance(detected.action, PiiDetected)
    assert (detected.exchange, detected.time_ns) == (1, SECOND)


def test_what_an_exchange_reveals_that_never_ends_is_told_after_a_while() -> None:
    reader = ConnectionReader()
    reader.feed(WRITE, ASKS_WITH_ADDRESS, 0)
    assert reader.is_waiting
    assert reader.expire(IDLE_SECONDS * SECOND) == []

    (detected,) = reader.expire((IDLE_SECONDS + 1) * SECOND)

    assert isinstance(detected.action, PiiDetected)
    assert not reader.is_waiting
    assert reader.close((IDLE_SECONDS + 2) * SECOND) == []


def test_telemetry_to_a_host_of_models_is_no_prompt() -> None:
    reader = ConnectionReader("api.anthropic.com")
    asked = request({"events": []}, path="/api/claude_code/metrics", host="api.anthropic.com")

    for second in range(20):
        assert reader.feed(WRITE, asked, second) == []
        assert reader.feed(READ, response({"accepted": 1}), second) == []

    assert reader.verdict == "ai"
    assert reader.provider == "anthropic"


def test_an_unknown_host_with_a_dialects_path_and_body() -> None:
    reader = ConnectionReader(OTHER)

    seen = reader.feed(WRITE, request(CHAT, host=OTHER), 0)

    assert (prompt_of(seen).api, prompt_of(seen).provider) == ("openai.chat", None)
    assert reader.verdict == "ai"
    assert reader.provider is None


def test_the_host_header_counts_where_there_is_no_server_name() -> None:
    reader = ConnectionReader()
    reader.feed(WRITE, request(CHAT, host="api.groq.com"), 0)

    assert reader.provider == "groq"
    assert ConnectionReader().provider is None


def test_a_host_header_does_not_overrule_the_server_name() -> None:
    reader = ConnectionReader(OTHER)
    reader.feed(WRITE, request(CHAT, host="api.openai.com"), 0)

    assert reader.provider is None


def test_other_traffic_is_given_up_after_some_exchanges() -> None:
    reader = ConnectionReader(OTHER)
    for count in range(MAX_OTHER_EXCHANGES):
        assert reader.verdict == "undecided", count
        assert reader.feed(WRITE, request({"model": "T"}, path="/cars", host=OTHER), 0) == []
        assert reader.feed(READ, response({"messages": ["low battery"]}), 0) == []

    assert reader.verdict == "not_ai"
    assert reader.feed(WRITE, request(CHAT, host=OTHER), 0) == []


def test_an_ai_exchange_keeps_a_connection_of_an_unknown_host() -> None:
    reader = ConnectionReader(OTHER)
    reader.feed(WRITE, request(CHAT, host=OTHER) + request(None, path="/x", method="GET") * 20, 0)
    reader.feed(READ, response(COMPLETION) + response({}) * 20, 0)

    assert reader.verdict == "ai"


def test_a_download_is_given_up() -> None:
    reader = ConnectionReader(OTHER)
    reader.feed(WRITE, request(None, path="/big.iso", method="GET", host=OTHER), 0)
    reader.feed(READ, b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", 0)
    reader.feed(READ, bytes(MAX_OTHER_BYTES + 1), 0)

    assert reader.verdict == "not_ai"


def test_binary_is_given_up_unless_the_host_is_known() -> None:
    unknown, known = ConnectionReader(OTHER), ConnectionReader(SNI)
    for reader in (unknown, known):
        reader.feed(WRITE, bytes(MAX_BINARY_BYTES), 0)
        reader.feed(WRITE, b"\x01", 0)

    assert unknown.verdict == "not_ai"
    assert known.verdict == "ai"


def test_a_late_name_brings_a_connection_back() -> None:
    reader = ConnectionReader()
    reader.feed(READ, b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", 0)
    reader.feed(READ, bytes(MAX_OTHER_BYTES + 1), 0)
    muted = reader.verdict

    reader.name(SNI)

    assert [muted, reader.verdict] == ["not_ai", "ai"]
    seen = reader.feed(WRITE, request(CHAT), 0) + reader.feed(READ, response(COMPLETION), 0)
    assert [type(action) for action in actions(seen)] == [Prompt, Response]


@pytest.mark.parametrize(
    ("direction", "data", "role"),
    [
        (WRITE, request(CHAT), "client"),
        (READ, response(COMPLETION), "client"),
        (READ, request(CHAT), "server"),
        (WRITE, response(COMPLETION), "server"),
        (WRITE, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "client"),
        (READ, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "server"),
        (READ, b"the answer quotes\r\n" + request(CHAT), None),
        (READ, b"\r\n", None),
    ],
)
def test_the_role_shows_by_who_asks(direction: Direction, data: bytes, role: str | None) -> None:
    reader = ConnectionReader()
    seen = reader.feed(direction, data, 0)

    assert reader.role == role
    assert (reader.verdict == "not_ai") == (role == "server")
    assert role != "server" or seen == []


def test_a_server_is_muted_whatever_host_it_is_asked_for() -> None:
    reader = ConnectionReader()
    reader.feed(READ, request(CHAT, host="api.openai.com"), 0)
    reader.name(SNI)

    assert reader.verdict == "not_ai"


def test_a_websocket_is_named_and_a_known_host_stays() -> None:
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, request(None, method="GET", path="/v1/responses"), 0)
    reader.feed(READ, SWITCHING + b"\x81\x02hi", 0)

    assert (reader.protocol, reader.verdict) == ("websocket", "ai")
    assert reader.close(0) == []


def test_messages_of_mcp_over_a_websocket_are_paired() -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "f"}}
    seen = run(
        (WRITE, request(None, method="GET", headers=UPGRADE, path="/v1/responses")),
        (READ, SWITCHING),
        (WRITE, websocket_wire.frame(1, as_json(asked), mask=b"abcd")),
        (READ, websocket_wire.frame(1, as_json({"jsonrpc": "2.0", "id": 1, "result": {}}))),
    )
    assert [type(action) for action in actions(seen)] == [McpRequest, McpResponse]
    assert [observed.time_ns for observed in seen] == [3 * SECOND, 4 * SECOND]


def test_a_response_of_openai_over_a_websocket_is_read() -> None:
    asked = {"type": "response.create", "model": "gpt-5", "input": "hi"}
    answer = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello"}],
    }
    completed = {
        "type": "response.completed",
        "response": {
            "object": "response",
            "model": "gpt-5",
            "status": "completed",
            "output": [answer],
        },
    }
    delta = {"type": "response.output_text.delta", "delta": "Hello"}
    seen = run(
        (WRITE, request(None, method="GET", headers=UPGRADE, path="/v1/responses")),
        (READ, SWITCHING),
        (WRITE, websocket_wire.frame(1, as_json(asked), mask=b"abcd")),
        (READ, websocket_wire.frame(1, as_json(delta))),
        (READ, websocket_wire.frame(1, as_json(completed))),
    )
    prompt, response_ = prompt_of(seen), response_of(seen)
    assert (prompt.api, prompt.user_message) == ("openai.responses", "hi")
    assert (response_.api, response_.text) == ("openai.responses", "Hello")
    assert (response_.latency, response_.time_to_first_token) == (2.0, 1.0)


def test_a_connection_that_dies_truncates_the_answer_over_a_websocket() -> None:
    asked = {"type": "response.create", "model": "gpt-5", "input": "hi"}
    delta = {"type": "response.output_text.delta", "delta": "Hel"}
    reader = ConnectionReader(SNI)
    opening = request(None, method="GET", headers=UPGRADE, path="/v1/responses")
    reader.feed(WRITE, opening + websocket_wire.frame(1, as_json(asked), mask=b"abcd"), 0)
    reader.feed(READ, SWITCHING + websocket_wire.frame(1, as_json(delta)), SECOND)

    assert reader.is_waiting
    assert reader.expire(IDLE_SECONDS * SECOND) == []
    assert response_of(reader.expire((IDLE_SECONDS + 2) * SECOND)).truncated
    assert not reader.is_waiting
    assert reader.close(0) == []


def test_a_websocket_of_an_unknown_host_is_muted_in_the_end() -> None:
    reader = ConnectionReader(OTHER)
    reader.feed(WRITE, request(None, method="GET", headers=UPGRADE, host=OTHER), 0)
    reader.feed(READ, SWITCHING, 0)
    for _ in range(MAX_OTHER_BYTES // 100_000 + 1):
        reader.feed(READ, websocket_wire.frame(2, bytes(100_000)), 0)

    assert reader.verdict == "not_ai"


def h2_head(sender: Sender, stream: int, path: str = PATH) -> bytes:
    fields = (
        (":method", "POST"),
        (":path", path),
        (":authority", SNI),
        ("content-type", "application/json"),
        ("user-agent", "OpenAI/Python 3.54.0"),
    )
    return sender.headers(stream, fields)


def h2_request(sender: Sender, stream: int, body: object, path: str = PATH) -> bytes:
    return h2_head(sender, stream, path) + http2_wire.data(stream, as_json(body), last=True)


def h2_response(sender: Sender, stream: int, body: object, *, last: bool = True) -> bytes:
    is_stream = isinstance(body, bytes)
    kind = "text/event-stream" if is_stream else "application/json"
    content = body if isinstance(body, bytes) else as_json(body)
    head = sender.headers(stream, ((":status", "200"), ("content-type", kind)))
    return head + http2_wire.data(stream, content, last=last)


def test_http2_gives_the_actions_of_http1_with_version_and_stream() -> None:
    seen = run(
        (WRITE, OPENING + h2_request(Sender(), 1, CHAT)),
        (READ, http2_wire.settings() + h2_response(Sender(), 1, EVENTS)),
    )
    headers = {"User-Agent": "OpenAI/Python 3.54.0"}
    expected = run(
        (WRITE, request(CHAT, headers=headers)),
        (READ, response(EVENTS, kind="text/event-stream")),
    )
    assert actions(seen) == actions(expected)
    assert {(o.http_version, o.stream_id, o.exchange) for o in seen} == {("2", 1, 1)}


def test_many_streams_are_paired_by_their_number_however_they_interleave() -> None:
    asking, answering = Sender(), Sender()
    questions = [{**CHAT, "messages": [{"role": "user", "content": str(n)}]} for n in range(40)]
    steps = [(WRITE, OPENING), (READ, http2_wire.settings())]
    steps += [(WRITE, h2_request(asking, 2 * n + 1, body)) for n, body in enumerate(questions)]
    opened = [answering.headers(s, ((":status", "200"),)) for s in range(79, 0, -2)]
    steps += [(READ, head) for head in opened]
    for n in range(40):
        answer = {**COMPLETION, "model": f"m{n}"}
        steps.append((READ, http2_wire.data(2 * n + 1, as_json(answer), last=True)))
    seen = run(*steps)

    asked = {o.exchange: o for o in seen if isinstance(o.action, Prompt)}
    answered = {o.exchange: o for o in seen if isinstance(o.action, Response)}
    assert len(asked) == len(answered) == 40
    for number, observed in answered.items():
        assert isinstance(observed.action, Response)
        question = asked[number].action
        assert isinstance(question, Prompt)
        assert observed.action.model == f"m{question.user_message}"
        assert observed.action.latency is not None
        assert observed.stream_id == asked[number].stream_id


def test_an_answer_that_the_client_resets_is_told_as_truncated() -> None:
    cut = sse(CHUNKS[:2], done=False)
    reset = http2_wire.frame(http2_wire.RST_STREAM, 0, 1, b"\0\0\0\x08")
    seen = run(
        (WRITE, OPENING + h2_request(Sender(), 1, CHAT)),
        (READ, http2_wire.settings() + h2_response(Sender(), 1, cut, last=False)),
        (WRITE, reset),
        close=False,
    )
    answer = only(seen, Response)
    assert answer.time_ns == 3 * SECOND
    assert response_of(seen).truncated


def test_joined_late_http2_is_read_by_what_the_bodies_say() -> None:
    asking, answering = Sender(), Sender()
    h2_request(asking, 1, CHAT)
    h2_response(answering, 1, EVENTS)
    ping = http2_wire.frame(http2_wire.PING, 0, 0, bytes(8))
    seen = run(
        (WRITE, b"rest of a frame" + h2_request(asking, 3, CHAT) + ping),
        (READ, b"rest of a frame" + h2_response(answering, 3, EVENTS) + ping),
    )
    prompt, answer = prompt_of(seen), response_of(seen)
    assert (prompt.api, prompt.user_message, prompt.endpoint) == ("openai.chat", "hi", None)
    assert answer.text == "Hello"
    assert {(o.http_version, o.stream_id, o.exchange) for o in seen} == {("2", 3, 1)}


def test_a_gap_over_frames_truncates_what_is_under_way_and_no_more() -> None:
    asking, answering = Sender(), Sender()
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, OPENING + h2_request(asking, 1, CHAT) + h2_request(asking, 3, CHAT), 0)
    reader.feed(READ, http2_wire.settings() + h2_response(answering, 1, EVENTS[:99], last=False), 0)
    reader.gap(READ, 1000, 0)
    seen = reader.feed(READ, h2_response(Sender(), 3, EVENTS) + http2_wire.settings(), 0)
    assert [(o.stream_id, getattr(o.action, "truncated", None)) for o in seen] == [(3, False)]

    closed = reader.close(0)
    assert [(o.stream_id, getattr(o.action, "truncated", None)) for o in closed] == [(1, True)]


def test_http2_that_is_not_ai_is_muted_and_a_server_at_once() -> None:
    sender = Sender()
    client = ConnectionReader(OTHER)
    client.feed(WRITE, OPENING, 0)
    answering = Sender()
    for n in range(MAX_OTHER_EXCHANGES):
        client.feed(WRITE, h2_request(sender, 2 * n + 1, {"q": 1}, "/graphql"), 0)
        client.feed(READ, h2_response(answering, 2 * n + 1, {"data": 1}), 0)
    server = ConnectionReader(SNI)
    assert server.feed(READ, OPENING + h2_request(Sender(), 1, CHAT), 0) == []

    assert (client.protocol, client.verdict) == ("http2", "not_ai")
    assert (server.protocol, server.role, server.verdict) == ("http2", "server", "not_ai")


def test_a_server_whose_beginning_was_not_seen_shows_by_what_its_heads_say() -> None:
    server = ConnectionReader()
    server.feed(READ, h2_request(Sender(), 1, CHAT), 0)
    assert (server.role, server.verdict) == ("server", "not_ai")


def test_bodies_under_way_are_bounded_together() -> None:
    reader, sender = ConnectionReader(SNI, max_kept_bytes=1000), Sender()
    reader.feed(WRITE, OPENING, 0)
    seen: list[Observed] = []
    for stream in range(1, 41, 2):
        body = as_json({**CHAT, "x": "y" * 200})[:-1]
        wire = h2_head(sender, stream) + http2_wire.data(stream, body)
        seen += reader.feed(WRITE, wire, 0)
        assert sum(e.kept for e in reader._asking.values()) <= 1000
    assert len(seen) == 20 - len(reader._asking)
    assert all(isinstance(o.action, Prompt) and o.action.truncated for o in seen)


def test_what_http2_holds_for_long_is_told_as_truncated() -> None:
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, OPENING + h2_request(Sender(), 1, CHAT), 0)
    cut = sse(CHUNKS[:2], done=False)
    reader.feed(READ, http2_wire.settings() + h2_response(Sender(), 1, cut, last=False), 0)

    assert reader.expire(IDLE_SECONDS * SECOND) == []
    assert response_of(reader.expire(IDLE_SECONDS * SECOND + 1)).truncated


def test_after_it_was_muted_http2_is_joined_late() -> None:
    asking, answering = Sender(), Sender()
    reader = ConnectionReader()
    reader.feed(WRITE, OPENING, 0)
    for n in range(MAX_OTHER_EXCHANGES):
        reader.feed(WRITE, sender_get(asking, 2 * n + 1), 0)
        reader.feed(READ, h2_response(answering, 2 * n + 1, {"data": 1}), 0)
    assert reader.verdict == "not_ai"
    reader.name(SNI)
    seen = reader.feed(WRITE, h2_request(asking, 99, CHAT) + http2_wire.settings(), 0)
    assert prompt_of(seen).provider == "openai"


def sender_get(sender: Sender, stream: int) -> bytes:
    return sender.headers(stream, ((":method", "GET"), (":path", "/")), last=True)


def test_a_gap_in_a_request_is_told() -> None:
    whole = request({"model": "m", "messages": [{"role": "user", "content": "x" * 500}]})
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, whole[:-200], 0)
    reader.gap(WRITE, 100, 0)
    seen = reader.feed(WRITE, whole[-100:], 0)

    prompt = prompt_of(seen)
    assert prompt.truncated
    assert prompt.missing_bytes == 100
    assert prompt.model == "m"


def test_a_gap_in_an_answer_is_told() -> None:
    whole = response(EVENTS, kind="text/event-stream")
    cut = whole.index(b"Hel") - 20
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, request(CHAT), 0)
    reader.feed(READ, whole[:cut], 0)
    reader.gap(READ, 100, 0)
    answer = response_of(reader.feed(READ, whole[cut + 100 :], 0))

    assert answer.truncated
    assert answer.missing_bytes == 100
    assert answer.finish_reason == "stop"


def test_an_answer_lost_in_a_gap_does_not_shift_the_others() -> None:
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, request(CHAT), 0)
    reader.gap(READ, 500, 0)
    reader.feed(WRITE, request({**CHAT, "model": "second"}), 0)
    seen = reader.feed(READ, response(COMPLETION), 0)

    assert only(seen, Response).exchange == 2


def test_an_idle_exchange_is_reported_truncated() -> None:
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, request(CHAT), 0)
    reader.feed(READ, chunked(sse(CHUNKS[:3], done=False), last=False), SECOND)

    assert reader.expire(IDLE_SECONDS * SECOND) == []
    answer = response_of(reader.expire((IDLE_SECONDS + 2) * SECOND))

    assert (answer.text, answer.truncated) == ("Hello", True)
    assert reader.close(999 * SECOND) == []


def test_an_idle_request_is_reported_truncated() -> None:
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, request(CHAT)[:-3], 0)

    assert prompt_of(reader.expire((IDLE_SECONDS + 1) * SECOND)).truncated
    assert reader.feed(WRITE, request(CHAT)[-3:], 999 * SECOND) == []


def test_a_request_waits_for_its_answer_as_long_as_the_model_thinks() -> None:
    reader = ConnectionReader(SNI)
    reader.feed(WRITE, request(CHAT), 0)
    reader.expire(3600 * SECOND)

    answer = response_of(reader.feed(READ, response(COMPLETION), 3601 * SECOND))

    assert answer.latency == 3601.0


def test_an_overlong_request_keeps_its_settings() -> None:
    body = {
        "messages": [{"role": "user", "content": 'x "model":"quoted"' * 300_000}],
        "model": "late",
        "stream": True,
    }
    prompt = prompt_of(run((WRITE, request(body))))

    assert (prompt.model, prompt.stream, prompt.truncated) == ("late", True, True)
    assert prompt.bytes == len(as_json(body))


def test_mcp_answers_are_paired_with_their_requests() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "sum"}}
    back = {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}}
    events = sse([asked, back], done=False)

    seen = run(
        (WRITE, request(call, path="/mcp", host=OTHER)),
        (READ, chunked(events, last=False)),
        (WRITE, request({"jsonrpc": "2.0", "id": 1, "result": {}}, path="/mcp", host=OTHER)),
        sni=OTHER,
        close=False,
    )

    told = [
        (type(a).__name__, a.method, a.id)
        for a in actions(seen)
        if isinstance(a, McpRequest | McpResponse)
    ]
    assert told == [
        ("McpRequest", "tools/call", "1"),
        ("McpRequest", "elicitation/create", "1"),
        ("McpResponse", "tools/call", "1"),
        ("McpResponse", "elicitation/create", "1"),
    ]


def test_json_rpc_of_others_is_not_reported() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
    back = {"jsonrpc": "2.0", "id": 1, "result": "0x1"}

    assert (
        run((WRITE, request(call, path="/", host=OTHER)), (READ, response(back)), sni=OTHER) == []
    )


def test_a_compressed_answer_is_read() -> None:
    import zlib

    compressor = zlib.compressobj(wbits=31)
    data = compressor.compress(EVENTS) + compressor.flush()
    whole = response(data, kind="text/event-stream", headers={"Content-Encoding": "gzip"})

    assert response_of(run((WRITE, request(CHAT)), (READ, whole))).text == "Hello"


def test_an_answer_without_a_type_is_read_by_its_opening() -> None:
    for body in (EVENTS, as_json(COMPLETION)):
        whole = response(body, kind="text/plain")
        assert response_of(run((WRITE, request(CHAT)), (READ, whole))).text == "Hello"


def test_a_host_that_serves_more_is_watched_once_a_path_of_models_is_asked_for() -> None:
    reader = ConnectionReader("acme.snowflakecomputing.com")
    verdicts = [reader.verdict]
    for path in ("/queries/v1/query-request", "/api/v2/cortex/inference:complete"):
        reader.feed(WRITE, request({"x": 1}, path=path), SECOND)
        verdicts.append(reader.verdict)

    assert verdicts == ["undecided", "undecided", "ai"]
    assert reader.provider == "snowflake"


def test_a_warehouse_is_muted_as_any_other_host() -> None:
    reader = ConnectionReader("acme.snowflakecomputing.com")
    for _ in range(MAX_OTHER_EXCHANGES):
        reader.feed(WRITE, request({"sql": 1}, path="/queries/v1/query-request"), SECOND)
        reader.feed(READ, response({"rows": 1}), SECOND)

    assert reader.verdict == "not_ai"


def test_a_local_port_is_no_verdict_until_a_prompt_is_seen() -> None:
    reader = ConnectionReader()
    verdicts = []
    for body in ({"x": 1}, CHAT):
        reader.feed(WRITE, request(body, host="localhost:8000"), SECOND)
        verdicts.append(reader.verdict)

    assert verdicts == ["undecided", "ai"]
    assert reader.provider == "vllm"
