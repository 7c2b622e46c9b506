"""Invariant: any bytes, in any coding, decode to at most the limit, and nothing raises.

The first byte chooses the codings.
"""

import gzip
import zlib

from busted.protocols.body import BodyDecoder

CODINGS = (
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, deflate",
    "zstd, br",
    "identity",
    "deflate, zstd",
)
LIMIT = 4096

SEEDS = [
    b"\0" + gzip.compress(b"hello") + gzip.compress(bytes(10_000)),
    b"\1" + zlib.compress(b"hello"),
    b"\1" + zlib.compress(b"hello")[2:],
    b"\2\x0b\x02\x80hello\x03",
    b"\3\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello",
    b"\4" + zlib.compress(gzip.compress(b"hello")),
    b"\6hello",
]


def one_input(data: bytes) -> None:
    encoding = CODINGS[data[0] % len(CODINGS)] if data else ""
    whole = BodyDecoder(encoding, LIMIT).feed(data[1:])
    decoder = BodyDecoder(encoding, LIMIT)
    sliced = b"".join(decoder.feed(data[i : i + 1]) for i in range(1, len(data)))
    assert max(len(whole), len(sliced)) <= LIMIT
    assert sliced.startswith(whole)
