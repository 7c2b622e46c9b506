import pytest

from busted.protocols.bounded import Bounded


def kept(bounded: Bounded) -> tuple[bytes, bytes, bool, int]:
    return bytes(bounded.head), bounded.tail, bounded.is_cut, bounded.missing


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_head_and_the_end_of_a_long_message_are_kept(size: int) -> None:
    text = bytes(range(100))
    bounded = Bounded(10, 4)
    for begin in range(0, len(text), size):
        bounded.add(text[begin : begin + size])
        assert len(bounded.head) + len(bounded._tail) <= 10 + 2 * 4
    assert kept(bounded) == (text[:10], text[-4:], True, 0)


def test_a_message_as_long_as_the_limit_is_whole() -> None:
    bounded = Bounded(4, 4)
    bounded.add(b"abcd")
    bounded.add(b"")
    assert kept(bounded) == (b"abcd", b"", False, 0)


def test_what_follows_a_gap_is_of_the_tail() -> None:
    bounded = Bounded(10, 4)
    bounded.add(b"abcd")
    bounded.gap(7)
    bounded.add(b"xyz")
    assert kept(bounded) == (b"abcd", b"xyz", True, 7)
