"""Invariant: however the streams are cut, the same actions come out, and nothing raises.

The first byte chooses the server's name. In the rest, 0xFE changes the direction and 0xFF is a
gap of seven bytes, so that the fuzzer puts turns and gaps wherever it wants.
"""

import re
from collections.abc import Iterator

import msgspec

from busted.classifier.connection import ConnectionReader, Observed
from busted.classifier.direction import Direction
from busted.classifier.mcp_memory import Memory
from busted.events import Response
from tests.unit.classifier.wire import (
    CHAT,
    CHUNKS,
    COMPLETION,
    MESSAGES,
    as_json,
    chunked,
    request,
    response,
    sse,
)

NAMES = (None, "api.openai.com", "tools.example")
GAP = 7
# What changes direction, what is missing, and what lies between.
_STEPS = re.compile(rb"\xfe|\xff|[^\xfe\xff]+")
_CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "f"}}
_ASK = {"jsonrpc": "2.0", "id": 0, "method": "elicitation/create"}
_DONE = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "f", "inputSchema": {}}]}}
_LISTEN = request(None, path="/sse", method="GET", host="tools.example")
_ENDPOINT = b"event: endpoint\ndata: /messages?session_id=1\n\n"

SEEDS = [
    b"\0" + request(CHAT) + b"\xfe" + response(COMPLETION),
    b"\0" + request(CHAT) + b"\xfe" + chunked(sse(CHUNKS)) + b"\xfe" + request(CHAT),
    b"\1" + request(MESSAGES, path="/v1/messages") + b"\xfe" + response(COMPLETION)[:90],
    b"\2" + request(_CALL, path="/mcp") + b"\xfe" + chunked(sse([_ASK, _DONE], done=False)),
    b"\2" + request([_CALL, _CALL]) + b"\xfe" + response([_DONE, _DONE]),
    b"\2" + _LISTEN + b"\xfe" + chunked(_ENDPOINT, sse([_DONE], done=False)),
    b"\1" + request(CHAT)[:80] + b"\xff" + request(CHAT)[87:] + b"\xfe" + b"\xff" + as_json(CHAT),
    b"\0\xfe" + request(CHAT) + b"\xfe" + response(COMPLETION),
    b"\0PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xfe\0\0\0\4\0\0\0\0\0",
    b"\0" + request(CHAT) + b"\xfe" + b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
]


def one_input(data: bytes) -> None:
    name = NAMES[data[0] % len(NAMES)] if data else None
    whole = [_told(observed) for observed in run(name, data[1:], bytewise=False)]
    assert [_told(observed) for observed in run(name, data[1:], bytewise=True)] == whole
    assert all(observed.exchange >= 1 for observed in whole)
    msgspec.json.encode([observed.action for observed in whole])


def _told(observed: Observed) -> Observed:
    """Leave out the size of streams: told at their semantic end, it is what was read so far."""
    if not (isinstance(observed.action, Response) and observed.action.stream):
        return observed
    action = msgspec.structs.replace(observed.action, bytes=0)
    return msgspec.structs.replace(observed, action=action)


def run(name: str | None, data: bytes, *, bytewise: bool) -> Iterator[Observed]:
    reader = ConnectionReader(name, memory=Memory())
    direction = Direction.WRITE
    for step in _STEPS.finditer(data):
        match step[0]:
            case b"\xfe":
                direction = Direction.READ if direction is Direction.WRITE else Direction.WRITE
            case b"\xff":
                yield from reader.gap(direction, GAP, 0)
            case piece if bytewise:
                for place in range(len(piece)):
                    yield from reader.feed(direction, piece[place : place + 1], 0)
            case piece:
                yield from reader.feed(direction, piece, 0)
    yield from reader.close(0)
