"""Invariant: bytewise and whole reading agree for every framing, and nothing raises.

The first byte chooses the framing; 0xFE in the rest is a gap of one byte, so that gaps are
found wherever the fuzzer puts them.
"""

from busted.classifier.event_framing import (
    AwsEventStream,
    JsonArray,
    JsonLines,
    ServerSentEvents,
)
from busted.protocols.sse import SseEvent
from tests.eventstream_wire import message, text

LIMIT = 64
FRAMINGS = (
    lambda: JsonArray(LIMIT),
    lambda: JsonLines(LIMIT),
    ServerSentEvents,
    AwsEventStream,
)

SEEDS = [
    b'\0[{"a": "}]\\"\\\\"}\n,\r\n{"b": [1, {"c": 2}]}]',
    b'\0[{"a": "' + b"x" * LIMIT + b'"}, {"b":\xfe1}]',
    b'\1{"a": 1}\n\n{"b": 2}\r\n{"c": \xfe}\n',
    b"\2event: a\ndata: {}\n\ndata: \xfex\n\n",
    b"\3" + message(b'{"bytes":"e30="}', text(":event-type", "chunk")),
    b"\3" + message(b"{}", text(":message-type", "exception") + text(":exception-type", "a")),
]


def one_input(data: bytes) -> None:
    make = FRAMINGS[data[0] % len(FRAMINGS)] if data else FRAMINGS[0]
    data = data[1:]
    runs: list[list[SseEvent]] = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        framing = make()
        events: list[SseEvent] = []
        for piece in pieces:
            for place, seen in enumerate(piece.split(b"\xfe")):
                if place:
                    framing.gap(1)
                events += framing.feed(seen)
        events += framing.finish()
        runs.append(events)
    assert runs[0] == runs[1]
