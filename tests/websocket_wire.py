"""Writes WebSocket frames, as RFC 6455 and RFC 7692 say, for the tests of what reads them."""

import zlib

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
DEFLATE = "permessage-deflate"
MASK = b"\x37\xfa\x21\x3d"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    compressed: bool = False,
    mask: bytes = b"",
) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([size | (0x80 if mask else 0)])
    elif size < 1 << 16:
        length = bytes([126 | (0x80 if mask else 0)]) + size.to_bytes(2, "big")
    else:
        length = bytes([127 | (0x80 if mask else 0)]) + size.to_bytes(8, "big")
    if mask:
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([opcode | 0x80 * final | 0x40 * compressed]) + length + mask + payload


class Deflater:
    """Compresses messages one after another, keeping its window, as RFC 7692 section 7.2.1 says."""

    def __init__(self, window_bits: int = 15) -> None:
        self._deflate = zlib.compressobj(wbits=-window_bits)

    def __call__(self, message: bytes) -> bytes:
        data = self._deflate.compress(message) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(b"\0\0\xff\xff")
