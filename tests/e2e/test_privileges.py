"""The monitor under the documented capabilities alone, and what it keeps once it watches."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from busted.kernel.privileges import PRIVILEGES, capabilities, kept
from tests.e2e.bed import Bed, curl_after_a_slow_page
from tests.e2e.deadline import until
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Monitor
from tests.e2e.sandbox import ROOT
from tests.requirements import require

LAUNCH = "tests.kernel.launch"
# What this kernel needs: with multi uprobes, neither of those with an end.
DOCUMENTED = [p.name for p in PRIVILEGES if not p.until]


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e", "multi uprobe")


def own_library(monitor: Monitor, directory: Path) -> dict[str, str]:
    """The environment of a client with a TLS library that nobody hooked, closed to others."""
    libraries = monitor.coverages[0]["libraries"]
    libssl = next(x["path"] for x in libraries if re.search(r"/libssl\.so", x["path"]))
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    for library in Path(libssl).parent.glob("lib*.so.3"):
        if library.name.startswith(("libssl", "libcrypto")):
            shutil.copy(library, closed)
    return {"LD_LIBRARY_PATH": str(closed)}


def test_once_it_watches_it_is_locked_down_and_goes_on_hooking(
    test_bed: Bed, tmp_path: Path
) -> None:
    recording = tmp_path / "out.rec"
    with Monitor("--record", str(recording)) as monitor:
        status = Path(f"/proc/{monitor.process.pid}/status")
        sets = {name: capabilities(name, status) for name in ("CapEff", "CapPrm", "CapInh")}
        threads = list(Path(f"/proc/{monitor.process.pid}/task").glob("*/status"))
        of_threads = [capabilities(status=thread) for thread in threads]
        text = status.read_text()
        size = recording.stat().st_size
        libraries = own_library(monitor, tmp_path)
        done = test_bed.sandbox.run(curl_after_a_slow_page(PROMPT), environment=libraries)
        monitor.wait_for(done.pid, "Response")
        assert monitor.stop() == 130
        assert recording.stat().st_size > size

    keeps = kept(by_perf_events=False) & capabilities()
    assert sets == {"CapEff": keeps, "CapPrm": keeps, "CapInh": frozenset()}
    assert len(of_threads) > 1
    assert set(of_threads) == {keeps}
    assert re.search(r"^Seccomp:\s2$", text, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s1$", text, re.MULTILINE)
    assert monitor.lost == {}


def test_the_documented_capabilities_are_enough(test_bed: Bed, tmp_path: Path) -> None:
    with Monitor("--file-monitor") as monitor:
        left_out_for_root = monitor.coverages[0].get("left_out", {})
    with Monitor("--file-monitor", command=[LAUNCH, ",".join(DOCUMENTED)]) as monitor:
        assert monitor.coverages[0].get("left_out", {}) == left_out_for_root
        status = Path(f"/proc/{monitor.process.pid}/status").read_text()
        libraries = own_library(monitor, tmp_path)
        done = test_bed.sandbox.run(curl_after_a_slow_page(PROMPT), environment=libraries)
        monitor.wait_for(done.pid, "Response")

    assert re.search(r"^Uid:\s65534\s65534", status, re.MULTILINE)


@pytest.mark.parametrize("missing", [p.name for p in PRIVILEGES if p.required])
def test_without_a_required_capability_it_says_which_and_ends_with_3(missing: str) -> None:
    names = ",".join(name for name in DOCUMENTED if name != missing)
    done = subprocess.run(
        [sys.executable, "-m", LAUNCH, names, "monitor", "--duration", "1"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 3
    assert missing in done.stderr


@pytest.mark.parametrize("missing", ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"])
def test_without_another_capability_it_says_which_libraries_it_cannot_hook(
    test_bed: Bed, tmp_path: Path, missing: str
) -> None:
    with Monitor(command=[LAUNCH, ",".join(n for n in DOCUMENTED if n != missing)]) as monitor:
        environment = own_library(monitor, tmp_path)
        # One that is there for a while: what is gone nobody can look at.
        done = test_bed.sandbox.run(curl_after_a_slow_page(PROMPT), environment=environment)

        def told() -> bool:
            coverages = monitor.coverages
            return f"{environment['LD_LIBRARY_PATH']}/libssl.so.3" in coverages[-1]["unreadable"]

        until(told, "the library is told as unreadable")
        assert monitor.of(done.pid, "Prompt") == []


def test_without_the_one_for_control_groups_it_says_that_names_are_left_out() -> None:
    names = ",".join(name for name in DOCUMENTED if name != "CAP_NET_ADMIN")
    with Monitor(command=[LAUNCH, names]) as monitor:
        coverage = monitor.coverages[0]

    assert coverage["left_out"]


def test_inside_the_lock_down_no_program_is_run_and_no_process_traced() -> None:
    done = subprocess.run(
        [sys.executable, "-m", LAUNCH, "--refused"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    refused = "Operation not permitted"
    assert json.loads(done.stdout) == {
        "execve": refused,
        "ptrace": refused,
        "unshare": refused,
        "fork": "7",
    }
