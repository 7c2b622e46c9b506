"""What all programs share: the buffer of records, the counters of loss, the processes of AI agents.

The maps are made once, from an object without programs, and lent to each object before it is
loaded. So records of all kinds come in one order, and one reader takes them.
"""

from __future__ import annotations

import contextlib
import platform
import struct
from pathlib import Path
from typing import Literal

from busted import records
from busted.kernel.libbpf import BpfObject, Map, possible_cpus
from busted.kernel.libbpf_ring import LibbpfRing
from busted.kernel.perf_ring import PerfRing
from busted.kernel.ring import Ring
from busted.records import LostPlace, ProcessKey

OBJECTS = Path(__file__).parent / "objects"

Buffer = Literal["ring", "perf"]
RingReader = Ring | LibbpfRing | PerfRing

# The maps of bpf/common.h, and of the header for each kind of buffer.
_COMMON = ("records", "lost", "reader", "agents", "told_processes")
_NAMES = {"ring": _COMMON, "perf": (*_COMMON, "waking_records", "scratches", "claims")}
# Programs that may be half-way on one CPU: SCRATCH_EACH of bpf/perf_buffer.h.
_SCRATCH_EACH = 4


def object_path(name: str, buffer: Buffer = "ring") -> Path:
    """Return the compiled object for this machine. Raises FileNotFoundError with what to do."""
    variant = "" if buffer == "ring" else f".{buffer}"
    path = OBJECTS / f"{name}{variant}.{platform.machine()}.bpf.o"
    if not path.exists():
        raise FileNotFoundError(
            f"{path.name} is missing: build it with `python -m xtask build-ebpf`, "
            "or install a wheel, which carries it"
        )
    return path


def open_ring(ring: Map, reader: Map, size: int) -> Ring | LibbpfRing:
    """Open the ring buffer in the way that is right on this machine; `size` is in bytes."""
    if platform.machine() == "x86_64":
        return Ring(ring.fd, reader.fd, size)
    return LibbpfRing(ring.fd, reader.fd)


def _perf_entries(cpus: int) -> dict[str, int]:
    scratches = cpus * _SCRATCH_EACH
    return {"records": cpus, "waking_records": cpus, "scratches": scratches, "claims": scratches}


class SharedMaps:
    """The maps, and what user space reads from them and writes to them. Raises OSError."""

    def __init__(self, ring_bytes: int, buffer: Buffer = "ring") -> None:
        """Make the maps; `ring_bytes` is a power of two."""
        self._buffer: Buffer = buffer
        self._object = BpfObject(object_path("shared", buffer))
        with contextlib.ExitStack() as opened:
            opened.callback(self._object.close)
            if buffer == "ring":
                self._object.max_entries("records", ring_bytes)
            else:
                for name, entries in _perf_entries(possible_cpus()).items():
                    self._object.max_entries(name, entries)
            self._object.load()
            self._maps = {name: self._object.map(name) for name in _NAMES[buffer]}
            self.ring = self._open_buffer(ring_bytes)
            opened.pop_all()

    def _open_buffer(self, size: int) -> RingReader:
        records, reader = self._maps["records"], self._maps["reader"]
        if self._buffer == "ring":
            return open_ring(records, reader, size)
        return PerfRing(records, self._maps["waking_records"], reader.fd, size)

    def open(self, name: str) -> BpfObject:
        """Open the object of that name, to be configured and loaded, which uses these maps."""
        borrower = BpfObject(object_path(name, self._buffer))
        for borrowed, shared in self._maps.items():
            borrower.borrow(borrowed, shared)
        return borrower

    def name_agent(self, process: ProcessKey, agent_pid: int | None = None) -> None:
        """Tell the kernel side that a process is an AI agent, or belongs to the agent `agent_pid`.

        What it starts from now on does too.
        """
        value = records.AGENT.pack(process.start_ns, agent_pid or process.pid, 0)
        self._maps["agents"].update(struct.pack("<I", process.pid), value)

    def forget_agent(self, process: ProcessKey, executed_ns: int = 0) -> None:
        """Tell the kernel side that a process is no agent's; those that it started are not told.

        It is said of the program that it ran at that time, 0 for the one that it began with: of
        the next one nobody knows yet.
        """
        key = struct.pack("<I", process.pid)
        known = self._maps["agents"].lookup(key)
        if known and records.AGENT.unpack_from(known)[2] == executed_ns:
            self._maps["agents"].delete(key)

    def lost(self) -> dict[LostPlace, int]:
        """Return what the kernel side could not tell us so far, where it is not zero."""
        counts = {}
        for place in LostPlace:
            values = self._maps["lost"].lookup_per_cpu(struct.pack("<I", place))
            total = sum(int.from_bytes(value[:8], "little") for value in values)
            if total:
                counts[place] = total
        return counts

    def close(self) -> None:
        """Unload; to be called when no program uses them any more."""
        self.ring.close()
        self._object.close()
