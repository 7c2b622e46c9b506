"""Invariant: any buffer gets one finding, of known words and sane numbers, and nothing raises.

The first byte chooses the direction and the server's name.
"""

from typing import get_args

import msgspec

from busted.classifier import Direction, classify
from busted.classifier.requests import ContentClass
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

NAMES = (None, "api.openai.com", "api.anthropic.com", "tools.example")
_META = {"io.modelcontextprotocol/clientInfo": {"name": "a"}}
_CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "f", "_meta": _META}}
_TOOLS = {"tools": [{"name": "f", "inputSchema": {}}], "serverInfo": {"name": "s"}}

SEEDS = [
    b"\0" + request(CHAT),
    b"\2" + request({**MESSAGES, "tools": [{"name": "f"}]}, path="/v1/messages"),
    b"\4" + request(_CALL, path="/mcp", headers={"Mcp-Method": "tools/call", "Mcp-Name": "g"}),
    b"\6" + request([_CALL, _CALL], headers={"Mcp-Name": "=?base64?Zg==?="}),
    b"\4" + request({"message": {}}, path="/message:send", headers={"A2A-Version": "1.0"}),
    b"\1" + response(COMPLETION),
    b"\3" + chunked(sse(CHUNKS)),
    b"\5"
    + response({"jsonrpc": "2.0", "id": 1, "result": _TOOLS}, headers={"Mcp-Session-Id": "s"}),
    b"\5" + chunked(b"event: endpoint\ndata: /messages?session_id=1\n\n"),
    b"\3" + sse(CHUNKS),
    b"\2" + as_json(CHAT),
    b"\0PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


def one_input(data: bytes) -> None:
    choice, payload = data[0] if data else 0, data[1:]
    direction = Direction.READ if choice % 2 else Direction.WRITE
    found = classify(payload, direction, NAMES[choice // 2 % len(NAMES)])
    assert found.content_class in get_args(ContentClass)
    assert 0.0 <= found.confidence <= 1.0
    assert found.interesting or not found.actions
    assert all(0 <= place.start < place.end for place in found.pii)
    msgspec.json.encode(found)
