from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.classifier.direction import Direction
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import DEFAULT_OPTIONS
from busted.classifier.websocket import WebSocketReader
from busted.events import Response
from busted.protocols.http import HttpRequest
from busted.protocols.websocket import WebSocketMessage
from tests.unit.classifier.wire import as_json

KINDS = (
    "session.update",
    "session.created",
    "conversation.item.create",
    "input_audio_buffer.append",
    "response.create",
    "response.steer",
    "response.created",
    "response.output_item.added",
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.audio.delta",
    "response.completed",
    "response.done",
    "error",
)
KEYS = (
    "session",
    "item",
    "response",
    "response_id",
    "stream_id",
    "delta",
    "audio",
    "setup",
    "clientContent",
    "realtimeInput",
    "toolResponse",
    "serverContent",
    "toolCall",
    "turns",
    "turnComplete",
    "modelTurn",
    "parts",
    "text",
    "functionCalls",
    "id",
    "model",
    "input",
    "instructions",
    "tools",
)
scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b", "hi", ""])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
        | st.just({"role": "user", "content": "hi", "parts": [{"text": "hi"}]})
    ),
    max_leaves=8,
)
messages = st.tuples(
    st.sampled_from(list(Direction)),
    st.sampled_from(KINDS) | st.none(),
    st.dictionaries(st.sampled_from(KEYS), values, max_size=5),
    st.integers(0, 9),
)
PATHS = ("/v1/responses", "/v1/realtime", "/ws/x.BidiGenerateContent", "/")


@pytest.mark.parametrize("path", PATHS)
@given(sent=st.lists(messages, max_size=25))
def test_whatever_is_said_nothing_raises_and_no_answer_is_told_twice(
    path: str, sent: list[tuple[Direction, str | None, dict[str, object], int]]
) -> None:
    """Messages of any shape in any order, some of them cut."""
    numbers = count(1)
    socket = WebSocketReader(
        HttpRequest("GET", path),
        sni="api.openai.com",
        pending=Pending(),
        options=DEFAULT_OPTIONS,
        number=lambda: next(numbers),
    )
    seen = []
    for direction, kind, fields, cut in sent:
        data = as_json(fields | ({"type": kind} if kind else {}))
        message = WebSocketMessage("text", data[: len(data) - cut], cut > 0, missing=cut)
        seen += socket.read(direction, message, 0)
    seen += socket.expire(0, 0)
    seen += socket.close(0)

    answered = Counter(o.exchange for o in seen if isinstance(o.action, Response))
    assert all(times == 1 for times in answered.values())
    assert socket.close(0) == []
