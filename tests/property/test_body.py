import gzip
import zlib
from collections.abc import Callable
from functools import partial

import brotli  # type: ignore[import-untyped]
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.body import BodyDecoder
from tests.property.chunks import cuts

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": partial(gzip.compress, mtime=0),  # else the input depends on the clock
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
encodings = st.lists(st.sampled_from(sorted(ENCODERS)), max_size=3)
texts = st.binary(max_size=200) | st.binary(min_size=1, max_size=2).map(lambda b: b * 3000)


def decode(encoding: str, chunks: list[bytes], limit: int) -> tuple[bytes, bool, bool]:
    decoder = BodyDecoder(encoding, limit)
    decoded = b"".join(decoder.feed(chunk) for chunk in chunks)
    return decoded, decoder.truncated, decoder.failed


@given(st.data(), encodings, texts, st.integers(0, 8000))
def test_cuts_do_not_matter(data: st.DataObject, names: list[str], text: bytes, limit: int) -> None:
    """However a body is coded, cut off and sliced, the same text comes out."""
    coded = text
    for name in names:
        coded = ENCODERS[name](coded)
    coded = coded[: data.draw(st.integers(0, len(coded)))]
    chunks = data.draw(cuts(st.just(coded)))

    expected = decode(",".join(names), [coded], limit)

    assert decode(",".join(names), chunks, limit) == expected
    assert decode(",".join(names), [bytes([b]) for b in coded], limit) == expected
    assert text.startswith(expected[0])
    assert not expected[2]


@given(st.data(), encodings, texts, st.binary(min_size=1, max_size=3))
def test_any_bytes_are_survived(
    data: st.DataObject, names: list[str], text: bytes, mutation: bytes
) -> None:
    """Mutated bodies never raise nor exceed the limit; slicing changes only how soon it fails."""
    coded = text
    for name in names:
        coded = ENCODERS[name](coded)
    place = data.draw(st.integers(0, len(coded)))
    coded = coded[:place] + mutation + coded[place + len(mutation) :]

    whole, _, _ = decode(",".join(names), [coded], 1000)
    sliced, _, _ = decode(",".join(names), data.draw(cuts(st.just(coded))), 1000)

    assert len(whole) <= 1000
    assert len(sliced) <= 1000
    assert whole.startswith(sliced) or sliced.startswith(whole)
