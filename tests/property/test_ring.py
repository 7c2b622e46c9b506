"""Promises of the ring buffer's reader that hold wherever in the ring the records lie."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from busted.kernel.ring import Ring

SIZE = mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30


class Kernel:
    """The kernel's side of a ring, in plain memory: kernel/bpf/ringbuf.c of Linux."""

    def __init__(self, memory: mmap.mmap, start: int) -> None:
        self.memory, self.position = memory, start
        struct.pack_into("<Q", memory, 0, start)

    def put(self, payload: bytes, flag: int = 0) -> None:
        """Append a record; the caller sees to it that it fits."""
        raw = struct.pack("<II", len(payload) | flag, 0) + payload
        for i, byte in enumerate(raw):
            self.memory[2 * mmap.PAGESIZE + (self.position + i) % SIZE] = byte
        self.position += (len(raw) + 7) & ~7
        struct.pack_into("<Q", self.memory, mmap.PAGESIZE, self.position)


@contextlib.contextmanager
def ring_from(start: int) -> Iterator[tuple[Kernel, Ring]]:
    with contextlib.ExitStack() as opened:
        ring_fd, reader_fd = os.memfd_create("ring"), os.memfd_create("reader")
        for fd, pages in ((ring_fd, 3), (reader_fd, 1)):
            opened.callback(os.close, fd)
            os.ftruncate(fd, pages * mmap.PAGESIZE)
        memory = opened.enter_context(mmap.mmap(ring_fd, 0))
        kernel = Kernel(memory, start)
        yield kernel, opened.enter_context(contextlib.closing(Ring(ring_fd, reader_fd, SIZE)))


starts = st.integers(0, 2 * SIZE // 8).map(lambda words: words * 8)
payloads = st.lists(st.binary(max_size=200), max_size=9)  # all of them fit, twice


@given(starts, payloads)
@example(SIZE - 8, [b"header last, payload first"])
@example(SIZE - 16, [b"12345678", b"ends with the ring"])
def test_records_arrive_whole_and_in_order(start: int, payloads: list[bytes]) -> None:
    with ring_from(start) as (kernel, ring):
        for payload in payloads:
            kernel.put(payload)
        assert ring.read() == payloads
        assert ring.read() == []


@given(starts, payloads, st.binary(max_size=200))
def test_a_discarded_record_is_skipped(start: int, payloads: list[bytes], gone: bytes) -> None:
    with ring_from(start) as (kernel, ring):
        for payload in payloads:
            kernel.put(gone, DISCARDED)
            kernel.put(payload)
            assert ring.read() == [payload]


@given(starts, payloads)
def test_nothing_is_taken_past_a_record_that_is_being_written(
    start: int, payloads: list[bytes]
) -> None:
    with ring_from(start) as (kernel, ring):
        for payload in payloads:
            kernel.put(payload)
        kernel.put(b"unfinished", BUSY)
        kernel.put(b"after")
        assert ring.read() == payloads
        assert ring.read() == []


@given(starts, payloads, st.integers(1, 1000))
def test_batches_of_any_size_give_the_same_records(
    start: int, payloads: list[bytes], max_bytes: int
) -> None:
    with ring_from(start) as (kernel, ring):
        for payload in payloads:
            kernel.put(payload)
        taken = []
        while batch := ring.read(max_bytes):
            taken += batch
        assert taken == payloads
