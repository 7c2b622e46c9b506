"""The right process is killed, and no other; the process that does it, and how that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from busted.kernel.kill import kill, parents
from busted.kernel.privileged import CAPABILITIES, PrivilegedChild
from busted.kernel.privileges import capabilities
from busted.records import ProcessKey
from tests.e2e.deadline import until
from tests.e2e.sandbox import DIES_WITH_US, ROOT

pytestmark = pytest.mark.needs("root")

NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@pytest.fixture
def child() -> Iterator[PrivilegedChild]:
    with closing(PrivilegedChild()) as running:
        yield running


def key(pid: int) -> ProcessKey:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return ProcessKey(pid, int(fields[19]) * NS_PER_TICK + NS_PER_TICK // 2)


@contextmanager
def orphan() -> Iterator[int]:
    """A process that is no child of ours, as an agent is none."""
    script = "import os, time\nif pid := os.fork(): os._exit(print(pid, flush=True) or 0)\n"
    started = subprocess.Popen(
        [sys.executable, "-c", script + "time.sleep(600)"], stdout=subprocess.PIPE
    )
    with started:
        assert started.stdout is not None
        pid = int(started.stdout.readline())
        started.wait()
        held = os.pidfd_open(pid)
        try:
            yield pid
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(held, signal.SIGKILL)
            os.close(held)


def ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat.rpartition(b") ")[2][:1] == b"Z"


def test_a_process_is_killed_and_another_lives(child: PrivilegedChild) -> None:
    with orphan() as meant, orphan() as other:
        assert child.kill(key(meant)).result == "done"
        until(lambda: ended(meant), "it is killed")
        assert not ended(other)
        assert child.kill(key(other)).result == "done"
        until(lambda: ended(other), "it is killed too")


def test_a_process_that_has_the_pid_of_another_now_is_spared(child: PrivilegedChild) -> None:
    with orphan() as pid:
        before = key(pid)._replace(start_ns=key(pid).start_ns - NS_PER_TICK)
        outcome = child.kill(before)
        assert (outcome.result, "another has its pid" in outcome.reason) == ("gone", True)
        assert not ended(pid)


def test_a_process_that_ended_is_gone(child: PrivilegedChild) -> None:
    with subprocess.Popen([*DIES_WITH_US, "sleep", "600"]) as ours:
        meant = key(ours.pid)
        ours.kill()
    assert child.kill(meant).result == "gone"


def test_the_monitor_what_it_comes_from_and_what_it_started_are_never_signalled(
    child: PrivilegedChild,
) -> None:
    with subprocess.Popen([*DIES_WITH_US, "sleep", "600"]) as ours:
        for pid in (*parents(os.getpid()), child.pid, ours.pid):
            for outcome in (child.kill(key(pid), signal.SIGTERM), kill(key(pid), signal.SIGTERM)):
                assert outcome.result == "not_possible", pid
        assert 1 in parents(os.getpid())
        ours.kill()


def test_the_child_keeps_four_capabilities_and_cannot_run_a_program(
    child: PrivilegedChild,
) -> None:
    status = Path(f"/proc/{child.pid}/status")
    for which in ("CapEff", "CapPrm", "CapBnd"):
        assert capabilities(which, status) == CAPABILITIES & capabilities("CapBnd")
    assert "Seccomp:\t2" in status.read_text()
    # Its output is for nobody, and its input is the monitor's alone.
    links = {os.readlink(fd) for fd in Path(f"/proc/{child.pid}/fd").iterdir()}
    assert len([link for link in links if link.startswith("socket:")]) == 1


def test_a_child_that_is_told_to_end_with_its_service_waits_for_the_monitor(
    child: PrivilegedChild,
) -> None:
    os.kill(child.pid, signal.SIGTERM)
    with orphan() as pid:
        assert child.kill(key(pid)).result == "done"


def test_a_child_that_is_gone_makes_nothing_possible_and_raises_nothing(
    child: PrivilegedChild,
) -> None:
    with orphan() as pid:
        os.kill(child.pid, signal.SIGKILL)
        until(lambda: ended(child.pid), "it is gone")
        for _ in range(2):
            assert child.kill(key(pid)).result == "not_possible"
        assert not ended(pid)


def test_a_child_that_hangs_is_waited_for_no_longer_than_it_is_given() -> None:
    with closing(PrivilegedChild(deadline_seconds=0.05)) as child, orphan() as pid:
        os.kill(child.pid, signal.SIGSTOP)
        outcome = child.kill(key(pid))
        assert (outcome.result, "in time" in outcome.reason) == ("not_possible", True)
        os.kill(child.pid, signal.SIGCONT)
        # What was given up is carried out late: its answer is not taken for the next one's.
        until(lambda: ended(pid), "it is killed")
        until(lambda: child.kill(key(os.getpid())).result == "not_possible", "it answers again")


def test_the_child_ends_with_a_monitor_that_is_killed() -> None:
    script = (
        "import time\nfrom busted.kernel.privileged import PrivilegedChild\n"
        "print(PrivilegedChild().pid, flush=True)\ntime.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [*DIES_WITH_US, sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as monitor:
        assert monitor.stdout is not None
        pid = int(monitor.stdout.readline())
        assert not ended(pid)
        monitor.kill()
    until(lambda: ended(pid), "it ends too")
