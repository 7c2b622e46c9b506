"""Invariant: any bytes are read, or not, and nothing raises; what is read can be written."""

import msgspec

from busted.protocols import detect, jsonrpc, partial_json

SEEDS = [
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"b":[1.5]}}}',
    b'[{"jsonrpc":"2.0","id":"a","result":null},{"jsonrpc":"2.0","id":null,"error":{"code":-1}}]',
    b'\xef\xbb\xbf{"a":"\\ud83d\\ude00 \\ud800 \xff \x01"}',
    b'{"deep":' + b"[" * 400 + b"]" * 400 + b',"model":"m"}',
    b"POST / HTTP/1.1\r\n",
    b"data: {}\n\n",
    b"\x81\x05hello",
    b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64",
]


def one_input(data: bytes) -> None:
    parsed = partial_json.parse(data)
    assert parsed.ok or parsed.value is None
    msgspec.json.encode(parsed.value)
    msgspec.json.encode(jsonrpc.read(data))
    detect.detect(data)
