"""Writes AWS event-stream messages, for the tests of what reads them."""

import zlib


def text(name: str, value: str) -> bytes:
    raw = value.encode()
    return header(name, 7, len(raw).to_bytes(2, "big") + raw)


def header(name: str, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def message(payload: bytes, headers: bytes = b"") -> bytes:
    total = 16 + len(headers) + len(payload)
    prelude = total.to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    prelude += zlib.crc32(prelude).to_bytes(4, "big")
    body = prelude + headers + payload
    return body + zlib.crc32(body).to_bytes(4, "big")
