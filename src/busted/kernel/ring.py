"""The ring buffer, read straight from its memory.

The kernel appends records and moves the producer's position, we move the consumer's. The
pages after the positions hold the data. They could be mapped twice in a row, so that a record
which wraps around reads as one piece; but mapped pages count as resident at once, so they are
mapped once and such a record is joined. Reading costs no system call and never gives up the GIL,
which another busy Python thread would then hold for milliseconds; so a call reads a bounded batch.

Waking up is moderated: `arm()` asks the kernel for one wake-up on the next record. Until it
comes the kernel side wakes nobody, and after it the caller reads at intervals until the ring
stays empty, then arms again.

Loads are not ordered on arm64 as they are on x86-64 (a record could be read before its
length), and Python has no barrier: there the batch is read by libbpf.

Layout: kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst of Linux.
"""

from __future__ import annotations

import mmap
import struct

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_LENGTH = _DISCARDED - 1
_HEADER = 8

# What one call reads at most: a few milliseconds of work, so that timers and other file
# descriptors get their turn while a producer is busy; and so little that it is still in the
# processor's cache when it is decoded, which at 4 KB a record saves a third of the time.
MAX_BATCH_BYTES = 512 << 10


class Ring:
    """One ring buffer map and the `reader` map that moderates its wake-ups."""

    def __init__(self, ring_fd: int, reader_fd: int, size: int) -> None:
        """Map the ring; `size` is the map's max_entries in bytes."""
        page = mmap.PAGESIZE
        self.fd = ring_fd
        self._size = size
        self._consumer_page = mmap.mmap(ring_fd, page)
        self._pages = mmap.mmap(ring_fd, page + size, prot=mmap.PROT_READ, offset=page)
        self._reader_page = mmap.mmap(reader_fd, page)
        self._consumer = memoryview(self._consumer_page).cast("Q")
        self._producer = memoryview(self._pages)[:8].cast("Q")
        self._data = memoryview(self._pages)[page:]
        self._waiting = memoryview(self._reader_page)[:8].cast("Q")

    @property
    def fill(self) -> float | None:
        """How much of it waits to be read, from 0 to 1."""
        return float(self._producer[0] - self._consumer[0]) / self._size

    def read(self, max_bytes: int = MAX_BATCH_BYTES) -> list[bytes]:
        """Take the records that are there, in order, at most about `max_bytes` of them."""
        data, size, records = self._data, self._size, []
        mask = size - 1
        length_at = struct.Struct("<I").unpack_from
        start = position = self._consumer[0]
        end = min(self._producer[0], start + max_bytes)
        while position < end:
            offset = position & mask
            (header,) = length_at(data, offset)
            if header & _BUSY:
                break
            length = header & _LENGTH
            if not header & _DISCARDED:
                begin = offset + _HEADER
                stop = begin + length
                raw = bytes(data[begin:stop])
                if stop > size:
                    raw += data[: stop - size]
                records.append(raw)
            position += (length + _HEADER + 7) & ~7
        self._consumer[0] = position
        return records

    def arm(self) -> bool:
        """Ask for a wake-up on the next record; False when there is something to read already."""
        self._waiting[0] = 1
        if self._producer[0] == self._consumer[0]:
            return True
        self._waiting[0] = 0
        return False

    def close(self) -> None:
        """Unmap."""
        for view in (self._consumer, self._producer, self._data, self._waiting):
            view.release()
        for pages in (self._consumer_page, self._pages, self._reader_page):
            pages.close()
