"""Invariant: bytewise and whole parsing agree, messages are bounded, and nothing raises.

0xFE is a gap of one byte, so that gaps are found wherever the fuzzer puts them.
"""

from busted.protocols.eventstream import EventStreamMessage, EventStreamParser
from tests.eventstream_wire import header, message, text

LIMIT = 64

SEEDS = [
    message(b"hello", text(":event-type", "chunk")) + message(b""),
    message(b"x", header("a", 9, bytes(16)) + header("b", 6, b"\0\1c")) + b"junk" + message(b"y"),
    message(b"hello" * 20) + message(b"a\xfeb") + message(b"z")[:-2],
]


def one_input(data: bytes) -> None:
    runs: list[tuple[list[EventStreamMessage], int]] = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        parser = EventStreamParser(max_message_bytes=LIMIT)
        messages: list[EventStreamMessage] = []
        for piece in pieces:
            for place, seen in enumerate(piece.split(b"\xfe")):
                messages += parser.gap(1) if place else []
                messages += parser.feed(seen)
                assert len(parser._held) < 12
        messages += parser.close()
        runs.append((messages, parser.skipped))
    assert runs[0] == runs[1]
    assert all(len(message.payload) <= LIMIT for message in runs[0][0])
