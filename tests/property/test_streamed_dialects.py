"""Every dialect, fed what a stranger may send in its name."""

import json
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.classifier import dialects
from busted.classifier.assembly import Answer
from busted.classifier.connection import ConnectionReader
from busted.classifier.dialects import DIALECTS
from busted.classifier.direction import Direction
from busted.events import Action, Response
from tests.property.chunks import cuts
from tests.unit.classifier import test_bedrock, test_cohere, test_google, test_ollama
from tests.unit.classifier.wire import chunked, named_sse, request, response

OBJECTS: list[object] = [
    test_google.REQUEST,
    *test_google.PIECES,
    test_bedrock.CONVERSE,
    test_bedrock.CONVERSED,
    *({name: payload} for name, payload in test_bedrock.EVENTS),
    *(body for case in test_bedrock.TEXTS for body in case[1:]),
    test_cohere.CHAT,
    test_cohere.CHATTED,
    *test_cohere.EVENTS,
    test_cohere.CHAT_V1,
    test_cohere.CHATTED_V1,
    *test_cohere.EVENTS_V1,
    test_ollama.CHAT,
    *test_ollama.CHATTED,
    *test_ollama.GENERATED,
]


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def strings(value: object) -> set[str]:
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(strings, inner))


known = st.sampled_from(sorted(keys(OBJECTS)))
words = st.sampled_from(sorted(strings(OBJECTS)))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def distorted(draw: st.DrawFn) -> dict[str, object]:
    """A real body with something else in one place of it, or no real body at all."""
    body = json.loads(json.dumps(draw(st.sampled_from(OBJECTS))))
    place: object = body
    while isinstance(place, dict | list) and place:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            place[key] = draw(values)
            break
        place = inner
    return dict(body)


bodies = distorted() | st.dictionaries(known, values, max_size=6)


@given(bodies)
def test_no_body_makes_a_dialect_raise(body: dict[str, object]) -> None:
    """Whatever stands where a string, a list or an object belongs."""
    assert dialects.of_request("/model/x/invoke", body) is not None
    for dialect in DIALECTS:
        asked = dialect.read_request(body)
        whole, streamed = Answer(), Answer()
        dialect.read_answer(whole, body)
        for _ in range(2):
            dialect.read_event(streamed, json.dumps(body), body)
        judged = (dialect.is_request(body), dialect.is_distinct(body), dialect.is_answer(body))

        assert all(isinstance(judgement, bool) for judgement in judged)
        told = (asked.model, asked.user_message, asked.system_prompt, whole.text, streamed.error)
        assert all(text is None or isinstance(text, str) for text in told)
        calls = whole.tool_calls(None, truncated=False) + streamed.tool_calls(None, truncated=False)
        assert all(isinstance(call.arguments, str) for call in calls)


STREAMS = [
    (
        test_google.HOST,
        request(
            test_google.REQUEST,
            path=f"{test_google.MODEL}:streamGenerateContent",
            host=test_google.HOST,
        ),
        chunked(test_google.growing(test_google.PIECES), kind="application/json"),
    ),
    (
        test_bedrock.HOST,
        request(
            test_bedrock.CONVERSE,
            path=f"{test_bedrock.NOVA}/converse-stream",
            host=test_bedrock.HOST,
        ),
        chunked(test_bedrock.as_stream(), kind=test_bedrock.STREAM),
    ),
    (
        test_bedrock.HOST,
        request(
            test_bedrock.CONVERSE,
            path=f"{test_bedrock.NOVA}/invoke-with-response-stream",
            host=test_bedrock.HOST,
        ),
        chunked(test_bedrock.as_nova_stream(), kind=test_bedrock.STREAM),
    ),
    (
        test_cohere.HOST,
        request(test_cohere.CHAT, path="/v2/chat", host=test_cohere.HOST),
        chunked(named_sse(test_cohere.EVENTS)),
    ),
    (
        test_cohere.HOST,
        request(test_cohere.CHAT_V1, path="/v1/chat", host=test_cohere.HOST),
        chunked(test_cohere.lines(test_cohere.EVENTS_V1), kind="application/stream+json"),
    ),
    (
        None,
        request(test_ollama.CHAT, path="/api/chat", host=test_ollama.HOST),
        response(test_ollama.lines(test_ollama.CHATTED), kind="application/x-ndjson"),
    ),
    (
        None,
        request(test_ollama.CHAT, path="/api/chat", host=test_ollama.HOST),
        response(test_ollama.lines(test_ollama.CHATTED), kind=""),
    ),
]


def run(name: str | None, written: list[bytes], read: list[bytes]) -> list[Action]:
    reader = ConnectionReader(name)
    fed = [(Direction.WRITE, data) for data in written] + [(Direction.READ, d) for d in read]
    seen = chain(*[reader.feed(direction, data, 0) for direction, data in fed], reader.close(0))
    return [observed.action for observed in seen]


@pytest.mark.parametrize(("name", "asked", "told"), STREAMS)
@given(st.data())
def test_cuts_of_a_stream_do_not_matter(
    name: str | None, asked: bytes, told: bytes, data: st.DataObject
) -> None:
    """However the kernel slices request and answer, the same actions come out, and all of them."""
    written = data.draw(cuts(st.just(asked)))
    read = data.draw(cuts(st.just(told)))

    actions = run(name, written, read)

    assert actions == run(name, [asked], [told])
    (answer,) = [action for action in actions if isinstance(action, Response)]
    assert (answer.text, answer.stream, answer.truncated) == ("Hello", True, False)
