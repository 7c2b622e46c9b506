"""Tells when any process maps a file executable: a program starts, a library is loaded.

The kernel writes a PERF_RECORD_MMAP2 for each such mapping into one small buffer a CPU. That
costs a process nothing but at the mapping itself; tracing mmap(2) instead would slow down
every system call of the host. Mappings of files seen before are dropped here after one look-up.

Reference: perf_event_open(2); linux/perf_event.h.
"""

from __future__ import annotations

import os
import struct

from busted.kernel.perf_events import (
    LOST_RECORD,
    RECORD_LOST,
    RECORD_MMAP2,
    WATERMARK,
    PerfBuffer,
    online_cpus,
    open_event,
)
from busted.kernel.targets import Mapping

_DUMMY = 9  # PERF_COUNT_SW_DUMMY: an event that counts nothing
_MMAP, _MMAP2 = 1 << 8, 1 << 23
_MMAP2_RECORD = struct.Struct("<IIQQQIIQQII")

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
        self._buffers: list[PerfBuffer] = []
        self._buffer_bytes = buffer_bytes
        self.lost = 0
        self.missed = False
        """Mappings were lost, or may have been; whoever looks at all processes clears it."""
        try:
            for cpu in online_cpus():
                fd = open_event(cpu, _DUMMY, flags=_MMAP | _MMAP2 | WATERMARK)
                self.fds.append(fd)
                self._buffers.append(PerfBuffer(fd, buffer_bytes))
        except OSError:
            self.close()
            raise

    def read(self) -> list[Mapping]:
        """Return the mappings since the last call. `lost` grows by what did not fit."""
        found = []
        for buffer in self._buffers:
            for kind, record in buffer.read():
                if kind == RECORD_MMAP2:
                    mapping = _mapping(record)
                    if mapping is not None:
                        found.append(mapping)
                elif kind == RECORD_LOST:
                    self.lost += LOST_RECORD.unpack_from(record)[1]
                    self.missed = True
            self.missed |= buffer.found > self._buffer_bytes - _MAX_RECORD
        return found

    def close(self) -> None:
        """Stop watching."""
        for buffer in self._buffers:
            buffer.close()
        for fd in self.fds:
            os.close(fd)
        self.fds, self._buffers = [], []


def _mapping(record: bytes) -> Mapping | None:
    pid, _, address, length, _, major, minor, inode, *_ = _MMAP2_RECORD.unpack_from(record)
    path = os.fsdecode(record[_MMAP2_RECORD.size :].split(b"\0", 1)[0])
    if not inode or not path.startswith("/"):
        return None  # memory without a file, the vdso
    span = f"{address:x}-{address + length:x}"
    return Mapping(pid, span, f"{major:02x}:{minor:02x}", inode, path)
