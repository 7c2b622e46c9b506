"""Perf buffers, one a CPU, read as one: for kernels without a ring buffer.

A thread moves between CPUs, so what belongs together lies in several buffers. Records are told
by time, and a record is held back until all that may come before it is here: `read()` looks at
the clock first, then at the buffers, and gives what was stamped before that. What a call of a
library reports was submitted before the next call on the same connection is stamped; so when the
second is given, the first was in its buffer when we looked. Records of programs that ran at the
same time have no order, and get one by time.

What found no room is counted where the record is submitted; PERF_RECORD_LOST tells the same again.

A program wakes us the way it does with a ring buffer: each CPU has two events that write into the
same buffer, one of which wakes the reader.

Reference: perf_event_open(2), PERF_EVENT_IOC_SET_OUTPUT; kernel/events/ring_buffer.c of Linux.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select
import struct
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

from busted.kernel.libbpf import Map
from busted.kernel.perf_events import RECORD_SAMPLE, WATERMARK, PerfBuffer, online_cpus, open_event
from busted.kernel.ring import MAX_BATCH_BYTES
from busted.records import TIME_OFFSET

_BPF_OUTPUT = 10  # PERF_COUNT_SW_BPF_OUTPUT
_SAMPLE_RAW = 1 << 10
_SET_OUTPUT = 0x2405  # PERF_EVENT_IOC_SET_OUTPUT

# The fields of `struct reader` in bpf/common.h.
_WAITING, _QUARTERS = 0, 1

_length = struct.Struct("<I")
_time = struct.Struct("<Q")

# Three of the largest records: less would lose whole calls on a quiet host.
MIN_BYTES_EACH = 64 << 10


def bytes_each(size: int, cpus: int) -> int:
    """Return the size of one CPU's buffer, of `size` bytes for all: a power of two."""
    return max(MIN_BYTES_EACH, 1 << (size // cpus).bit_length() - 1)


class MergedBuffers:
    """The buffers of all CPUs read as one, in the order that the module's docstring promises."""

    def __init__(
        self, buffers: Sequence[PerfBuffer], clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Read from `buffers`; `clock` is the one that stamps records, in nanoseconds."""
        self._buffers, self._clock = buffers, clock
        self._held: list[tuple[int, bytes]] = []
        self.quarters = 0
        """How many quarters of a buffer, the fullest, were full at the last read."""

    @property
    def empty(self) -> bool:
        """True when there is nothing to read, now or in a moment."""
        return not self._held and all(buffer.empty for buffer in self._buffers)

    def read(self, max_bytes: int) -> list[bytes]:
        """Take the records whose turn it is, in order, at most about `max_bytes` of them."""
        until = self._clock()
        busy = [buffer for buffer in self._buffers if not buffer.empty]
        found = self._held
        self.quarters = 0
        for buffer in busy:
            time_ns = 0
            for kind, sample in buffer.read(max_bytes // len(busy)):
                if kind == RECORD_SAMPLE:
                    (length,) = _length.unpack_from(sample)
                    raw = sample[_length.size : _length.size + length]
                    (time_ns,) = _time.unpack_from(raw, TIME_OFFSET)
                    found.append((time_ns, raw))
            self.quarters = max(self.quarters, 4 * buffer.found // buffer.size)
            if buffer.rest:
                # What it still has was submitted after this one was stamped.
                until = min(until, time_ns)
        found.sort(key=_stamp)
        turn = bisect_right(found, until, key=_stamp)
        self._held = found[turn:]
        return [raw for _, raw in found[:turn]]


class PerfRing:
    """The same interface as `busted.kernel.ring.Ring`."""

    def __init__(
        self,
        records: Map,
        waking_records: Map,
        reader_fd: int,
        size: int,
    ) -> None:
        """Open the events and put them into the maps; `size` is for all CPUs together.

        A CPU that is switched on later has no buffer: what happens there is counted as lost.
        """
        buffers = []
        with contextlib.ExitStack() as opened:
            events = opened.enter_context(select.epoll())
            self.fd = events.fileno()
            cpus = list(online_cpus())
            each = bytes_each(size, len(cpus))
            for cpu in cpus:
                # It wakes as well when the buffer is half full.
                event = _event(cpu, flags=WATERMARK, wakeup=each // 2)
                opened.callback(os.close, event)
                buffer = opened.enter_context(contextlib.closing(PerfBuffer(event, each)))
                buffers.append(buffer)
                waking = _event(cpu)
                opened.callback(os.close, waking)
                fcntl.ioctl(waking, _SET_OUTPUT, event)
                records.update(struct.pack("<I", cpu), struct.pack("<I", event))
                waking_records.update(struct.pack("<I", cpu), struct.pack("<I", waking))
                events.register(event, select.EPOLLIN)
            page = opened.enter_context(contextlib.closing(mmap.mmap(reader_fd, mmap.PAGESIZE)))
            self._reader = opened.enter_context(memoryview(page)[:16].cast("Q"))
            self._merged = MergedBuffers(buffers)
            self._open = opened.pop_all()

    @property
    def fill(self) -> float | None:
        """How much of the fullest buffer waited at the last read, in quarters."""
        return self._merged.quarters / 4

    def read(self, max_bytes: int = MAX_BATCH_BYTES) -> list[bytes]:
        """Take the records whose turn it is, in order, at most about `max_bytes` of them."""
        records = self._merged.read(max_bytes)
        self._reader[_QUARTERS] = self._merged.quarters
        return records

    def arm(self) -> bool:
        """Ask for a wake-up on the next record; False when there is something to read already."""
        self._reader[_WAITING] = 1
        if self._merged.empty:
            return True
        self._reader[_WAITING] = 0
        return False

    def close(self) -> None:
        """Close the events; what is in the buffers is gone."""
        self._open.close()


def _event(cpu: int, *, flags: int = 0, wakeup: int = 1) -> int:
    return open_event(cpu, _BPF_OUTPUT, period=1, sample=_SAMPLE_RAW, flags=flags, wakeup=wakeup)


def _stamp(record: tuple[int, bytes]) -> int:
    return record[0]
