import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import sandbox as module
from tests.e2e.deadline import until
from tests.e2e.sandbox import ROOT, Sandbox, SandboxError
from tests.requirements import require

SLEEP = ("sleep", "600")


@pytest.fixture(autouse=True)
def needs_namespaces() -> None:
    require("unshare")


def alive(pid: int) -> bool:
    """A zombie, which waits for its parent to look, is not alive."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_nothing_can_leave_even_by_address(tmp_path: Path) -> None:
    # 192.0.2.1 is nobody's (RFC 5737, section 3).
    connect = "import socket; socket.create_connection(('192.0.2.1', 443))"
    with Sandbox(tmp_path) as sandbox:
        finished = sandbox.run([sys.executable, "-c", connect])

    assert finished.code == 1
    assert b"Network is unreachable" in finished.stderr


def test_the_names_of_the_host_stay_as_they_are(tmp_path: Path) -> None:
    before = Path("/etc/hosts").read_bytes()
    with Sandbox(tmp_path) as sandbox:
        inside = sandbox.run(["cat", "/etc/hosts"]).stdout

    assert b"127.0.0.1 api.openai.com\n" in inside
    assert Path("/etc/hosts").read_bytes() == before


def test_a_command_sees_only_the_environment_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with Sandbox(tmp_path) as sandbox:
        seen = sandbox.run(["env"], environment={"KEY": "value"}).stdout.splitlines()

    assert b"KEY=value" in seen
    assert not [line for line in seen if line.startswith(b"HTTPS_PROXY")]


def test_a_command_keeps_the_pid_it_was_started_with(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        finished = sandbox.run(["sh", "-c", "echo $$; cat"], stdin=b"told")

    assert finished.stdout == b"%d\ntold" % finished.pid


def test_what_runs_inside_ends_with_the_sandbox_also_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Sandbox(tmp_path) as sandbox:
        process = sandbox.start(SLEEP)
        raise ZeroDivisionError

    assert process.returncode == -signal.SIGKILL
    with pytest.raises(SandboxError, match="not open"):
        sandbox.run(["true"])


def test_what_runs_inside_dies_with_a_starter_that_cannot_clean_up(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, signal
from tests.e2e.sandbox import Sandbox
with Sandbox(pathlib.Path({str(tmp_path)!r})) as sandbox:
    process = sandbox.start(["sh", "-c", "echo runs; exec sleep 600"])
    process.stdout.readline()
    print(sandbox._holder.pid, process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    starter = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    pids = [int(word) for word in starter.stdout.split()]

    assert starter.returncode == -signal.SIGKILL
    assert len(pids) == 2
    until(lambda: not any(alive(pid) for pid in pids), "both have ended")


def test_no_command_runs_where_names_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HOLD", module._HOLD.replace("mount --bind", "true"))

    with pytest.raises(SandboxError, match=r"names do not resolve|inside are"):
        Sandbox(tmp_path).__enter__()


def test_no_command_runs_where_loopback_is_not_the_only_interface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Under another name: what else there is to add depends on the kernel's modules.
    hold = module._HOLD.replace("set lo up", "set lo name other && ip link set other up")
    monkeypatch.setattr(module, "_HOLD", hold)

    with pytest.raises(SandboxError, match="other"):
        Sandbox(tmp_path).__enter__()


def test_says_why_there_is_no_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HOLD", "echo this kernel has none >&2; exit 1")

    with pytest.raises(SandboxError, match="this kernel has none"):
        Sandbox(tmp_path).__enter__()


def test_the_caller_stays_where_it_is(tmp_path: Path) -> None:
    before = os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/mnt")
    with Sandbox(tmp_path):
        assert (os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/mnt")) == before
