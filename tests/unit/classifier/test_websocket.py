from itertools import count
from typing import TypeVar

import pytest
from msgspec.structs import replace

from busted.classifier.direction import Direction
from busted.classifier.exchange import Observed
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import DEFAULT_OPTIONS, Options
from busted.classifier.websocket import MAX_TURNS, WebSocketReader
from busted.events import (
    Action,
    ChatMessage,
    McpRequest,
    McpResponse,
    PiiDetected,
    Prompt,
    Response,
    ToolCall,
    ToolResult,
    Usage,
)
from busted.protocols.http import HttpRequest
from busted.protocols.websocket import WebSocketMessage
from tests.unit.classifier.wire import CHAT, COMPLETION, as_json

WRITE, READ = Direction.WRITE, Direction.READ
SECOND = 1_000_000_000
T = TypeVar("T", bound=Action)
HOST = "api.openai.com"
HEADERS = (("user-agent", "codex_cli_rs/0.169.0 (Debian 12; x86_64) xterm"),)


def reader(
    path: str | None = None, sni: str | None = HOST, options: Options = DEFAULT_OPTIONS
) -> WebSocketReader:
    numbers = count(3)
    return WebSocketReader(
        HttpRequest("GET", path, HEADERS) if path else None,
        sni=sni,
        pending=Pending(),
        options=options,
        number=lambda: next(numbers),
    )


def told(
    socket: WebSocketReader, direction: Direction, *values: object, time_ns: int = 0
) -> list[Observed]:
    seen: list[Observed] = []
    for value in values:
        seen += socket.read(direction, WebSocketMessage("text", as_json(value)), time_ns)
    return seen


def only(seen: list[Observed], kind: type[T]) -> T:
    (found,) = (o.action for o in seen if isinstance(o.action, kind))
    return found


def event(kind: str, response: str = "r1", **fields: object) -> dict[str, object]:
    """An event as realtime writes them, with the identifier of its response."""
    return {"type": kind, "event_id": "e", "response_id": response, **fields}


def created(response: str = "r1", **fields: object) -> dict[str, object]:
    return {"type": "response.created", "response": {"id": response, **fields}}


def done(response: str = "r1", **fields: object) -> dict[str, object]:
    value = {"object": "realtime.response", "id": response, "status": "completed", **fields}
    return {"type": "response.done", "event_id": "e", "response": value}


def message(text: str, role: str = "user") -> dict[str, object]:
    part = {"type": "input_text", "text": text}
    return {"type": "message", "role": role, "content": [part]}


CREATE: dict[str, object] = {"type": "response.create", "model": "gpt-5", "input": "hi"}
END: dict[str, object] = {
    "type": "response.completed",
    "response": {
        "id": "r1",
        "model": "gpt-5-2025-08-07",
        "status": "completed",
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
            {"type": "function_call", "call_id": "c", "name": "ls", "arguments": '{"a":1}'},
        ],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    },
}
EVENTS = (
    created(status="in_progress"),
    {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "lo"},
    {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {"type": "function_call", "call_id": "c", "name": "ls"},
    },
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a":'},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "1}"},
)


# Responses


def test_a_response_over_a_websocket_is_one_exchange_assembled_and_timed() -> None:
    socket = reader("/v1/responses")
    asked = told(socket, WRITE, CREATE, time_ns=SECOND)
    assert told(socket, READ, EVENTS[0], time_ns=2 * SECOND) == []
    assert told(socket, READ, *EVENTS[1:], time_ns=3 * SECOND) == []
    answered = told(socket, READ, END, time_ns=5 * SECOND)

    prompt, response = only(asked, Prompt), only(answered, Response)
    assert (prompt.api, prompt.endpoint, prompt.model) == (
        "openai.responses",
        "/v1/responses",
        "gpt-5",
    )
    assert (prompt.user_message, prompt.stream, prompt.bytes) == ("hi", True, len(as_json(CREATE)))
    assert prompt.agent is not None
    assert prompt.agent.name == "codex"
    assert (response.text, response.finish_reason, response.truncated) == (
        "Hello",
        "completed",
        False,
    )
    assert (response.latency, response.time_to_first_token) == (4.0, 2.0)
    assert (response.usage, response.model) == (Usage(input=5, output=2), "gpt-5-2025-08-07")
    assert (response.provider, response.status, response.stream) == ("openai", 101, True)
    assert response.bytes == sum(len(as_json(value)) for value in (*EVENTS, END))
    assert response.cost is not None
    call = only(answered, ToolCall)
    assert (call.name, call.arguments) == ("ls", '{"a":1}')
    assert {o.exchange for o in (*asked, *answered)} == {3}


def test_responses_follow_one_another_and_the_next_one_is_another_exchange() -> None:
    socket = reader("/v1/responses")
    result = {"type": "function_call_output", "call_id": "c", "output": "5"}
    told(socket, WRITE, CREATE)
    first = told(socket, READ, *EVENTS, END)
    second = told(socket, WRITE, {**CREATE, "input": [result], "previous_response_id": "r1"})
    last = told(socket, READ, created("r2"), {**END, "response": {"id": "r2", "status": "failed"}})

    assert only(second, ToolResult).content == "5"
    assert {o.exchange for o in first} == {3}
    assert {o.exchange for o in (*second, *last)} == {4}
    assert only(last, Response).finish_reason == "failed"


def test_lanes_are_kept_apart_however_they_interleave() -> None:
    socket = reader("/v1/responses")
    for lane in "ab":
        told(socket, WRITE, {**CREATE, "stream_id": lane, "input": lane})
    seen: list[Observed] = []
    for value in (*EVENTS, END):
        for lane in "ba":
            assert isinstance(value, dict)
            text = {"delta": lane * 2} if value["type"] == "response.output_text.delta" else {}
            response = {"response": {"id": f"r{lane}"}} if "response" in value else {}
            seen += told(socket, READ, {**value, "stream_id": lane, **text, **response})

    responses = [(o.exchange, o.action.text) for o in seen if isinstance(o.action, Response)]
    assert responses == [(4, "bbbb"), (3, "aaaa")]


def test_an_error_answers_what_was_asked() -> None:
    socket = reader("/v1/responses")
    told(socket, WRITE, CREATE)
    error = {"type": "invalid_request_error", "code": "x", "message": "no"}
    seen = told(socket, READ, {"type": "error", "status": 400, "error": error})

    assert only(seen, Response).error == "invalid_request_error: no"
    assert [o.exchange for o in seen] == [3]


def test_what_steers_a_response_is_told_and_its_successor_answers_it() -> None:
    socket = reader("/v1/responses")
    told(socket, WRITE, {**CREATE, "stream_id": "a"})
    told(socket, READ, {**created(), "stream_id": "a"})
    steer = {"type": "response.steer", "previous_response_id": "r1", "input": "stop"}
    asked = told(socket, WRITE, steer)
    first = told(
        socket,
        READ,
        {"type": "response.steer.accepted", "stream_id": "a"},
        {**END, "type": "response.incomplete", "stream_id": "a"},
    )
    second = told(
        socket,
        READ,
        {**created("r2"), "stream_id": "a"},
        {**END, "response": {"id": "r2"}, "stream_id": "a"},
    )

    assert only(asked, Prompt).user_message == "stop"
    assert [o.exchange for o in first if isinstance(o.action, Response)] == [3]
    assert [o.exchange for o in second if isinstance(o.action, Response)] == [4]


def test_a_cut_connection_truncates_what_was_being_answered() -> None:
    socket = reader("/v1/responses")
    told(socket, WRITE, CREATE, CREATE)
    told(socket, READ, *EVENTS[:2])

    (observed,) = socket.close(9)
    assert isinstance(observed.action, Response)
    assert (observed.action.text, observed.action.truncated) == ("Hel", True)
    assert (observed.exchange, observed.time_ns) == (3, 9)
    assert socket.close(9) == []


def test_an_idle_answer_is_told_as_truncated() -> None:
    socket = reader("/v1/responses")
    told(socket, WRITE, CREATE)
    told(socket, READ, EVENTS[0], time_ns=5)

    assert socket.expire(5, 9) == []
    assert only(socket.expire(6, 9), Response).truncated
    assert told(socket, READ, END) == [], "it was told"


def test_an_answer_whose_request_nobody_saw_is_told_without_times() -> None:
    seen = told(reader(), READ, *EVENTS, END)
    response = only(seen, Response)
    assert (response.api, response.text, response.latency) == ("openai.responses", "Hello", None)


def test_a_request_cut_short_is_told_as_far_as_it_goes_with_what_its_end_says() -> None:
    body = as_json({"type": "response.create", "input": "hi" * 50, "model": "gpt-5"})
    socket = reader("/v1/responses")
    cut = WebSocketMessage("text", body[:60], True, body[-40:], len(body) - 100)
    prompt = only(socket.read(WRITE, cut, 0), Prompt)

    assert (prompt.model, prompt.truncated, prompt.missing_bytes) == (
        "gpt-5",
        True,
        len(body) - 100,
    )


def test_an_answer_that_misses_bytes_says_so() -> None:
    socket = reader("/v1/responses")
    told(socket, WRITE, CREATE)
    told(socket, READ, *EVENTS[:2])
    socket.read(READ, WebSocketMessage("text", b'{"type":"response.outp', True, b"", 7), 0)
    response = only(told(socket, READ, END), Response)

    assert (response.truncated, response.text) == (True, "Hel")


def test_what_is_under_way_is_bounded() -> None:
    socket = reader("/v1/responses")
    for number in range(3 * MAX_TURNS):
        told(socket, WRITE, {**CREATE, "stream_id": str(number)})
        told(socket, READ, {**created(str(number)), "stream_id": str(-number)})
    for kept in (socket._waiting, socket._answering, socket._done):
        assert len(kept) <= MAX_TURNS


# Realtime


def test_what_was_set_and_said_is_the_request_that_asks_for_a_response() -> None:
    socket = reader("/v1/realtime?model=gpt-realtime")
    tools = [{"type": "function", "name": "weather"}]
    before = told(
        socket,
        WRITE,
        {"type": "session.update", "session": {"instructions": "be kind", "tools": tools}},
        {"type": "conversation.item.create", "item": message("hello")},
        {"type": "conversation.item.create", "item": message("there")},
    )
    asked = told(socket, WRITE, {"type": "response.create"}, time_ns=SECOND)
    told(socket, READ, created(), event("response.output_audio.delta", delta="AA"), time_ns=SECOND)
    told(socket, READ, event("response.output_audio_transcript.delta", delta="Good "))
    told(socket, READ, event("response.output_audio_transcript.delta", delta="day"))
    answered = told(socket, READ, done(), time_ns=3 * SECOND)
    again = told(socket, WRITE, {"type": "response.create", "response": {"instructions": "short"}})

    prompt, response = only(asked, Prompt), only(answered, Response)
    assert before == []
    assert (prompt.api, prompt.model, prompt.system_prompt, prompt.tools) == (
        "openai.realtime",
        "gpt-realtime",
        "be kind",
        ("weather",),
    )
    assert [m.content for m in prompt.messages] == ["hello", "there"]
    assert (response.text, response.finish_reason, response.latency) == (
        "Good day",
        "completed",
        2.0,
    )
    assert response.time_to_first_token == 0.0
    assert only(again, Prompt).messages == ()
    assert only(again, Prompt).system_prompt == "short"


JUDGING_AHEAD = replace(DEFAULT_OPTIONS, judges_ahead=True)


def test_what_is_said_ahead_of_a_request_is_judged_as_it_is_sent_and_told_with_the_request() -> (
    None
):
    socket = reader("/v1/realtime?model=gpt-realtime", options=JUDGING_AHEAD)
    session = {"instructions": "be kind"}
    told_of = [
        told(socket, WRITE, value)
        for value in (
            {"type": "session.update", "session": session},
            {"type": "session.update", "session": {"type": "realtime"}},
            {"type": "conversation.item.create", "item": message("hello")},
            {"type": "input_audio_buffer.append", "audio": "AAAA"},
        )
    ]
    asked = told(socket, WRITE, {"type": "response.create"})

    assert [len(seen) for seen in told_of] == [1, 0, 1, 0]
    assert all(one.is_ahead for seen in told_of for one in seen)
    set_up, said = (only(told_of[place], Prompt) for place in (0, 2))
    assert (set_up.system_prompt, set_up.messages) == ("be kind", ())
    assert (said.model, said.system_prompt, said.user_message) == (
        "gpt-realtime",
        "be kind",
        "hello",
    )
    assert not any(one.is_ahead for one in asked)
    assert only(asked, Prompt).messages[0].content == "hello"


def test_a_response_to_what_was_heard_is_an_exchange_too() -> None:
    socket = reader("/v1/realtime?model=gpt-realtime")
    sound = {"type": "input_audio_buffer.append", "audio": "A" * 4096}
    assert told(socket, WRITE, sound, sound) == []
    assert told(socket, READ, {"type": "input_audio_buffer.speech_stopped"}) == []
    began = told(socket, READ, created())
    answered = told(socket, READ, done())

    prompt = only(began, Prompt)
    assert prompt.messages == (ChatMessage(role="user", content="[audio, 6 KB]"),)
    assert prompt.bytes == 2 * len(as_json(sound))
    assert only(answered, Response).latency is None, "nobody knows when the request was over"
    assert {o.exchange for o in (*began, *answered)} == {3}


def test_responses_that_interleave_are_told_apart_by_their_identifiers() -> None:
    socket = reader("/v1/realtime")
    told(socket, WRITE, {"type": "response.create"}, {"type": "response.create"})
    seen = told(
        socket,
        READ,
        created("a"),
        created("b"),
        event("response.text.delta", "a", delta="A1"),
        event("response.text.delta", "b", delta="B1"),
        event("response.text.delta", "a", delta="A2"),
        done("b"),
        event("response.output_text.done", "b", text="B1"),
        done("a"),
    )
    texts = [(o.exchange, o.action.text) for o in seen if isinstance(o.action, Response)]
    assert texts == [(4, "B1"), (3, "A1A2")]


def test_an_error_of_another_message_does_not_end_a_response() -> None:
    socket = reader("/v1/realtime")
    told(socket, WRITE, {"type": "response.create"})
    told(socket, READ, created())
    error = {"type": "error", "event_id": "e", "error": {"type": "t", "message": "no such item"}}
    stray = told(socket, READ, error)
    answered = told(socket, READ, event("response.text.delta", delta="fine"), done())

    assert only(stray, Response).error == "t: no such item"
    assert (only(answered, Response).text, only(answered, Response).error) == ("fine", None)
    assert [o.exchange for o in (*stray, *answered)] == [4, 3]


def test_a_response_that_was_refused_is_answered_by_its_error() -> None:
    socket = reader("/v1/realtime")
    told(socket, WRITE, {"type": "response.create"})
    seen = told(socket, READ, {"type": "error", "error": {"type": "t", "message": "busy"}})
    asked = told(socket, WRITE, {"type": "response.create"})
    answered = told(socket, READ, created(), done())

    assert [o.exchange for o in (*seen, *asked, *answered)] == [3, 4, 4]


def test_the_model_that_the_server_names_for_a_session_is_told() -> None:
    socket = reader("/openai/realtime?api-version=1&deployment=mine", "a.openai.azure.com")
    first = told(socket, WRITE, {"type": "response.create"})
    told(socket, READ, {"type": "session.created", "session": {"model": "gpt-realtime-2"}})
    second = told(socket, WRITE, {"type": "response.create"})

    assert [only(seen, Prompt).model for seen in (first, second)] == ["mine", "gpt-realtime-2"]


def test_what_was_said_and_never_answered_is_told_at_the_end() -> None:
    socket = reader("/v1/realtime")
    told(socket, WRITE, {"type": "conversation.item.create", "item": message("secret")})
    assert only(socket.close(0), Prompt).user_message == "secret"
    assert socket.close(0) == []


def test_a_conversation_at_an_unknown_host_is_known_by_its_messages() -> None:
    socket = reader("/v1/realtime", "a.example")
    assert told(socket, WRITE, {"type": "response.create"}) == []
    assert not socket.is_ai
    told(socket, WRITE, {"type": "conversation.item.create", "item": message("hi")})
    assert socket.is_ai
    assert only(told(socket, WRITE, {"type": "response.create"}), Prompt).provider is None


def test_of_a_conversation_without_end_only_so_much_is_kept() -> None:
    socket = reader("/v1/realtime")
    for _ in range(2500):
        told(socket, WRITE, {"type": "conversation.item.create", "item": message("x")})
    prompt = only(told(socket, WRITE, {"type": "response.create"}), Prompt)
    assert len(prompt.messages) == 2000
    assert prompt.truncated


# Messages by themselves


def test_a_prompt_is_told_with_the_number_and_time_of_its_message() -> None:
    (observed,) = told(reader(), WRITE, CHAT, time_ns=7)
    assert isinstance(observed.action, Prompt)
    assert observed.action.user_message == "hi"
    assert (observed.exchange, observed.time_ns) == (3, 7)


def test_a_truncated_prompt_is_told_as_far_as_it_goes() -> None:
    message = WebSocketMessage("text", as_json(CHAT)[:-4], True, b"}", 3)
    prompt = only(reader().read(WRITE, message, 0), Prompt)
    assert (prompt.truncated, prompt.missing_bytes) == (True, 3)


def test_a_whole_answer_and_messages_of_mcp_are_told() -> None:
    socket = reader()
    assert only(told(socket, READ, COMPLETION), Response).text == "Hello"
    told(socket, READ, *EVENTS)
    call = told(socket, WRITE, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    back = told(socket, READ, {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}})
    assert only(call, McpRequest).method == only(back, McpResponse).method == "tools/list"


def test_what_is_personal_in_it_is_found() -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": "I am bob@example.com"}]}
    assert [type(o.action) for o in told(reader(), WRITE, body)] == [Prompt, PiiDetected]
    said = {**CREATE, "input": "I am bob@example.com"}
    seen = told(reader("/v1/responses"), WRITE, said)
    assert [type(o.action) for o in seen] == [Prompt, PiiDetected]


@pytest.mark.parametrize("direction", [WRITE, READ])
@pytest.mark.parametrize(
    "path", [None, "/v1/responses", "/v1/realtime", "/ws/x.BidiGenerateContent"]
)
@pytest.mark.parametrize("data", [b"", b"hello", b'{"type":"ping"}', b"[1]", b"{", b"\xff{", b"{}"])
def test_other_messages_are_nothing(data: bytes, path: str | None, direction: Direction) -> None:
    assert reader(path).read(direction, WebSocketMessage("text", data), 0) == []


def test_control_frames_are_nothing() -> None:
    assert reader().read(WRITE, WebSocketMessage("close", as_json(CHAT)), 0) == []
