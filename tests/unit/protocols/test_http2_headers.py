import pytest
from hpack import Encoder

from busted.protocols.http2_headers import Fields, HeaderBlockDecoder

SHORT = [("x-short", "a")]
LONG = [("x-long", "v" * 5000)]


def decoder() -> HeaderBlockDecoder:
    return HeaderBlockDecoder(max_head_bytes=64 * 1024)


def test_names_are_lowered_values_stripped_and_order_kept() -> None:
    block = b"\0\3X-A\3 b " + b"\x82" + b"\0\1c\1\xe9"
    assert decoder().decode(block) == [("x-a", "b"), (":method", "GET"), ("c", "é")]


def test_an_entry_that_was_not_seen_is_unknown_and_one_that_was_is_known() -> None:
    encoder, reader = Encoder(), decoder()
    encoder.encode(SHORT)
    assert reader.decode(encoder.encode([*SHORT, ("x-short", "b")])) == [("?", "?"), ("?", "b")]
    assert reader.decode(encoder.encode([("x-new", "c")])) == [("x-new", "c")]
    assert reader.decode(encoder.encode([("x-new", "c"), *SHORT])) == [("x-new", "c"), ("?", "?")]


def test_an_entry_larger_than_the_table_empties_it() -> None:
    """RFC 7541 section 4.4. To insert it here would shift all that come after."""
    encoder, reader = Encoder(), decoder()
    assert reader.decode(encoder.encode(LONG)) == LONG
    assert reader.decode(encoder.encode(SHORT)) == SHORT
    assert reader.decode(encoder.encode(SHORT)) == SHORT
    assert reader.decode(b"\xbf") == [("?", "?")]


def test_after_a_missed_block_only_what_comes_then_is_known() -> None:
    encoder, reader = Encoder(), decoder()
    reader.decode(encoder.encode(SHORT))
    encoder.encode([("x-missed", "1")])
    reader.forget()
    assert reader.decode(encoder.encode(SHORT)) == [("?", "?")]


def test_after_a_missed_block_the_table_is_not_taken_to_be_large() -> None:
    """The missed block may have made it smaller; what would not fit then was not inserted."""
    encoder, reader = Encoder(), decoder()
    encoder.header_table_size = 10_000
    reader.decode(encoder.encode(SHORT))
    encoder.header_table_size = 4096
    encoder.encode(SHORT)
    reader.forget()
    reader.decode(encoder.encode(LONG))
    assert reader.decode(encoder.encode([("x-new", "c")])) == [("x-new", "c")]
    assert reader.decode(encoder.encode([("x-new", "c")])) == [("x-new", "c")]
    assert reader.decode(b"\xbf") == [("?", "?")]


@pytest.mark.parametrize("announced", [0, 20])
def test_a_table_that_the_receiver_made_small_knows_less(announced: int) -> None:
    encoder, reader = Encoder(), decoder()
    reader.decode(encoder.encode(SHORT))
    reader.limit_table(announced)
    assert reader.decode(encoder.encode(SHORT)) == [("?", "?")]


def test_a_larger_table_counts_only_when_the_sender_says_so() -> None:
    encoder, reader = Encoder(), decoder()
    reader.limit_table(10_000)
    assert reader.decode(b"\x40\1a\1b") == [("a", "b")]
    encoder.header_table_size = 10_000
    reader.decode(encoder.encode(LONG))
    assert reader.decode(encoder.encode(LONG)) == LONG


@pytest.mark.parametrize(
    "malformed",
    [
        b"\x80",  # index 0
        b"\xff\xff\xff\xff\xff\xff\xff\xff",  # an integer without end
        b"\x40",  # no name
        b"\x40\x05a",  # less name than promised
        b"\x40\1a\x85",  # less value than promised
        b"\0\1a\x81\0",  # no Huffman code
        b"\x82\x20",  # a change of size after a field
    ],
)
def test_a_malformed_block_is_refused_and_what_it_inserted_forgotten(malformed: bytes) -> None:
    reader = decoder()
    expected: Fields = [("a", "b")]
    assert reader.decode(b"\x40\1a\1b") == expected
    assert reader.decode(b"\xbe") == expected
    assert reader.decode(malformed) is None
    assert reader.decode(b"\xbe") == [("?", "?")]


def test_a_block_that_unpacks_beyond_the_limit_is_refused() -> None:
    reader = HeaderBlockDecoder(max_head_bytes=1000)
    assert reader.decode(b"\x88" * 20)
    assert reader.decode(b"\x88" * 30) is None
