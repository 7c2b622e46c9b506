import pytest

from busted.classifier import websocket
from busted.classifier.direction import Direction
from busted.classifier.exchange import Observed
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import DEFAULT_OPTIONS
from busted.events import McpRequest, PiiDetected, Prompt, Response
from busted.protocols.websocket import WebSocketMessage
from tests.unit.classifier.wire import CHAT, COMPLETION, as_json

WRITE, READ = Direction.WRITE, Direction.READ


def judge(message: WebSocketMessage, direction: Direction) -> list[Observed]:
    return websocket.read(
        message,
        direction,
        sni="api.openai.com",
        pending=Pending(),
        options=DEFAULT_OPTIONS,
        time_ns=7,
        number=3,
    )


def read(data: bytes, direction: Direction = WRITE, *, truncated: bool = False) -> list[Observed]:
    return judge(WebSocketMessage("text", data, truncated), direction)


def test_a_prompt_is_told_with_the_number_and_time_of_its_message() -> None:
    (observed,) = read(as_json(CHAT))
    assert isinstance(observed.action, Prompt)
    assert observed.action.user_message == "hi"
    assert (observed.exchange, observed.time_ns) == (3, 7)


def test_a_truncated_prompt_is_told_as_far_as_it_goes() -> None:
    (observed,) = read(as_json(CHAT)[:-4], truncated=True)
    assert isinstance(observed.action, Prompt)
    assert observed.action.truncated


def test_a_whole_answer_and_a_message_of_mcp_are_told() -> None:
    (answer,) = read(as_json(COMPLETION), READ)
    assert isinstance(answer.action, Response)
    assert answer.action.text == "Hello"
    (call,) = read(as_json({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
    assert isinstance(call.action, McpRequest)


def test_what_is_personal_in_it_is_found() -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": "I am bob@example.com"}]}
    assert [type(o.action) for o in read(as_json(body))] == [Prompt, PiiDetected]


@pytest.mark.parametrize("direction", [WRITE, READ])
@pytest.mark.parametrize("data", [b"", b"hello", b'{"type":"ping"}', b"[1]", b"{", b"\xff{"])
def test_other_messages_are_nothing(data: bytes, direction: Direction) -> None:
    assert read(data, direction) == []


def test_control_frames_are_nothing() -> None:
    assert judge(WebSocketMessage("close", as_json(CHAT)), WRITE) == []
