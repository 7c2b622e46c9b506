import zlib

from busted.classifier.collect import BodyStore


def test_a_short_body_is_kept_whole() -> None:
    store = BodyStore(limit=10)

    assert [store.feed(b"abc"), store.feed(b"def")] == [b"abc", b"def"]
    assert (store.decoded, store.tail, store.size) == (b"abcdef", b"", 6)
    assert not store.truncated


def test_of_a_long_body_head_and_tail_are_kept() -> None:
    store = BodyStore(limit=4, tail_limit=3)
    for piece in (b"ab", b"cdef", b"gh", b"ij"):
        store.feed(piece)

    assert (store.decoded, store.tail, store.size) == (b"abcd", b"hij", 10)
    assert store.truncated


def test_what_follows_a_gap_is_only_tail() -> None:
    store = BodyStore()
    store.feed(b"abc")
    store.gap(5)
    store.feed(b"def")

    assert (store.decoded, store.tail, store.missing) == (b"abc", b"def", 5)
    assert store.truncated


def test_a_coding_is_undone_up_to_the_limit() -> None:
    data = zlib.compress(b"a" * 100_000, wbits=31)
    whole, cut = BodyStore("gzip"), BodyStore("gzip", limit=10)
    whole.feed(data)
    cut.feed(data)

    assert (len(whole.decoded), whole.size, whole.truncated) == (100_000, len(data), False)
    assert (cut.decoded, cut.truncated) == (b"a" * 10, True)


def test_an_unknown_coding_keeps_nothing_and_tells() -> None:
    store = BodyStore("dcb")
    store.feed(b"abc")

    assert (store.decoded, store.truncated) == (b"", True)


def test_a_limit_of_zero_only_counts() -> None:
    store = BodyStore(limit=0)
    store.feed(b"abc")

    assert (store.decoded, store.tail, store.size) == (b"", b"", 3)


def test_a_stream_is_passed_on_and_not_kept() -> None:
    store = BodyStore(limit=2, stream=True)

    assert store.feed(b"abcdef") == b"abcdef"
    assert store.decoded == b""
    assert not store.truncated
