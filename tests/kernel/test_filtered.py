"""Programs under seccomp filters survive being watched."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from busted.kernel.features import probe
from busted.kernel.filtered import return_probes_kill, survives
from busted.kernel.libbpf import BpfError
from busted.kernel.programs import Way, best_way
from busted.records import LostPlace, TlsData
from tests.kernel.harness import DEADLINE_SECONDS, Watched, watched
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "gcc")

PROGRAM = Path(__file__).parent / "programs" / "filtered_tls.c"
NEEDS = {"session": "session uprobe", "multi": "multi uprobe", "perf": "kernel"}
CALLS = 100


def run_filtered(kernel: Watched) -> int:
    """Run the program with the hooked library and return its exit code."""
    directory = kernel.library.parent
    program = directory / "filtered"
    files = [program, PROGRAM, kernel.library]
    subprocess.run(["gcc", f"-Wl,-rpath,{directory}", "-O2", "-o", *files], check=True)
    return subprocess.run([program], timeout=DEADLINE_SECONDS).returncode


def needs_repair() -> None:
    if return_probes_kill():
        pytest.skip("this kernel kills programs under seccomp: what is right is to spare them")


@pytest.mark.parametrize("way", get_args(Way))
def test_a_program_under_a_strict_filter_survives_and_is_captured(way: Way, tmp_path: Path) -> None:
    require(NEEDS[way])
    needs_repair()
    with watched(way, tmp_path) as kernel:
        assert run_filtered(kernel) == 0
        assert b"".join(r.data for r in kernel.data()) == b"filtered" * CALLS


def test_where_a_session_lets_us_only_programs_under_filters_are_spared(tmp_path: Path) -> None:
    require("session uprobe")
    with watched("session", tmp_path, spare_filtered=True) as kernel:
        kernel.run("then(5); write(1, b'other')")
        assert run_filtered(kernel) == 0
        assert [r.data for r in kernel.all() if isinstance(r, TlsData)] == [b"other"]
        assert kernel.programs.shared.lost() == {LostPlace.SPARED: CALLS}


def test_without_sessions_no_return_probe_is_set_where_it_kills(tmp_path: Path) -> None:
    with (
        pytest.raises(BpfError, match="kills programs under seccomp") as caught,
        watched("perf", tmp_path, spare_filtered=True),
    ):
        pass
    assert caught.value.errno == errno.EOPNOTSUPP


def test_the_trial_agrees_with_what_a_filtered_program_shows(tmp_path: Path) -> None:
    with watched(best_way(probe()), tmp_path) as kernel:
        assert survives() == (run_filtered(kernel) == 0)


@pytest.mark.parametrize(
    ("machine", "release"),
    [("aarch64", "6.12.1"), ("x86_64", "6.10.9-amd64"), ("x86_64", "6.14.0"), ("x86_64", "odd")],
)
def test_where_the_version_says_enough_nothing_is_tried(machine: str, release: str) -> None:
    assert not return_probes_kill(machine, release)


def test_where_the_version_leaves_it_open_it_is_tried() -> None:
    assert return_probes_kill("x86_64", "6.12.1-distribution") == (not survives())
