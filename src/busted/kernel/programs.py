"""The TLS programs, loaded: attach them to targets, read what they say, tell them what to mute.

There are three ways to attach a uprobe, best first: a session (entry and return in one, and
no return probe for a muted call), a multi link (quick to attach and detach, and content with
CAP_BPF and CAP_PERFMON), a perf event (every kernel; a tenth of a second to detach). They
differ in how the programs are loaded, so the choice is made once.
"""

from __future__ import annotations

import contextlib
import os
import platform
import struct
from pathlib import Path
from typing import Literal

from busted import records
from busted.kernel.features import Features
from busted.kernel.libbpf import (
    TRACE_UPROBE_MULTI,
    TRACE_UPROBE_SESSION,
    BpfError,
    BpfObject,
    Link,
    Map,
)
from busted.kernel.libbpf_ring import LibbpfRing
from busted.kernel.places import FUNCTIONS, Place
from busted.kernel.ring import Ring
from busted.kernel.targets import Target
from busted.records import ConnectionKey, LostPlace, Verdict

OBJECTS = Path(__file__).parent / "objects"

Way = Literal["session", "multi", "perf"]

_RETURN_PROGRAM = "tls_return"
_SESSION_SUFFIX = "_session"


def best_way(features: Features) -> Way:
    """Return the best way to attach that the kernel offers."""
    if features.has("session uprobe"):
        return "session"
    return "multi" if features.has("multi uprobe") else "perf"


def object_path(name: str = "tls") -> Path:
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


class TlsPrograms:
    """The loaded object and its links. Raises BpfError when the kernel refuses."""

    def __init__(
        self, way: Way, *, ring_bytes: int, max_call_bytes: int, object_file: Path | None = None
    ) -> None:
        """Load. `ring_bytes` is a power of two; `max_call_bytes` bounds what one call reports."""
        self._way = way
        self._links: dict[int, list[Link]] = {}
        self._object = BpfObject(object_file or object_path())
        for program, at_return in FUNCTIONS.values():
            self._choose(program, at_return)
        if way != "session":
            self._choose(_RETURN_PROGRAM, False)
        self._object.max_entries("records", ring_bytes)
        self._object.settings(records.SETTINGS.pack(max_call_bytes, os.getpid()))
        self._object.load()
        self._lost = self._object.map("lost")
        self._verdicts = self._object.map("verdicts")
        self.ring = open_ring(self._object.map("records"), self._object.map("reader"), ring_bytes)
        self._exits = self._object.attach("process_exit")

    def _choose(self, program: str, at_return: bool) -> None:
        if self._way == "session" and at_return:
            self._object.autoload(program + _SESSION_SUFFIX, True)
            self._object.attach_type(program + _SESSION_SUFFIX, TRACE_UPROBE_SESSION)
            return
        self._object.autoload(program, True)
        if self._way != "perf":
            self._object.attach_type(program, TRACE_UPROBE_MULTI)

    def attach(self, target: Target, cookie: int) -> None:
        """Probe a file in every process that maps it; `cookie` comes back in its records.

        A cookie is used once. All or nothing. Raises BpfError.
        """
        path = f"/proc/self/fd/{target.fd}"
        with contextlib.ExitStack() as undo:
            links = []
            for place in target.places:
                for link in self._attach(path, place, cookie):
                    undo.callback(link.close)
                    links.append(link)
            undo.pop_all()
        self._links[cookie] = links

    def detach_target(self, cookie: int) -> None:
        """Remove the probes of a file; with perf events that takes about a second."""
        for link in self._links.pop(cookie, []):
            with contextlib.suppress(BpfError, OSError):
                link.close()

    def _attach(self, path: str, place: Place, cookie: int) -> list[Link]:
        attach = self._object.attach_uprobe_multi
        program, offset = place.program, place.offset
        if self._way == "perf":
            entry = [self._object.attach_uprobe(program, path, offset, cookie=cookie)]
            if place.at_return:
                entry.append(
                    self._object.attach_uprobe(
                        _RETURN_PROGRAM, path, offset, at_return=True, cookie=cookie
                    )
                )
            return entry
        if not place.at_return:
            return [attach(program, path, [offset], cookie=cookie)]
        if self._way == "session":
            name = program + _SESSION_SUFFIX
            kind = TRACE_UPROBE_SESSION
            return [attach(name, path, [offset], attach_type=kind, cookie=cookie)]
        # The return probe first: an entry without its return would leave a call remembered.
        return [
            attach(_RETURN_PROGRAM, path, [offset], at_return=True, cookie=cookie),
            attach(program, path, [offset], cookie=cookie),
        ]

    def mute(self, key: ConnectionKey) -> None:
        """Tell the kernel that a connection is of no interest. Raises BpfError."""
        self._verdicts.update(
            records.CONNECTION_ID.pack(key.connection, key.pid),
            records.JUDGEMENT.pack(key.since_ns, Verdict.MUTED),
        )

    def lost(self) -> dict[LostPlace, int]:
        """Return what the kernel side could not tell us so far, where it is not zero."""
        counts = {}
        for place in LostPlace:
            values = self._lost.lookup_per_cpu(struct.pack("<I", place))
            total = sum(int.from_bytes(value[:8], "little") for value in values)
            if total:
                counts[place] = total
        return counts

    def detach(self) -> None:
        """Remove all probes; what the ring holds can still be read."""
        for cookie in list(self._links):
            self.detach_target(cookie)
        self._exits.close()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self.ring.close()
        self._object.close()
