"""ClientHellos as they are on the wire: built from their parts, and by OpenSSL itself."""

from __future__ import annotations

import ssl
import struct

RANDOM = bytes(range(32))


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def server_name(host: bytes, kind: int = 0) -> tuple[int, bytes]:
    return 0, vector(2, bytes([kind]) + vector(2, host))


def protocols(*names: bytes) -> tuple[int, bytes]:
    return 16, vector(2, b"".join(vector(1, name) for name in names))


def versions(*numbers: int) -> tuple[int, bytes]:
    return 43, vector(1, b"".join(number.to_bytes(2, "big") for number in numbers))


def message(*extensions: tuple[int, bytes], random: bytes = RANDOM) -> bytes:
    """The handshake message, with its header."""
    body = struct.pack(">H", 0x0303) + random + vector(1, bytes(32)) + vector(2, b"\x13\x01")
    body += vector(1, b"\0")
    if extensions:
        body += vector(
            2, b"".join(struct.pack(">H", k) + vector(2, data) for k, data in extensions)
        )
    return b"\1" + vector(3, body)


def records(message: bytes, size: int = 1 << 14) -> bytes:
    """TLS records with at most `size` bytes of the message each."""
    pieces = [message[i : i + size] for i in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + vector(2, piece) for piece in pieces)


def of_openssl(host: str, *alpn: str) -> bytes:
    """What Python's ssl module sends first."""
    context = ssl.create_default_context()
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=host)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake ended without an answer")
