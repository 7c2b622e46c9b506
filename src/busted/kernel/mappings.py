"""Tells when any process maps a file executable: a program starts, a library is loaded.

The kernel writes a PERF_RECORD_MMAP2 for each such mapping into one small buffer a CPU. That
costs a process nothing but at the mapping itself; tracing mmap(2) instead would slow down
every system call of the host. Mappings of files seen before are dropped here after one look-up.

Reference: perf_event_open(2); linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path

from busted.kernel.targets import Mapping

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_SOFTWARE, _DUMMY = 1, 9
_ATTRIBUTES = struct.Struct("<IIQQQQQIIQQQQIiQ")  # PERF_ATTR_SIZE_VER4: 104 bytes
_MMAP, _WATERMARK, _MMAP2 = 1 << 8, 1 << 14, 1 << 23
_CLOSE_ON_EXEC = 8
_HEAD, _TAIL = 1024, 1032
_HEADER = struct.Struct("<IHH")
_RECORD_LOST, _RECORD_MMAP2 = 2, 10
_MMAP2_RECORD = struct.Struct("<IIQQQIIQQII")
_LOST_RECORD = struct.Struct("<QQ")

# A small program maps about six files, Python with its extensions sixty, 150 bytes each: room
# for some thirty starts of Python on one CPU between two looks.
BUFFER_BYTES = 256 << 10
# A record with the longest path, PATH_MAX. The kernel tells of one that found no room only with
# the next that does, so a buffer without room for this much may have lost some already.
_MAX_RECORD = 4096 + 128


class MappingWatch:
    """One buffer per CPU; read() drains them all."""

    def __init__(self, buffer_bytes: int = BUFFER_BYTES) -> None:
        """Open the events. Raises OSError without the privilege (CAP_PERFMON)."""
        self.fds: list[int] = []
        self._buffers: list[_Buffer] = []
        self.lost = 0
        self.missed = False
        """Mappings were lost, or may have been; whoever looks at all processes clears it."""
        try:
            for cpu in _online_cpus():
                fd = _open(cpu)
                self.fds.append(fd)
                self._buffers.append(_Buffer(fd, buffer_bytes))
        except OSError:
            self.close()
            raise

    def read(self) -> list[Mapping]:
        """Return the mappings since the last call. `lost` grows by what did not fit."""
        found = []
        for buffer in self._buffers:
            for kind, record in buffer.read():
                if kind == _RECORD_MMAP2:
                    mapping = _mapping(record)
                    if mapping is not None:
                        found.append(mapping)
                elif kind == _RECORD_LOST:
                    self.lost += _LOST_RECORD.unpack_from(record)[1]
                    self.missed = True
            self.missed |= buffer.was_full
        return found

    def close(self) -> None:
        """Stop watching."""
        for buffer in self._buffers:
            buffer.close()
        for fd in self.fds:
            os.close(fd)
        self.fds, self._buffers = [], []


class _Buffer:
    def __init__(self, fd: int, size: int) -> None:
        self._size = size
        self.was_full = False
        self._pages = mmap.mmap(fd, mmap.PAGESIZE + size)
        self._positions = memoryview(self._pages)[_HEAD : _TAIL + 8].cast("Q")

    def read(self) -> Iterator[tuple[int, bytes]]:
        head, tail = self._positions
        self.was_full = head - tail > self._size - _MAX_RECORD
        data = self._copy(tail, head)
        self._positions[1] = head
        offset = 0
        while offset + _HEADER.size <= len(data):
            kind, _, size = _HEADER.unpack_from(data, offset)
            if size < _HEADER.size:
                break
            yield kind, data[offset + _HEADER.size : offset + size]
            offset += size

    def _copy(self, tail: int, head: int) -> bytes:
        start, end = tail % self._size, head % self._size
        page = mmap.PAGESIZE
        if head == tail:
            return b""
        if start < end:
            return self._pages[page + start : page + end]
        return self._pages[page + start : page + self._size] + self._pages[page : page + end]

    def close(self) -> None:
        self._positions.release()
        self._pages.close()


def _mapping(record: bytes) -> Mapping | None:
    pid, _, address, length, _, major, minor, inode, *_ = _MMAP2_RECORD.unpack_from(record)
    path = os.fsdecode(record[_MMAP2_RECORD.size :].split(b"\0", 1)[0])
    if not inode or not path.startswith("/"):
        return None  # memory without a file, the vdso
    span = f"{address:x}-{address + length:x}"
    return Mapping(pid, span, f"{major:02x}:{minor:02x}", inode, path)


def _online_cpus() -> Iterator[int]:
    # "0-3,8" as in Documentation/admin-guide/cputopology.rst
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _open(cpu: int) -> int:
    size = _ATTRIBUTES.size
    attributes = _ATTRIBUTES.pack(
        _SOFTWARE, size, _DUMMY, 0, 0, 0, _MMAP | _MMAP2 | _WATERMARK, 1, 0, *[0] * 7
    )
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(
        _SYSCALL[platform.machine()], attributes, -1, cpu, -1, ctypes.c_ulong(_CLOSE_ON_EXEC)
    )
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"watching for new mappings: {os.strerror(number)}")
    return fd
