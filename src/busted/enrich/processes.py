"""What is known of a process: its executable, arguments and build id.

A process is looked at in /proc when its first record comes, since it may be gone when its event
is finished, and its facts are kept after it ended, for events that come late. Where it is gone by
then, what it runs is what it said of itself to the kernel side. A pid counts only
together with its start time, so a recycled one never lends its facts to an older event.

A process that executes another program has other facts from then on, and events of before keep
the old ones. What it executes the kernel tells; /proc adds the path and build id of what really
runs, an interpreter where a script is executed, if it still runs that file when it is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from busted.events import Event

# Some hosts start thousands of processes a minute; only those that use TLS come here.
MAX_PROCESSES = 4096
# A launcher executes another, that a shell, and so on; the last few are what events can be of.
MAX_EXECS = 8
# Longer command lines are cut between arguments: their heads say what runs, and ARG_MAX is
# megabytes.
MAX_ARGV_BYTES = 4096

# Both tell the same moment, /proc in clock ticks of 10 ms (USER_HZ, proc(5)).
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class ProcessFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found out about one process; times as in its events.

    `since` is when it executed the program that this is about; empty: before it was looked at.
    """

    pid: int
    start_time: str
    exe: str | None = None
    argv: tuple[str, ...] = ()
    build_id: str | None = None
    since: str = ""
    pid_in_namespace: int | None = None


class Processes:
    """The facts by process; calling it with an event fills in what is known."""

    def __init__(
        self,
        build_id: Callable[[Path], str | None],
        proc: Path = Path("/proc"),
        max_processes: int = MAX_PROCESSES,
    ) -> None:
        """`build_id` reads one from an executable, or says None."""
        self._build_id, self._proc, self._max = build_id, proc, max_processes
        self._facts: dict[tuple[int, str], tuple[ProcessFacts, ...]] = {}
        self._ended: dict[tuple[int, str], None] = {}

    def look(self, pid: int, start_ns: int, start_time: str) -> ProcessFacts | None:
        """Read /proc for a process; None when it was looked at before.

        `start_ns` is the start in nanoseconds since boot, `start_time` what its events call it.
        """
        if (pid, start_time) in self._facts:
            return None
        facts = self.read(pid, start_ns, start_time)
        self.learn(facts)
        return facts

    def executed(self, told: ProcessFacts, inode: int) -> ProcessFacts:
        """Take what the kernel told of an exec, with what /proc adds where it has that `inode`."""
        exe = self._proc / str(told.pid) / "exe"
        try:
            if os.stat(exe).st_ino == inode:
                path = _text(os.fsencode(os.readlink(exe)))
                inner = _inner_pid((exe.parent / "status").read_bytes())
                told = replace(told, exe=path, build_id=self._build_id(exe), pid_in_namespace=inner)
        except OSError:
            pass  # it has ended, as most commands have by now
        self.learn(told)
        return told

    def runs(self, told: ProcessFacts, start_ns: int, inode: int) -> ProcessFacts | None:
        """Read /proc for a process, and take what it told of itself where that has gone.

        None when more than that is known. The executable is the one of that `inode`.
        """
        known = self._facts.get((told.pid, told.start_time))
        if known and known[-1].exe is not None:
            return None
        facts = self.read(told.pid, start_ns, told.start_time)
        if facts.build_id is None or not facts.argv:
            # It is gone, or went while it was read.
            said = self._by_path(told, inode)
            facts = replace(
                facts,
                exe=facts.exe or said.exe,
                argv=facts.argv or said.argv,
                build_id=facts.build_id or said.build_id,
            )
        self.learn(facts)
        return facts

    def _by_path(self, told: ProcessFacts, inode: int) -> ProcessFacts:
        try:
            if told.exe and os.path.isabs(told.exe) and os.stat(told.exe).st_ino == inode:
                path = os.path.realpath(told.exe)
                return replace(told, exe=path, build_id=self._build_id(Path(path)))
        except (OSError, ValueError):
            pass  # it is in a container, or was removed
        return told

    def learn(self, facts: ProcessFacts) -> None:
        """Take facts, from here or from a recording; they end those of before."""
        key = facts.pid, facts.start_time
        before = self._facts.get(key, ()) if facts.since else ()
        self._facts[key] = (*before, facts)[-MAX_EXECS:]
        if len(self._facts) > self._max:
            oldest = next(iter(self._ended or self._facts))
            self._ended.pop(oldest, None)
            del self._facts[oldest]

    def ended(self, pid: int, start_time: str) -> None:
        """Take the end of a process: its facts are the first that make room for others."""
        if (pid, start_time) in self._facts:
            self._ended[pid, start_time] = None

    def __call__(self, event: Event) -> Event:
        """Add the executable, its build id and the arguments to the event's process."""
        process = event.process
        known = self._facts.get((process.pid, process.start_time or ""), ())
        # Times of one format in one zone have the order of their text.
        facts = next((facts for facts in reversed(known) if facts.since <= event.time), None)
        if facts is None:
            return event
        process = replace(
            process,
            exe=facts.exe,
            argv=facts.argv,
            build_id=facts.build_id,
            pid_in_namespace=facts.pid_in_namespace,
        )
        return replace(event, process=process)

    def read(self, pid: int, start_ns: int, start_time: str) -> ProcessFacts:
        """Read /proc for a process; without facts where it is gone or another has its pid."""
        directory = self._proc / str(pid)
        nothing = ProcessFacts(pid, start_time)
        try:
            exe = os.readlink(directory / "exe")
            with (directory / "cmdline").open("rb") as file:
                line = file.read(MAX_ARGV_BYTES)
            inner = _inner_pid((directory / "status").read_bytes())
            # Read last: when it still names the same start, so did the reads before it.
            if _start_ticks((directory / "stat").read_bytes()) != start_ns // _NS_PER_TICK:
                return nothing
        except (OSError, ValueError, IndexError):
            return nothing
        if len(line) == MAX_ARGV_BYTES:
            # Half a key would not be known for one: an argument that was cut is left out.
            line = line.rpartition(b"\0")[0]
        # A program that renames itself leaves NULs behind; no argument at all is no empty one.
        line = line.rstrip(b"\0")
        argv = tuple(_text(word) for word in line.split(b"\0")) if line else ()
        build_id = self._build_id(directory / "exe")
        path = _text(os.fsencode(exe))
        return ProcessFacts(pid, start_time, path, argv, build_id, pid_in_namespace=inner)


def _text(word: bytes) -> str:
    # Paths and arguments are any bytes; an event is valid UTF-8.
    return word.decode("utf-8", "replace")


def _start_ticks(stat: bytes) -> int:
    # The name, field 2, may hold spaces and parentheses: count from its end. Field 22 is wanted.
    return int(stat.rpartition(b")")[2].split()[19])


def _inner_pid(status: bytes) -> int | None:
    """Return the pid in the innermost namespace (proc(5), NSpid), None where there is only one."""
    pids = status.partition(b"\nNSpid:")[2].partition(b"\n")[0].split()
    return int(pids[-1]) if len(pids) > 1 else None
