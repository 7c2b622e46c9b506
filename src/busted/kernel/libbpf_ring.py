"""The ring buffer, read by libbpf: slower than `busted.kernel.ring`, and right on arm64.

There a processor may load a record before the length that says it is there; libbpf has the
barriers that Python lacks. It calls us once a record.
"""

from __future__ import annotations

import ctypes
import mmap

from busted.kernel.libbpf import BpfError, load_library
from busted.kernel.ring import MAX_BATCH_BYTES

_SAMPLE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class LibbpfRing:
    """The same interface as `busted.kernel.ring.Ring`."""

    def __init__(self, ring_fd: int, reader_fd: int) -> None:
        """Open the ring. Raises BpfError."""
        self.fd = ring_fd
        self._library = load_library()
        self._records: list[bytes] = []
        self._room = 0
        self._callback = _SAMPLE(self._sample)  # libbpf keeps the pointer, we the object
        self._ring = self._library.ring_buffer__new(ring_fd, self._callback, None, None)
        if not self._ring:
            raise BpfError("reading the ring buffer", ctypes.get_errno())
        self._reader_page = mmap.mmap(reader_fd, mmap.PAGESIZE)
        self._waiting = memoryview(self._reader_page)[:8].cast("Q")

    def _sample(self, _context: int, data: int, size: int) -> int:
        self._records.append(ctypes.string_at(data, size))
        self._room -= size
        return 0 if self._room > 0 else -1  # -1: taken, and no more for now

    @property
    def fill(self) -> float | None:
        """None: libbpf does not tell how much waits."""
        return None

    def read(self, max_bytes: int = MAX_BATCH_BYTES) -> list[bytes]:
        """Take the records that are there, in order, at most about `max_bytes` of them."""
        self._room = max_bytes
        if not self._records:
            self._library.ring_buffer__consume(self._ring)
        records, self._records = self._records, []
        return records

    def arm(self) -> bool:
        """Ask for a wake-up on the next record; False when there is something to read already."""
        self._waiting[0] = 1
        self._records = self.read()
        if not self._records:
            return True
        self._waiting[0] = 0
        return False

    def close(self) -> None:
        """Release the ring."""
        self._library.ring_buffer__free(self._ring)
        self._waiting.release()
        self._reader_page.close()
