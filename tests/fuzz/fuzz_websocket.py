"""Invariant: bytewise and whole parsing agree, messages are bounded, and nothing raises.

The first byte chooses the extension; 0xFE in the rest is a gap of one byte, so that gaps are
found wherever the fuzzer puts them.
"""

from busted.protocols.websocket import WebSocketMessage, WebSocketParser
from tests.websocket_wire import CONTINUATION, DEFLATE, MASK, PING, TEXT, Deflater, frame

LIMIT = 256
EXTENSIONS = (None, DEFLATE, f"{DEFLATE}; client_no_context_takeover")

SEEDS = [
    b"\0" + frame(TEXT, b"hello", mask=MASK) + frame(TEXT, b"a" * 300),
    b"\0" + frame(TEXT, b"a", final=False) + frame(PING, b"\xfe") + frame(CONTINUATION, b"b"),
    b"\1" + frame(TEXT, Deflater()(b"hello" * 9), compressed=True) * 2,
    b"\2" + frame(TEXT, Deflater()(bytes(9999)), compressed=True) + b"\xfe" + frame(TEXT, b"lost"),
]


def one_input(data: bytes) -> None:
    choice, data = data[0] if data else 0, data[1:]
    extensions = EXTENSIONS[choice % len(EXTENSIONS)]
    runs: list[tuple[list[WebSocketMessage], int]] = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        parser = WebSocketParser("request", extensions, max_message_bytes=LIMIT)
        messages: list[WebSocketMessage] = []
        for piece in pieces:
            for place, seen in enumerate(piece.split(b"\xfe")):
                messages += parser.gap(1) if place else []
                messages += parser.feed(seen)
                assert len(parser._held) < 14
        messages += parser.close()
        runs.append((messages, parser.skipped))
    assert runs[0] == runs[1]
    assert all(len(message.data) <= LIMIT for message in runs[0][0])
