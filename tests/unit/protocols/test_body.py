import gzip
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from busted.protocols.body import MAX_CODINGS, STEP_BYTES, BodyDecoder

TEXT = b"".join(b'data: {"delta":"word %d"}\n\n' % i for i in range(2000))


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


CODINGS: dict[str, list[Callable[[bytes], bytes]]] = {
    "gzip": [gzip.compress],
    "x-gzip": [gzip.compress],
    "deflate": [zlib.compress, raw_deflate],
    "br": [brotli.compress],
    "zstd": [zstandard.ZstdCompressor().compress],
}
ALL = [(name, encode) for name, encoders in CODINGS.items() for encode in encoders]


@pytest.mark.parametrize(("name", "encode"), ALL)
def test_each_coding_is_undone(name: str, encode: Callable[[bytes], bytes]) -> None:
    decoder = BodyDecoder(name.upper())
    assert decoder.feed(encode(TEXT)) == TEXT
    assert not decoder.truncated
    assert not decoder.failed


@pytest.mark.parametrize("encoding", [None, "", "identity", "Identity, "])
def test_an_uncoded_body_is_passed_on_uncopied(encoding: str | None) -> None:
    assert BodyDecoder(encoding).feed(TEXT) is TEXT


def test_codings_are_undone_in_reverse_order() -> None:
    coded = zstandard.ZstdCompressor().compress(gzip.compress(TEXT))
    assert BodyDecoder("gzip, identity, zstd").feed(coded) == TEXT


@pytest.mark.parametrize("encoding", ["compress", "gzip, dcb", ",".join(["gzip"] * 4)])
def test_what_cannot_be_decoded_fails_from_the_start(encoding: str) -> None:
    assert MAX_CODINGS == 3
    decoder = BodyDecoder(encoding)
    assert decoder.failed
    assert decoder.feed(TEXT) == b""


@pytest.mark.parametrize(("name", "encode"), ALL)
def test_half_a_body_gives_about_half_the_text(name: str, encode: Callable[[bytes], bytes]) -> None:
    # Long enough for several blocks of zstd, which come out whole or not at all.
    text = b"".join(b"%d " % (i * i * 7919) for i in range(40_000))
    coded = encode(text)
    decoder = BodyDecoder(name)
    half = decoder.feed(coded[: len(coded) // 2])
    assert text.startswith(half)
    assert len(half) > len(text) // 4
    assert not decoder.failed


@pytest.mark.parametrize(("name", "encode"), ALL)
def test_flushed_events_come_out_at_once(name: str, encode: Callable[[bytes], bytes]) -> None:
    coded = encode(TEXT)
    decoder = BodyDecoder(name)
    assert decoder.feed(coded[:-1]) + decoder.feed(coded[-1:]) == TEXT


@pytest.mark.parametrize(("name", "encode"), ALL)
@pytest.mark.parametrize("around", ["", "gzip"])
def test_a_bomb_stops_at_the_limit(
    name: str, encode: Callable[[bytes], bytes], around: str
) -> None:
    bomb = encode(bytes(20_000_000))
    decoder = BodyDecoder(f"{name}, {around}", limit=1_000_000)
    decoded = decoder.feed(gzip.compress(bomb) if around else bomb)
    assert decoded == bytes(1_000_000)
    assert decoder.truncated
    assert decoder.feed(bomb) == b""


def test_an_inner_coding_is_bounded_too() -> None:
    # Decodes to nothing but empty members: without a bound it would cost and never come out.
    nothing = gzip.compress(b"") * 100_000
    decoder = BodyDecoder("gzip, gzip", limit=STEP_BYTES)
    assert decoder.feed(gzip.compress(nothing)) == b""
    assert decoder.truncated


@pytest.mark.parametrize("encoding", [None, "gzip", "br"])
def test_a_body_as_long_as_the_limit_is_not_truncated(encoding: str | None) -> None:
    encode = CODINGS[encoding][0] if encoding else bytes
    decoder = BodyDecoder(encoding, limit=len(TEXT))
    assert decoder.feed(encode(TEXT)) == TEXT
    assert not decoder.truncated


@pytest.mark.parametrize("name", CODINGS)
def test_bytes_that_are_not_the_coding_fail(name: str) -> None:
    decoder = BodyDecoder(name)
    assert decoder.feed(b"\x2e{}" * 10) == b""
    assert decoder.failed


def test_gzip_members_are_joined_and_padding_ignored() -> None:
    decoder = BodyDecoder("gzip")
    assert decoder.feed(gzip.compress(b"a") + gzip.compress(b"b") + bytes(8)) == b"ab"
    assert not decoder.failed


def test_zstd_frames_are_joined() -> None:
    encode = zstandard.ZstdCompressor().compress
    assert BodyDecoder("zstd").feed(encode(b"a") + encode(b"b")) == b"ab"


def test_after_a_gap_only_uncoded_bytes_can_be_read() -> None:
    plain, coded = BodyDecoder(None), BodyDecoder("gzip")
    plain.gap()
    coded.gap()
    assert plain.feed(b"a") == b"a"
    assert coded.feed(gzip.compress(b"a")) == b""
    assert coded.failed
