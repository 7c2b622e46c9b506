"""Reading the buffer of a perf event, over images made by hand."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busted.kernel.perf_events import PerfBuffer
from tests.unit.kernel.perf_bytes import SIZE, Buffer

SAMPLE = 9


@pytest.fixture
def buffer() -> Iterator[Buffer]:
    buffer = Buffer()
    yield buffer
    os.close(buffer.fd)


@pytest.fixture
def reader(buffer: Buffer) -> Iterator[PerfBuffer]:
    reader = PerfBuffer(buffer.fd, SIZE)
    yield reader
    reader.close()


def test_all_that_is_there_is_taken_and_the_kernel_is_told(
    buffer: Buffer, reader: PerfBuffer
) -> None:
    buffer.add(SAMPLE, b"a" * 8)
    buffer.add(SAMPLE, b"b" * 16)
    assert reader.read() == [(SAMPLE, b"a" * 8), (SAMPLE, b"b" * 16)]
    assert reader.found == 40
    assert buffer.tail == buffer.head
    assert reader.empty


def test_a_limit_leaves_the_rest_to_the_next_reads(buffer: Buffer, reader: PerfBuffer) -> None:
    for number in range(6):
        buffer.add(SAMPLE, bytes([number]) * 56)
    assert [len(reader.read(130)) for _ in range(4)] == [2, 2, 2, 0]


@pytest.mark.parametrize("limit", [0, 1, 8, 100])
def test_a_limit_below_the_next_record_takes_that_one(
    buffer: Buffer, reader: PerfBuffer, limit: int
) -> None:
    buffer.start_at(5 * SIZE - 64)
    buffer.add(SAMPLE, b"a" * 120)
    buffer.add(SAMPLE, b"b" * 8)
    assert reader.read(limit) == [(SAMPLE, b"a" * 120)]
    assert reader.read(limit) == [(SAMPLE, b"b" * 8)]


@given(head=st.integers(0, 2 * SIZE), content=st.binary(max_size=300), limit=st.integers(0, 500))
@example(head=128, content=b"\0\0\0\0\0\0y", limit=0)
def test_a_damaged_buffer_is_read_to_an_end(head: int, content: bytes, limit: int) -> None:
    buffer = Buffer()
    os.pwrite(buffer.fd, content, mmap.PAGESIZE)
    os.pwrite(buffer.fd, struct.pack("<Q", min(head, SIZE) & ~7), 1024)
    reader = PerfBuffer(buffer.fd, SIZE)
    try:
        taken = 0
        while not reader.empty:
            taken += sum(len(record) + 8 for _, record in reader.read(limit))
        assert taken <= SIZE
    finally:
        reader.close()
        os.close(buffer.fd)
