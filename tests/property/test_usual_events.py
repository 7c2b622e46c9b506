"""The short way for usual events reads what the long way reads, or nothing."""

import copy
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busted.classifier import dialects
from busted.classifier.assembly import Answer
from busted.classifier.foreign import mapping
from busted.protocols import partial_json

CHUNK = {
    "id": "c1",
    "object": "chat.completion.chunk",
    "model": "m",
    "choices": [
        {"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}
    ],
    "usage": None,
}
DELTA = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "a"},
}
USUAL = {"openai.chat": CHUNK, "anthropic.messages": DELTA}

strange = (
    st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from(["", "a", "error", "é\n"])
)
strange |= st.sampled_from([[], {}, [{}], {"message": "no"}, {"prompt_tokens": 1}, 0.0])
names = [
    *("object", "model", "choices", "usage", "error", "x_groq", "base_resp", "index", "delta"),
    *("finish_reason", "content", "role", "refusal", "reasoning", "tool_calls", "type", "text"),
]


def places(value: object) -> list[dict[str, object]]:
    inner = value if isinstance(value, list) else list(mapping(value).values())
    found = [value] if isinstance(value, dict) else []
    return [*found, *(place for part in inner for place in places(part))]


@st.composite
def events(draw: st.DrawFn, usual: object) -> bytes:
    """Draw an event that differs in up to three members from a usual one, or in its bytes."""
    event = json.loads(json.dumps(usual))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(event)))
        name = draw(st.sampled_from(names))
        if draw(st.booleans()):
            # A copy: what is drawn again would have been changed, even to hold itself.
            place[name] = copy.deepcopy(draw(strange))
        else:
            place.pop(name, None)
    data = json.dumps(event, ensure_ascii=draw(st.booleans()))
    extra = draw(
        st.sampled_from(['"error":"no",', '"choices":[],', '"\\ud800":1,', '"x":NaN,', ""])
    )
    data = "{" + extra + data[1:]
    return data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 5]))].encode()


def told(answer: Answer) -> tuple[object, ...]:
    return (
        *(answer.model, answer.text, answer.reasoning, answer.finish_reason, answer.error),
        *(answer.usage, answer.started, answer.finished, answer.truncated, answer.call_count),
    )


@pytest.mark.parametrize("api", USUAL)
@given(data=st.data())
def test_the_short_way_reads_the_same_or_nothing(api: str, data: st.DataObject) -> None:
    event = data.draw(events(USUAL[api]))
    dialect = dialects.by_name(api)
    assert dialect is not None
    short, long = Answer(), Answer()

    value = mapping(partial_json.parse(event).value)
    dialect.read_event(long, event.decode(), value)

    taken = dialect.read_usual_event(short, event)
    assert told(short) == told(long if taken else Answer())


@pytest.mark.parametrize("api", USUAL)
def test_usual_events_go_the_short_way(api: str) -> None:
    dialect = dialects.by_name(api)
    assert dialect is not None
    answer = Answer()

    assert dialect.read_usual_event(answer, json.dumps(USUAL[api]).encode())
    assert answer.text == "a"


@given(st.text(), st.integers(0, 60))
@example("\\", 12)
def test_json_known_to_be_cut_is_read_as_any_other(text: str, size: int) -> None:
    data = json.dumps({"a": [text, 1], "b": {"c": text}}).encode()[:size]

    parsed = partial_json.parse(data, cut=True)

    assert parsed.value == partial_json.parse(data).value
    assert parsed.truncated == parsed.ok
