"""What AI agents run, as `busted monitor` tells it: programs that are called like agents."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from tests.e2e.bed import Bed
from tests.e2e.monitor import Event, Monitor
from tests.requirements import ROOT, require

KEY = "sk-" + "proj-" + "".join("aZ3kQ9xW7b"[i * 7 % 10] for i in range(48))
WORDS = "zanzibar quokka"
DEADLINE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """A shell that is called as Claude Code is."""
    path = tmp_path / "claude"
    shutil.copy("/bin/sh", path)
    return path


@contextmanager
def started(*command: str | Path) -> Iterator[tuple[int, Callable[[str], str]]]:
    """A shell and its pid; given a command, it runs it and returns its first line."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def say(line: str) -> str:
        stdin.write(line + "\n")
        stdin.flush()
        return stdout.readline().strip()

    try:
        yield process.pid, say
    finally:
        stdin.close()
        process.wait(DEADLINE_SECONDS)
        stdout.close()


def commands(monitor: Monitor, agent_pid: int) -> list[Event]:
    return [
        event
        for event in tuple(monitor.events)
        if event["action"]["type"] == "ProcessExec" and event["action"]["agent_pid"] == agent_pid
    ]


def told(monitor: Monitor, agent_pid: int, count: int) -> list[Event]:
    monitor._wait(lambda: len(commands(monitor, agent_pid)) >= count, f"{count} commands")
    return commands(monitor, agent_pid)


def test_the_commands_of_an_agent_are_told_and_nobody_elses(agent: Path) -> None:
    with Monitor() as monitor:
        subprocess.run(["/bin/sh", "-c", "/bin/echo claude; :"], check=True)
        with started(agent) as (pid, say):
            assert say("/bin/sh -c '/bin/echo one; :'") == "one"
            shell, echo = told(monitor, pid, 2)
        assert monitor.stop() == 130

    assert shell["action"]["exe"] == "/bin/sh"
    assert echo["action"] == {
        "type": "ProcessExec",
        "exe": "/bin/echo",
        "argv": ["/bin/echo", "one"],
        "agent": "claude-code",
        "agent_pid": pid,
        "parents": ["sh", "claude"],
        "truncated": False,
    }
    assert echo["process"]["agent"] == "claude-code"
    assert echo["process"]["ppid"] == shell["process"]["pid"]
    assert echo["process"]["uid"] == os.getuid()
    assert {e["action"]["agent_pid"] for e in monitor.events if "agent_pid" in e["action"]} == {pid}
    assert monitor.lost == {}


def test_an_agent_that_ran_before_is_found_with_what_it_had_started(agent: Path) -> None:
    with started(agent, "-c", "/bin/sh; :") as (pid, say):
        assert say("echo ready") == "ready"
        with Monitor() as monitor:
            assert say("/bin/echo two") == "two"
            (echo,) = told(monitor, pid, 1)
            assert monitor.stop() == 130
    assert echo["action"]["parents"] == ["sh", "claude"]
    assert echo["action"]["argv"] == ["/bin/echo", "two"]


def test_a_process_whose_requests_name_an_agent_is_one_from_then_on(
    test_bed: Bed, tmp_path: Path
) -> None:
    script = (
        "import subprocess, sys, urllib.request\n"
        "request = urllib.request.Request('https://api.openai.com/v1/chat/completions',\n"
        '  b\'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi?"}]}\',\n'
        "  {'Content-Type': 'application/json', 'User-Agent': 'codex_cli_rs/0.1'})\n"
        "urllib.request.urlopen(request).read()\n"
        "print('asked', flush=True); input()\n"
        "subprocess.run(['/bin/echo', 'three'])\n"
    )
    with Monitor() as monitor:
        client = test_bed.sandbox.start([sys.executable, "-c", script], stdin=subprocess.PIPE)
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == b"asked\n"
        prompt, *_ = monitor.wait_for(client.pid, "Prompt")
        client.stdin.write(b"\n")
        client.stdin.flush()
        (echo,) = told(monitor, client.pid, 1)
        assert client.wait(DEADLINE_SECONDS) == 0
        assert monitor.stop() == 130
    assert prompt["process"]["agent"] == "codex"
    assert (echo["action"]["agent"], echo["action"]["argv"]) == ("codex", ["/bin/echo", "three"])


def test_a_recording_of_commands_gives_the_same_events(agent: Path, tmp_path: Path) -> None:
    recording = tmp_path / "commands.rec"
    with started(agent, "-c", "/bin/sh; :") as (pid, say):
        assert say("echo ready") == "ready"
        with Monitor("--record", str(recording)) as monitor:
            assert say(f"{agent} -c '/bin/echo four; :'") == "four"
            live = told(monitor, pid, 2)
            assert monitor.stop() == 130
    replayed = subprocess.check_output(
        [
            sys.executable,
            "-m",
            "busted.cli.main",
            "replay",
            "--format",
            "json",
            "--content",
            "full",
            recording,
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        text=True,
    )
    assert [line for line in monitor.stdout if "ProcessExec" in line] == [
        line + "\n" for line in replayed.splitlines() if "ProcessExec" in line
    ]
    assert len(live) == 2


@pytest.mark.parametrize(
    ("output", "content"), [*product(["text", "verbose", "json"], ["none", "redacted"])]
)
def test_secrets_in_arguments_are_not_shown(agent: Path, output: str, content: str) -> None:
    with (
        Monitor(output=output, content=content) as monitor,
        Monitor() as full,
        started(agent) as (pid, say),
    ):
        assert say(f"/bin/echo {KEY} {WORDS}; /bin/echo --token={KEY}").startswith(KEY)
        told(full, pid, 2)
        monitor.wait_for_lines("/bin/echo", 2)
        assert monitor.stop() == full.stop() == 130
    shown = "".join([*monitor.stdout, *monitor.stderr])
    assert KEY in "".join(full.stdout), "or this test would prove nothing"
    assert KEY not in shown
    assert KEY[:20] not in shown
    assert (WORDS.split()[0] in shown) == (content == "redacted")
