"""Perf events that write into a buffer of one CPU, and that buffer read from its memory.

The kernel appends records and moves the head; we move the tail. A record that found no room is
dropped, and the kernel tells of it with the next that does.

Reference: perf_event_open(2); linux/perf_event.h. Python has no barrier, so a record is read
after the head that covers it only where the processor keeps loads in order (x86-64).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path

# struct perf_event_attr up to PERF_ATTR_SIZE_VER4: type, size, config, sample_period,
# sample_type, read_format, flags, wakeup_events or wakeup_watermark, and what we leave out.
_ATTRIBUTES = struct.Struct("<IIQQQQQIIQQQQIiQ")
SOFTWARE = 1
WATERMARK = 1 << 14

RECORD_LOST, RECORD_SAMPLE, RECORD_MMAP2 = 2, 9, 10
LOST_RECORD = struct.Struct("<QQ")

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_CLOSE_ON_EXEC = 8
_HEAD, _TAIL = 1024, 1032
_HEADER = struct.Struct("<IHH")


def online_cpus() -> Iterator[int]:
    """Yield the numbers of the CPUs that run."""
    # "0-3,8" as in Documentation/admin-guide/cputopology.rst
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def open_event(
    cpu: int, config: int, *, period: int = 0, sample: int = 0, flags: int = 0, wakeup: int = 1
) -> int:
    """Open a software event of all processes on one CPU. Raises OSError without CAP_PERFMON.

    `wakeup` counts records, or with the flag WATERMARK bytes.
    """
    attributes = _ATTRIBUTES.pack(
        SOFTWARE, _ATTRIBUTES.size, config, period, sample, 0, flags, wakeup, 0, *[0] * 7
    )
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(
        _SYSCALL[platform.machine()], attributes, -1, cpu, -1, ctypes.c_ulong(_CLOSE_ON_EXEC)
    )
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"perf event on CPU {cpu}: {os.strerror(number)}")
    return fd


class PerfBuffer:
    """The buffer of one event; `size` is a power of two, in bytes."""

    def __init__(self, fd: int, size: int) -> None:
        """Map it. Raises OSError."""
        self.size = size
        self.found, self.rest = 0, False
        self._pages = mmap.mmap(fd, mmap.PAGESIZE + size)
        self._positions = memoryview(self._pages)[_HEAD : _TAIL + 8].cast("Q")

    @property
    def empty(self) -> bool:
        """True when there is nothing to read."""
        return self._positions[0] == self._positions[1]

    def read(self, max_bytes: int | None = None) -> list[tuple[int, bytes]]:
        """Take what is there, or about `max_bytes` of it: kind and content of each record.

        `found` then says how many bytes there were, and `rest` whether some of them were left. At
        least one record is taken, if there is one.
        """
        head, tail = self._positions
        self.found = head - tail
        # Records are multiples of 8 bytes, so a header is never cut.
        wanted = self.found if max_bytes is None else max(_HEADER.size, max_bytes & ~7)
        data = self._copy(tail, min(head, tail + wanted))
        offset = 0
        records: list[tuple[int, bytes]] = []
        while offset < len(data):
            kind, _, size = _HEADER.unpack_from(data, offset)
            if size % _HEADER.size or not _HEADER.size <= size <= self.found - offset:
                offset = self.found  # no record: where the next one begins cannot be known
                break
            if offset + size > len(data):
                if records:
                    break
                data = self._copy(tail, tail + size)
            records.append((kind, data[offset + _HEADER.size : offset + size]))
            offset += size
        self._positions[1] = tail + offset
        self.rest = offset < self.found
        return records

    def _copy(self, begin: int, end: int) -> bytes:
        length, start = end - begin, begin % self.size
        page = mmap.PAGESIZE
        first = min(length, self.size - start)
        data = self._pages[page + start : page + start + first]
        return data + self._pages[page : page + length - first] if first < length else data

    def close(self) -> None:
        """Unmap."""
        self._positions.release()
        self._pages.close()
