import base64
import json
from collections.abc import Callable

import pytest

from busted.classifier import event_framing
from busted.classifier.event_framing import (
    AwsEventStream,
    Framing,
    JsonArray,
    JsonLines,
    ServerSentEvents,
)
from busted.protocols.sse import SseEvent
from tests.eventstream_wire import message, text


def read(reader: Framing, *pieces: bytes) -> list[SseEvent]:
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + list(reader.finish())


def data(reader: Framing, *pieces: bytes) -> list[str]:
    return [event.data for event in read(reader, *pieces)]


def aws(payload: object, event: str, **headers: str) -> bytes:
    told = "".join(f":{name.replace('_', '-')}\0{value}\0" for name, value in headers.items())
    pairs = told.split("\0")[:-1]
    raw = text(":event-type", event)
    raw += b"".join(text(*pair) for pair in zip(pairs[::2], pairs[1::2], strict=True))
    return message(json.dumps(payload).encode(), raw)


def test_lines_are_events_and_blank_ones_are_not() -> None:
    assert data(JsonLines(), b'{"a"', b':1}\r\n\n{"b":2}\n{"c') == ['{"a":1}', '{"b":2}', '{"c']


def test_a_line_beyond_the_limit_is_cut_and_says_so() -> None:
    events = read(JsonLines(max_event_bytes=4), b"123", b"45\n6789\n")

    assert events == [SseEvent("1234", truncated=True), SseEvent("6789")]


def test_elements_of_an_array_are_events() -> None:
    """As Google sends them: the comma stands on a line of its own."""
    body = b'[{\n  "a": [1, {"b": "}]\\""}]\n}\n,\r\n{"c": "\\\\"}\n]\n'

    assert data(JsonArray(), body) == ['{\n  "a": [1, {"b": "}]\\""}]\n}', '{"c": "\\\\"}']
    assert data(JsonArray(), *(bytes([byte]) for byte in body)) == data(JsonArray(), body)


def test_what_is_no_object_or_list_is_no_element() -> None:
    assert data(JsonArray(), b'[1, "two", null, [3], {}] {"after": [1]') == ["[3]", "{}", "[1]"]


def test_an_unfinished_element_is_told_at_the_end() -> None:
    assert data(JsonArray(), b'[{"a": "Hel') == ['{"a": "Hel']


def test_an_element_beyond_the_limit_is_cut_and_says_so() -> None:
    events = read(JsonArray(max_event_bytes=5), b'[{"a"', b':1}, {"b"]')

    assert events[0] == SseEvent('{"a":', truncated=True)


@pytest.mark.parametrize(
    ("make", "before", "after", "left"),
    [
        (ServerSentEvents, b"data: 1\n\ndata: lo", b"st\n\ndata: 2\n\n", ["1", "2"]),
        (JsonLines, b'{"a":1}\n{"lo', b'st"}\n{"b":2}\n', ['{"a":1}', 'st"}', '{"b":2}']),
        (JsonArray, b'[{"a":1},{"lo', b'st":1},{"b":2}]', ['{"a":1}']),
        (
            AwsEventStream,
            aws({"a": 1}, "one") + aws({"lo": 1}, "lost")[:-9],
            aws({"b": 2}, "two"),
            ['{"one": {"a": 1}}', '{"two": {"b": 2}}'],
        ),
    ],
)
def test_an_event_in_a_gap_is_lost(
    make: Callable[[], Framing], before: bytes, after: bytes, left: list[str]
) -> None:
    reader = make()
    seen = [event.data for event in reader.feed(before)]
    reader.gap(9)

    assert [*seen, *data(reader, after)] == left


def test_a_message_is_told_under_its_name() -> None:
    delta = {"contentBlockIndex": 0, "delta": {"text": "Hi"}, "p": "abc"}
    wire = aws(delta, "contentBlockDelta", message_type="event")

    (event,) = read(AwsEventStream(), wire[:7], wire[7:])

    assert json.loads(event.data) == {"contentBlockDelta": delta}


def test_a_chunk_is_what_the_model_wrote() -> None:
    said = b'{"type":"message_stop"}'
    wire = aws({"bytes": base64.b64encode(said).decode(), "p": "abcdef"}, "chunk")

    assert data(AwsEventStream(), wire) == [said.decode()]


@pytest.mark.parametrize("payload", [{"bytes": "%"}, {"bytes": 7}, {}, [], "x"])
def test_a_chunk_of_anything_else_is_empty(payload: object) -> None:
    assert data(AwsEventStream(), aws(payload, "chunk")) == [""]


def test_an_exception_is_an_error() -> None:
    wire = aws(
        {"message": "Too many tokens"},
        "",
        message_type="exception",
        exception_type="throttlingException",
    )

    (event,) = read(AwsEventStream(), wire)

    assert json.loads(event.data) == {
        "type": "error",
        "error": {"type": "throttlingException", "message": "Too many tokens"},
    }


def test_a_damaged_message_says_only_that_something_is_missing() -> None:
    wire = bytearray(aws({"a": 1}, "one"))
    wire[-6] ^= 1

    assert read(AwsEventStream(), bytes(wire)) == [SseEvent("", truncated=True)]
    assert read(AwsEventStream(), aws({"a": 1}, "one")[:-5]) == [SseEvent("", truncated=True)]


@pytest.mark.parametrize(
    ("kind", "reader"),
    [
        ("text/event-stream; charset=utf-8", ServerSentEvents),
        ("Text/Event-Stream", ServerSentEvents),
        ("application/vnd.amazon.eventstream", AwsEventStream),
        ("application/x-ndjson", JsonLines),
        ("application/stream+json", JsonLines),
        ("application/json; charset=UTF-8", None),
        ("text/plain", None),
        ("", None),
    ],
)
def test_the_content_type_says_what_reads_a_stream(
    kind: str, reader: Callable[[], Framing] | None
) -> None:
    assert event_framing.of_type(kind) is reader


@pytest.mark.parametrize(
    ("body", "streams_as", "reader"),
    [
        (b'[{"a":1}]', JsonArray, JsonArray),
        (b'[{"a":1}]', JsonLines, None),
        (b'{"a":1}\n{"b":2}', JsonLines, JsonLines),
        (b'{"a":1}\n', JsonLines, None),
        (b'{"a":1}\n{"b":2}', JsonArray, None),
        (b"[]", JsonArray, None),
        (b"", JsonLines, None),
    ],
)
def test_a_kept_body_is_a_stream_only_of_a_dialect_that_streams_so(
    body: bytes, streams_as: Callable[[], Framing], reader: Callable[[], Framing] | None
) -> None:
    assert event_framing.of_body(body, lambda event: streams_as) is reader
