"""The programs that follow processes, loaded: what runs now, and who starts what from now on.

The kernel side reports processes of agents and those that it told of for another reason, and
each exec that holds one of the `words`; see bpf/process.bpf.c.
"""

from __future__ import annotations

from collections.abc import Iterable

from busted import records
from busted.kernel.libbpf import Link
from busted.kernel.shared import SharedMaps
from busted.records import RunningProcess

_PROGRAMS = ("process_exec", "process_fork", "process_exit")
_ITERATOR = "running_processes"


class ProcessPrograms:
    """The loaded object and its links. Raises BpfError when the kernel refuses."""

    def __init__(self, shared: SharedMaps, words: Iterable[str]) -> None:
        """Load and attach; `words` are parts of paths that may mean an agent."""
        self._links: list[Link] = []
        self._object = shared.open("process")
        for program in (*_PROGRAMS, _ITERATOR):
            self._object.autoload(program, True)
        self._object.load()
        self.look_for(words)
        self._links = [self._object.attach(program) for program in _PROGRAMS]

    def look_for(self, words: Iterable[str]) -> None:
        """Also report execs that hold one of these words. Raises BpfError."""
        table = self._object.map("agent_words")
        for word in words:
            table.update(records.hash_word(word.encode()).to_bytes(8, "little"), b"\1")

    def running(self) -> list[RunningProcess]:
        """Return the processes that run now. Raises BpfError."""
        return records.running_processes(self._object.read_iterator(_ITERATOR))

    def detach(self) -> None:
        """Stop following; what the ring holds can still be read."""
        for link in self._links:
            link.close()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()
