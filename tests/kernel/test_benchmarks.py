"""The benchmarks run, and answer each question with a figure for each variant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.behaviour import SHARES
from benchmarks.connect_cost import VARIANTS
from benchmarks.enrichment import CGROUPS
from benchmarks.files_cost import CALLS
from benchmarks.history import QUESTIONS
from benchmarks.hold_latency import PROMPTS
from benchmarks.hold_latency import VARIANTS as HELD_VARIANTS
from benchmarks.names_cost import LOADS
from benchmarks.payloads import mix
from benchmarks.pii import texts
from benchmarks.plan import SIZES
from benchmarks.policy import RULES
from benchmarks.probe_cost import ways
from benchmarks.table import Table
from busted.kernel import features
from tests.requirements import ROOT

pytestmark = pytest.mark.needs("kernel", "cgroups", "clang", "gcc", "openssl")

DEADLINE_SECONDS = 120


class Report(msgspec.Struct):
    machine: str
    tables: list[Table]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Report]:
    file = tmp_path_factory.mktemp("benchmarks") / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json", file],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(ROOT, "src"))},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, msgspec.json.decode(file.read_bytes(), type=Report)


def test_every_question_is_answered_for_every_variant(run: tuple[str, Report]) -> None:
    capacity, live, probes, files, packets, loads, connects, held, *others = run[1].tables
    kinds, searched, enriched, judged, asked, window, followed, monitor = others
    assert [row[0] for row in capacity.rows] == list(SIZES)
    assert [row[0] for row in live.rows] == list(SIZES)
    assert {row[1:3] for row in probes.rows} == {
        (way, size) for way in ways(features.probe()) for size in SIZES
    }
    assert [row[0] for row in files.rows] == list(CALLS)
    assert {row[0] for row in packets.rows} == {row[0] for row in loads.rows} == LOADS.keys()
    assert [row[0] for row in connects.rows] == list(VARIANTS)
    assert [row[:2] for row in held.rows] == [(v, p) for v in HELD_VARIANTS for p in PROMPTS]
    assert [row[0] for row in kinds.rows] == [
        *(payload.kind for payload in mix()),
        "the mix",
        "an exchange, as the monitor reads it",
    ]
    assert [row[0] for row in searched.rows][:-1] == list(texts())
    assert [row[0] for row in enriched.rows] == list(CGROUPS)
    assert len(judged.rows) == 2 * (len(RULES) + 1)
    assert [row[0] for row in asked.rows] == list(QUESTIONS)
    assert len(window.rows) == 4
    assert len(followed.rows) == len(SHARES)
    assert len(monitor.rows) == 1
    for table in run[1].tables:
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_what_is_printed_is_what_the_report_holds(run: tuple[str, Report]) -> None:
    printed, report = run
    assert printed == f"{report.machine}\n\n" + "".join(
        f"{table.markdown()}\n" for table in report.tables
    )
