"""The programs that read standard input and output, loaded; see bpf/stdio.bpf.c.

Who begins with an input and output of interest is always seen. What is moved through them is seen
from `watch` on, which costs every system call of the host something, and no more once `rest` finds
that nobody is left.
"""

from __future__ import annotations

import os
import struct

from busted import records
from busted.kernel.libbpf import Link
from busted.kernel.programs import TlsPrograms
from busted.kernel.shared import SharedMaps
from busted.records import ProcessKey

_ALWAYS = ("stdio_exec", "stdio_exit")
_CALLS = "stdio_call_done"
_ITERATOR = "stdio_running"
# Agents start tools one after the other: attaching for each would take longer than they do.
REST_NS = 30 * 1_000_000_000


class StdioPrograms:
    """The loaded object and its links. Raises BpfError when the kernel refuses."""

    def __init__(
        self, shared: SharedMaps, tls: TlsPrograms, *, max_call_bytes: int, all: bool = False
    ) -> None:
        """Load and attach; `tls` is told what connections are muted, for these, too.

        `all` processes are of interest, not those of agents, those chosen and MCP servers alone.
        """
        self._links: list[Link] = []
        self._calls: Link | None = None
        self._used_ns = 0
        self._object = shared.open("stdio")
        try:
            tls.lend(self._object)
            self._object.autoload(_CALLS, True)
            self._object.settings(records.STDIO_SETTINGS.pack(max_call_bytes, os.getpid(), all))
            self._object.load()
            self._links += [self._object.attach(program) for program in _ALWAYS]
        except OSError:
            self.close()
            raise

    def choose(self, process: ProcessKey) -> None:
        """Have a process count as of interest, and what it starts. Raises BpfError."""
        key, value = struct.pack("<I", process.pid), struct.pack("<Q", process.start_ns)
        self._object.map("chosen_processes").update(key, value)

    def look_around(self) -> int:
        """Find those of interest that run already, and return how many there are."""
        return len(self._object.read_iterator(_ITERATOR))

    def watch(self, now_ns: int) -> None:
        """See from now on what is moved. Raises BpfError."""
        self._used_ns = now_ns
        if self._calls is None:
            self._calls = self._object.attach(_CALLS)

    def rest(self, now_ns: int) -> None:
        """See no more of what is moved, if there was nobody to look at for `REST_NS`."""
        if self._calls is None:
            return
        if not self._object.map("stdio_processes").is_empty:
            self._used_ns = now_ns
        elif now_ns - self._used_ns > REST_NS:
            self._calls.close()
            self._calls = None

    @property
    def is_watching(self) -> bool:
        """Whether system calls are looked at."""
        return self._calls is not None

    def detach(self) -> None:
        """Remove the programs; what the ring holds can still be read."""
        if self._calls is not None:
            self._calls.close()
            self._calls = None
        for link in self._links:
            link.close()
        self._links.clear()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()
