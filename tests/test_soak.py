"""Every event is delivered or counted, however long it goes on and whoever is away meanwhile.

Two minutes here; `make soak` runs it for 20, or MINUTES.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.requirements import ROOT

SECONDS = float(os.environ.get("BUSTED_SOAK_SECONDS", "120"))
# The goal for 5,000 events a second; here are far fewer, with the same queues.
MAX_RESIDENT = 150 << 20
# Of the second half, when all caches and pools have been used.
MAX_GROWTH = 20 << 20


@pytest.mark.needs("regorus")
def test_no_event_is_unaccounted_for_while_a_collector_is_away_and_memory_is_bounded() -> None:
    command = [sys.executable, "-m", "benchmarks.whole", "--soak", str(SECONDS), "--rate", "100"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=SECONDS + 180,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    told = json.loads(done.stdout)
    assert told["faults"] == []
    # The collector was away, and its spool lost nothing.
    assert "output otlp: goes on" in done.stderr
    assert told["kept"] == dict.fromkeys(("file", "history", "otlp"), told["events"])
    assert told["events"] > 0
    sizes = told["sizes"]
    assert max(sizes) < MAX_RESIDENT
    assert sizes[-1] - sizes[len(sizes) // 2] < MAX_GROWTH
