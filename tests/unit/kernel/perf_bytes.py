"""A perf buffer as the kernel fills it, made by hand."""

from __future__ import annotations

import mmap
import os
import struct

SIZE = 1 << 14


class Buffer:
    """One CPU's buffer as the kernel fills it."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("perf")
        os.ftruncate(self.fd, mmap.PAGESIZE + SIZE)
        self.head = 0

    def start_at(self, position: int) -> None:
        self.head = position
        os.pwrite(self.fd, struct.pack("<QQ", position, position), 1024)

    def add(self, kind: int, record: bytes) -> None:
        record = struct.pack("<IHH", kind, 0, 8 + len(record)) + record
        start = self.head % SIZE
        os.pwrite(self.fd, record[: SIZE - start], mmap.PAGESIZE + start)
        os.pwrite(self.fd, record[SIZE - start :], mmap.PAGESIZE)
        self.head += len(record)
        os.pwrite(self.fd, struct.pack("<Q", self.head), 1024)

    @property
    def tail(self) -> int:
        (tail,) = struct.unpack("<Q", os.pread(self.fd, 8, 1032))
        return int(tail)
