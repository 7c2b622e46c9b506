"""What all programs share: the ring buffer, the counters of loss, the processes of AI agents.

The maps are made once, from an object without programs, and lent to each object before it is
loaded. So records of all kinds come in one order, and one reader takes them.
"""

from __future__ import annotations

import platform
import struct
from pathlib import Path

from busted import records
from busted.kernel.libbpf import BpfObject, Map
from busted.kernel.libbpf_ring import LibbpfRing
from busted.kernel.ring import Ring
from busted.records import LostPlace, ProcessKey

OBJECTS = Path(__file__).parent / "objects"

# The maps of bpf/common.h.
_NAMES = ("records", "lost", "reader", "agents", "told_processes")


def object_path(name: str) -> Path:
    """Return the compiled object for this machine. Raises FileNotFoundError with what to do."""
    path = OBJECTS / f"{name}.{platform.machine()}.bpf.o"
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


class SharedMaps:
    """The maps, and what user space reads from them and writes to them. Raises BpfError."""

    def __init__(self, ring_bytes: int) -> None:
        """Make the maps; `ring_bytes` is a power of two."""
        self._object = BpfObject(object_path("shared"))
        self._object.max_entries("records", ring_bytes)
        self._object.load()
        self._maps = {name: self._object.map(name) for name in _NAMES}
        self.ring = open_ring(self._maps["records"], self._maps["reader"], ring_bytes)

    def lend(self, borrower: BpfObject) -> None:
        """Let an object use these maps; to be called before it is loaded."""
        for name, shared in self._maps.items():
            borrower.borrow(name, shared)

    def name_agent(self, process: ProcessKey, agent_pid: int | None = None) -> None:
        """Tell the kernel side that a process is an AI agent, or belongs to the agent `agent_pid`.

        What it starts from now on does too.
        """
        value = records.AGENT.pack(process.start_ns, agent_pid or process.pid)
        self._maps["agents"].update(struct.pack("<I", process.pid), value)

    def forget_agent(self, process: ProcessKey) -> None:
        """Tell the kernel side that a process is no agent's; those that it started are not told."""
        self._maps["agents"].delete(struct.pack("<I", process.pid))

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
