"""Signals one process, and no other: not one that has its pid now, and none that we live by.

A pid alone may be another process's by the time it is used, so the process is held by a pidfd
(pidfd_open(2), Linux 5.3) before its start time is compared, and signalled through that.
Refused are pid 1, the monitor, whoever started it, and what it started.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from busted.kernel.destroy import DONE, Outcome
from busted.records import ProcessKey

# /proc tells a start in clock ticks of 10 ms (USER_HZ, proc(5)).
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_FIRST = 1
# A chain of parents ends at pid 1; no chain is longer than there are processes.
_MAX_PARENTS = 4096


def kill(
    process: ProcessKey,
    number: int = signal.SIGKILL,
    *,
    monitor: int | None = None,
    proc: Path = Path("/proc"),
) -> Outcome:
    """Send a signal to a process, if it is the one that started then.

    `monitor` is the pid of who must live; by default the caller's.
    """
    monitor = monitor or os.getpid()
    if process.pid == _FIRST:
        return Outcome("not_possible", "pid 1 is never signalled")
    try:
        held = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return Outcome("gone", "the process has ended")
    except OSError as error:
        return Outcome("not_possible", error.strerror or str(error))
    try:
        if _start_ticks(process.pid, proc) != process.start_ns // _NS_PER_TICK:
            return Outcome("gone", "the process has ended, and another has its pid")
        if process.pid in parents(monitor, proc) or monitor in parents(process.pid, proc):
            return Outcome("not_possible", "the monitor itself depends on this process")
        signal.pidfd_send_signal(held, number)
    except (ProcessLookupError, FileNotFoundError):
        return Outcome("gone", "the process has ended")
    except (OSError, ValueError, IndexError) as error:
        return Outcome("not_possible", str(error))
    finally:
        os.close(held)
    return DONE


def parents(pid: int, proc: Path = Path("/proc")) -> frozenset[int]:
    """Return a process and all that it comes from. Raises OSError where that cannot be read."""
    found: dict[int, None] = {}
    while pid and pid not in found and len(found) < _MAX_PARENTS:
        found[pid] = None
        pid = int(_fields(pid, proc)[1])
    return frozenset(found)


def _start_ticks(pid: int, proc: Path) -> int:
    return int(_fields(pid, proc)[19])


def _fields(pid: int, proc: Path) -> list[bytes]:
    # The name, field 2, may hold spaces and parentheses: count from its end (proc_pid_stat(5)).
    return (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
