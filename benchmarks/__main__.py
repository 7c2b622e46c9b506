"""`python -m benchmarks`: measures, as root, and prints one Markdown table a question.

Every variant is measured once in each round, so that what disturbs the machine for a while
disturbs all of them, and the median of the rounds is told.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks import (
    behaviour,
    classifier,
    connect_cost,
    enrichment,
    files_cost,
    history,
    hold_latency,
    idle_monitor,
    names_cost,
    pii,
    policy,
    probe_cost,
    reader,
)
from benchmarks.plan import FULL, QUICK, Plan, processors
from benchmarks.programs import BenchmarkError, build
from benchmarks.table import Table
from busted.kernel import features


class Report(msgspec.Struct, frozen=True):
    """What `--json` writes."""

    machine: str
    tables: tuple[Table, ...]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON")
    options = parser.parse_args()
    # As Ctrl-C does: the hundreds of processes that were started are ended on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        features.require(features.probe())
        report = Report(_machine(), _print(_measure(QUICK if options.quick else FULL)))
        if options.json:
            options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    except features.CannotRun as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 3
    except (BenchmarkError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _machine() -> str:
    count = len(os.sched_getaffinity(0))
    return f"{count} processors, Linux {platform.release()}, Python {platform.python_version()}"


def _measure(plan: Plan) -> Iterator[Table]:
    on = processors()
    with tempfile.TemporaryDirectory() as directory:
        built = build(Path(directory))
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {on.reader})
        yield from reader.tables(plan, built, on)
        yield probe_cost.table(plan, built, on)
        os.sched_setaffinity(0, everywhere)
        yield files_cost.table(plan, built)
    yield from names_cost.tables(plan)
    yield connect_cost.table(plan)
    yield hold_latency.table(plan)
    yield classifier.table(plan)
    yield pii.table(plan)
    yield enrichment.table(plan)
    yield policy.table(plan)
    yield history.table(plan)
    yield from behaviour.tables(plan)
    yield idle_monitor.table(plan)


def _print(tables: Iterator[Table]) -> tuple[Table, ...]:
    print(f"{_machine()}\n", flush=True)
    printed = []
    for table in tables:
        print(table.markdown(), flush=True)
        printed.append(table)
    return tuple(printed)


if __name__ == "__main__":
    sys.exit(main())
