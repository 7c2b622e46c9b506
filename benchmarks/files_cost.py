"""What programs at system calls cost one: `--file-monitor` that of any process of the host and of
an agent's, and `--stdio` that of any process while there is an MCP server.

A program makes calls and times them, without and with the programs that follow files in turn.
Its file lies where most do, so nothing but the words in its name is looked at for others; an
agent's every opening is a record, for which the ring has room.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from benchmarks.plan import Plan
from benchmarks.programs import BenchmarkError, Built
from benchmarks.table import Table, median
from busted.enrich.sensitive import QUIET_DIRECTORIES, SensitiveFiles
from busted.enrich.sensitive_table import SENSITIVE
from busted.kernel.features import probe
from busted.kernel.files import FilePrograms, FileSettings
from busted.kernel.processes import ProcessPrograms
from busted.kernel.programs import TlsPrograms, best_way
from busted.kernel.shared import SharedMaps
from busted.kernel.stdio import StdioPrograms

CALLS = ("getppid()", "read of one byte", "open() and close()")
WORD = "busted-benchmark-agent"
# A record of an opening takes 1.6 KB: room for those of the longest run.
RING_BYTES = 64 << 20


def table(plan: Plan, built: Built) -> Table:
    """Measure, and return the table."""
    others: dict[str, list[tuple[float, float]]] = defaultdict(list)
    agents: dict[str, list[tuple[float, float]]] = defaultdict(list)
    beside: dict[str, list[float]] = defaultdict(list)
    with tempfile.NamedTemporaryFile(prefix="plain-") as file:
        file.write(b"text")
        file.flush()
        command = [str(built.file_calls), str(plan.file_calls), file.name]
        for _ in range(plan.rounds * plan.bursts):
            without = _nanoseconds(command)
            with _loaded() as shared:
                other, agent = _nanoseconds(command), _nanoseconds([*command, WORD])
                if shared.lost():
                    raise BenchmarkError(f"records were lost: {shared.lost()}")
            with _stdio_watched():
                stdio = _nanoseconds(command)
            measured = zip(CALLS, without, other, agent, stdio, strict=True)
            for call, bare, of_other, of_agent, beside_server in measured:
                others[call].append((bare, of_other - bare))
                agents[call].append((bare, of_agent - bare))
                beside[call].append(beside_server - bare)
    return Table(
        "What following files and standard input adds to a system call",
        "Nanoseconds of processor time; the median of the differences of runs without and with "
        "the programs of --file-monitor, or of --stdio while an MCP server runs, in turn.",
        ("call", "without ns", "+ of no agent", "+ of an agent", "+ beside an MCP server"),
        tuple(
            (
                call,
                median(bare for bare, _ in others[call]),
                median(more for _, more in others[call]),
                median(more for _, more in agents[call]),
                median(beside[call]),
            )
            for call in CALLS
        ),
    )


def _nanoseconds(command: list[str]) -> list[float]:
    return [float(word) for word in subprocess.check_output(command, text=True).split()]


@contextmanager
def _stdio_watched() -> Iterator[None]:
    with ExitStack() as opened:
        shared = opened.enter_context(closing(SharedMaps(1 << 20)))
        way = best_way(probe())
        tls = opened.enter_context(closing(TlsPrograms(way, shared, max_call_bytes=1 << 20)))
        stdio = StdioPrograms(shared, tls, max_call_bytes=1 << 20)
        opened.enter_context(closing(stdio))
        stdio.watch(0)
        yield


@contextmanager
def _loaded() -> Iterator[SharedMaps]:
    words = SensitiveFiles(SENSITIVE).words
    settings = FileSettings(words, QUIET_DIRECTORIES, all=True, max_file_bytes=64 << 10)
    with ExitStack() as opened:
        shared = opened.enter_context(closing(SharedMaps(RING_BYTES)))
        opened.enter_context(closing(FilePrograms(shared, settings)))
        opened.enter_context(closing(ProcessPrograms(shared, [WORD])))
        yield shared
