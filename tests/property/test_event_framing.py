import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.classifier.event_framing import (
    AwsEventStream,
    Framing,
    JsonArray,
    JsonLines,
    ServerSentEvents,
)
from busted.protocols.sse import SseEvent
from tests.eventstream_wire import message, text
from tests.property.chunks import cuts

FRAMINGS = [ServerSentEvents, JsonLines, JsonArray, AwsEventStream]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=3)
separators = st.sampled_from([",", "\n,\r\n", " , "])
indents = st.sampled_from([None, 2])
LIMIT = 16


def read(reader: Framing, pieces: list[bytes]) -> list[SseEvent]:
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + list(reader.finish())


def frame(name: str, payload: bytes) -> bytes:
    return message(payload, text(":event-type", name) + text(":message-type", "event"))


wires = st.one_of(
    st.binary(max_size=80),
    st.lists(
        st.sampled_from(
            [
                b'{"a": "}]\\"\\\\"}',
                b"[{",
                b"}]",
                b",\r\n",
                b'"',
                b"\\",
                b"\n",
                b"data: x\n\n",
                "ü".encode(),
                b"x" * (LIMIT + 1),
                frame("messageStop", b'{"stopReason":"end_turn"}'),
                frame("chunk", b'{"bytes":"%s"}' % base64.b64encode(b'{"a":1}')),
            ]
        ),
        max_size=8,
    ).map(b"".join),
)


@pytest.mark.parametrize("make", FRAMINGS)
@given(cuts(wires))
def test_cuts_do_not_matter(make: Callable[[], Framing], pieces: list[bytes]) -> None:
    """However a body comes, the same events come out of it, and nothing raises."""
    assert read(make(), pieces) == read(make(), [b"".join(pieces)])


@pytest.mark.parametrize("make", [JsonLines, JsonArray])
@given(cuts(wires))
def test_no_event_is_longer_than_the_limit(
    make: Callable[[int], Framing], pieces: list[bytes]
) -> None:
    assert read(make(LIMIT), pieces) == read(make(LIMIT), [b"".join(pieces)])
    assert all(len(event.data) <= LIMIT for event in read(make(LIMIT), pieces))


@given(st.lists(objects, max_size=4), separators, indents, st.data())
def test_an_array_gives_its_elements(
    elements: list[dict[str, object]], separator: str, indent: int | None, data: st.DataObject
) -> None:
    """However the array is laid out, and whatever its strings contain."""
    body = "[" + separator.join(json.dumps(e, indent=indent) for e in elements) + "]\n"
    pieces = data.draw(cuts(st.just(body.encode())))

    assert [json.loads(event.data) for event in read(JsonArray(), pieces)] == elements


@given(st.lists(objects, max_size=4), st.data())
def test_lines_give_their_values(elements: list[dict[str, object]], data: st.DataObject) -> None:
    body = "".join(json.dumps(element) + "\r\n" for element in elements)
    pieces = data.draw(cuts(st.just(body.encode())))

    assert [json.loads(event.data) for event in read(JsonLines(), pieces)] == elements
