"""Reading a ring buffer from its memory, over an image made by hand."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.kernel.ring import Ring

SIZE = 1 << 12
PAGE = mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30


class Image:
    """The memory of a ring as the kernel keeps it, and a reader of it."""

    def __init__(self) -> None:
        self._ring, self._reader = os.memfd_create("ring"), os.memfd_create("reader")
        os.ftruncate(self._ring, 2 * PAGE + 2 * SIZE)
        os.ftruncate(self._reader, PAGE)
        self._produced = 0
        self.ring = Ring(self._ring, self._reader, SIZE)

    def close(self) -> None:
        self.ring.close()
        os.close(self._ring)
        os.close(self._reader)

    def start_at(self, position: int) -> None:
        self._produced = position
        os.pwrite(self._ring, struct.pack("<Q", position), 0)
        os.pwrite(self._ring, struct.pack("<Q", position), PAGE)

    def add(self, data: bytes, flags: int = 0) -> int:
        """Append a record and return its place."""
        place = self._produced
        record = struct.pack("<II", len(data) | flags, 0) + data
        record = record.ljust((len(record) + 7) & ~7, b"\xee")
        for number, byte in enumerate(record):
            at = (place + number) % SIZE
            # The data pages are mapped twice in a row.
            os.pwrite(self._ring, bytes([byte]), 2 * PAGE + at)
            os.pwrite(self._ring, bytes([byte]), 2 * PAGE + SIZE + at)
        self._produced += len(record)
        os.pwrite(self._ring, struct.pack("<Q", self._produced), PAGE)
        return place

    def commit(self, place: int, length: int) -> None:
        for copy in (0, SIZE):
            os.pwrite(self._ring, struct.pack("<I", length), 2 * PAGE + copy + place % SIZE)

    @property
    def consumed(self) -> int:
        (position,) = struct.unpack("<Q", os.pread(self._ring, 8, 0))
        return int(position)

    @property
    def produced(self) -> int:
        return self._produced

    @property
    def waiting(self) -> bool:
        return os.pread(self._reader, 8, 0) != bytes(8)


@pytest.fixture
def image() -> Iterator[Image]:
    image = Image()
    yield image
    image.close()


def test_an_empty_ring_gives_nothing(image: Image) -> None:
    assert image.ring.read() == []


def test_records_come_once_in_order_and_whole(image: Image) -> None:
    records = [b"", b"a", b"12345678", b"123456789", b"x" * 1000]
    for record in records:
        image.add(record)
    assert image.ring.read() == records
    assert image.ring.read() == []


def test_the_kernel_is_told_what_was_taken(image: Image) -> None:
    image.add(b"abc")
    image.ring.read()
    assert image.consumed == image.produced == 16


@pytest.mark.parametrize("before_the_end", [8, 16, 104])
def test_a_record_that_wraps_around_reads_as_one(image: Image, before_the_end: int) -> None:
    image.start_at(5 * SIZE - before_the_end)
    data = bytes(range(100))
    image.add(data)
    image.add(b"next")
    assert image.ring.read() == [data, b"next"]


def test_positions_beyond_32_bits_are_followed(image: Image) -> None:
    image.start_at((1 << 40) + 8)
    image.add(b"late")
    assert image.ring.read() == [b"late"]


def test_a_record_still_being_written_is_waited_for(image: Image) -> None:
    image.add(b"first")
    place = image.add(b"busy", BUSY)
    image.add(b"third")
    assert image.ring.read() == [b"first"]
    assert image.ring.read() == []
    image.commit(place, 4)
    assert image.ring.read() == [b"busy", b"third"]


def test_discarded_records_are_skipped(image: Image) -> None:
    image.add(b"discarded", DISCARDED)
    image.add(b"kept")
    image.add(b"discarded", DISCARDED)
    assert image.ring.read() == [b"kept"]
    assert image.consumed == image.produced


def test_a_batch_is_bounded_and_the_rest_comes_next(image: Image) -> None:
    for number in range(10):
        image.add(b"%d" % number * 92)  # 100 bytes with the header, 104 in the ring
    batches = []
    while batch := image.ring.read(max_bytes=208):
        batches.append(batch)
    assert [len(batch) for batch in batches] == [2] * 5
    assert b"".join(map(b"".join, batches)) == b"".join(b"%d" % n * 92 for n in range(10))


def test_a_record_larger_than_a_batch_still_comes(image: Image) -> None:
    image.add(b"x" * 1000)
    assert image.ring.read(max_bytes=1) == [b"x" * 1000]


def test_records_are_copies_that_outlive_the_ring(image: Image) -> None:
    image.add(b"first")
    (record,) = image.ring.read()
    image.start_at(0)
    image.add(b"other")
    assert record == b"first"


def test_arming_asks_for_a_wake_up_only_when_there_is_nothing_to_read(image: Image) -> None:
    assert image.ring.arm()
    assert image.waiting
    image.add(b"came")
    assert not image.ring.arm()
    assert not image.waiting
    image.ring.read()
    assert image.ring.arm()


@given(
    st.lists(st.tuples(st.binary(max_size=60), st.booleans()), max_size=40),
    st.integers(0, 3 * SIZE // 8).map(lambda words: words * 8),
    st.integers(1, 400),
)
def test_whatever_the_sizes_and_batches_all_records_come(
    records: list[tuple[bytes, bool]], start: int, max_bytes: int
) -> None:
    image = Image()
    try:
        image.start_at(start)
        for data, discarded in records:
            image.add(data, DISCARDED if discarded else 0)
        seen: list[bytes] = []
        while image.consumed < image.produced:
            seen += image.ring.read(max_bytes)
        assert seen == [data for data, discarded in records if not discarded]
    finally:
        image.close()
