"""What `busted monitor` takes while nothing happens, and how long it takes to start.

The host gets a few hundred idle processes first, whose mappings the monitor looks through. It is
told to watch this process only, which says nothing over TLS; so on a host where others do, it
stays as good as idle: the kernel mutes them.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.plan import Plan
from benchmarks.programs import BenchmarkError
from benchmarks.table import Table, median

KIB = 1024


class Round(msgspec.Struct, frozen=True):
    """One start of the monitor, and how it idled."""

    start_seconds: float
    startcpu_seconds: float
    resident_bytes: int
    proportional_bytes: int
    idlecpu_seconds: float


def table(plan: Plan) -> Table:
    """Measure, and return what the monitor takes."""
    with _idle_processes(plan.processes):
        rounds = [_round(plan) for _ in range(plan.monitor_rounds)]
    idle = [100 * measured.idlecpu_seconds / plan.idle_seconds for measured in rounds]
    return Table(
        f"The idle monitor, on a host with {plan.processes} more processes",
        f"Start is from exec to the first Coverage event, when all probes are set. Memory is read "
        f"{plan.settle_seconds:.0f} s later, MB are 10^6 bytes; processor time over the "
        f"{plan.idle_seconds:.0f} s after that. Goals: under 60 MB, and under 1.5 s.",
        ("start s", "of it processor s", "VmRSS MB", "PSS MB", "idle processor %"),
        (
            (
                median(measured.start_seconds for measured in rounds),
                median(measured.startcpu_seconds for measured in rounds),
                median(measured.resident_bytes / 1e6 for measured in rounds),
                median(measured.proportional_bytes / 1e6 for measured in rounds),
                median(idle),
            ),
        ),
    )


@contextlib.contextmanager
def _idle_processes(count: int) -> Iterator[None]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen(["sleep", "infinity"]))
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _round(plan: Plan) -> Round:
    command = ["-m", "busted.cli.main", "monitor", "--format", "json", "--pid", str(os.getpid())]
    start = time.perf_counter()
    monitor = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE)
    assert monitor.stdout
    try:
        first = monitor.stdout.readline()
        start_seconds = time.perf_counter() - start
        if b'"Coverage"' not in first:
            raise BenchmarkError(f"the monitor did not start; it said {first[:200]!r}")
        startcpu_seconds = cpu_seconds(monitor.pid)
        time.sleep(plan.settle_seconds)
        resident = _memory(monitor.pid, "status", "VmRSS")
        proportional = _memory(monitor.pid, "smaps_rollup", "Pss")
        before = cpu_seconds(monitor.pid)
        time.sleep(plan.idle_seconds)
        idle = cpu_seconds(monitor.pid) - before
    finally:
        monitor.terminate()
        monitor.communicate()
    return Round(start_seconds, startcpu_seconds, resident, proportional, idle)


def cpu_seconds(pid: int) -> float:
    """What a process took of the processors so far."""
    # clock_getcpuclockid(3): MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of Linux's posix-timers.
    return time.clock_gettime((~pid << 3) | 2)


def _memory(pid: int, file: str, field: str) -> int:
    text = Path(f"/proc/{pid}/{file}").read_text()
    match = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    if match is None:
        raise BenchmarkError(f"/proc/{pid}/{file} has no {field}")
    return int(match[1]) * KIB
