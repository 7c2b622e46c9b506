"""`busted doctor` on this host, and beside a running monitor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.bed import Bed
from tests.e2e.monitor import Monitor
from tests.e2e.sandbox import ROOT
from tests.requirements import require


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


def doctor(*options: str, module: tuple[str, ...] = ("busted.cli.main",)) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", *module, "doctor", "--json", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, json.loads(done.stdout)


def test_where_the_monitor_works_it_says_so_and_which_programs_load(test_bed: Bed) -> None:
    code, found = doctor()

    assert code == 0
    assert found["works"]
    answers = {program["name"]: program["answer"] for program in found["programs"]}
    assert answers["tls/tls_write"] == "yes"
    means = {mean["name"]: mean["answer"] for mean in found["enforcement"]}
    assert means["connect verdicts at cgroups"] == "yes"
    assert means["SOCK_DESTROY"] == means["signal by pidfd"] == "yes"
    assert any(
        library["kind"] == "openssl" and test_bed.provider_pid in library["pids"]
        for library in found["libraries"]
    )


def test_without_privileges_it_ends_with_3_and_says_what_it_could_not_see() -> None:
    code, found = doctor(module=("tests.kernel.launch", ""))

    assert code == 3
    assert not found["works"]
    assert any("run as root" in line for line in found["unseen"])
    assert {p["answer"] for p in found["privileges"]} == {"no"}


def test_live_tells_what_a_locked_down_monitor_counts(test_bed: Bed) -> None:
    with Monitor() as monitor:
        watched = {library["path"] for library in monitor.coverages[0]["libraries"]}
        code, running = doctor("--live")
        _, found = doctor()

    assert code == 0
    (ours,) = [one for one in running if one["pid"] == monitor.process.pid]
    assert ours["lost"] == {}
    assert ours["records_per_second"] >= 0
    assert watched
    assert watched <= {x["path"] for x in found["libraries"] if x["hooked"]}
    assert any(program["name"].startswith("tls_write") for program in ours["programs"])
