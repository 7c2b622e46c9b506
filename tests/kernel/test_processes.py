"""The programs that follow processes, in the running kernel, with real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from busted.kernel.processes import ProcessPrograms
from busted.kernel.shared import SharedMaps
from busted.records import (
    LostPlace,
    ProcessExec,
    ProcessExit,
    ProcessFork,
    ProcessKey,
    Record,
    decode,
)
from tests.kernel.harness import DEADLINE_SECONDS

pytestmark = pytest.mark.needs("kernel")

WORD = "busted-test-agent"


class Followed:
    """The programs, and what they told."""

    def __init__(self, shared: SharedMaps, programs: ProcessPrograms) -> None:
        self.shared, self.programs = shared, programs
        self.records: list[Record] = []

    def key(self, pid: int) -> ProcessKey:
        """The key of a process that runs, as the kernel has it."""
        (found,) = (p.key for p in self.programs.running() if p.key.pid == pid)
        return found

    def all(self) -> list[Record]:
        """Everything told so far."""
        self.records += [decode(raw) for raw in self.shared.ring.read()]
        return self.records

    def of(self, pid: int) -> list[Record]:
        """What was told of one process so far."""
        return [record for record in self.all() if record.key.pid == pid]

    def wait(self, enough: Callable[[list[Record]], bool]) -> list[Record]:
        """Read until `enough` says so; fails at the deadline."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not enough(self.all()):
            assert time.monotonic() < deadline, self.records
            time.sleep(0.001)
        return self.records


@contextmanager
def following(ring_bytes: int = 1 << 20, words: tuple[str, ...] = (WORD,)) -> Iterator[Followed]:
    with ExitStack() as opened:
        shared = opened.enter_context(closing(SharedMaps(ring_bytes)))
        programs = opened.enter_context(closing(ProcessPrograms(shared, words)))
        yield Followed(shared, programs)


@pytest.fixture
def followed() -> Iterator[Followed]:
    with following() as programs:
        yield programs
        assert programs.shared.lost() == {}


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """An executable that is taken for an agent: a shell by another name."""
    path = tmp_path / WORD
    shutil.copy("/bin/sh", path)
    return path


def execs(records: list[Record]) -> list[ProcessExec]:
    return [record for record in records if isinstance(record, ProcessExec)]


def run(*command: str | Path) -> int:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    assert process.wait(DEADLINE_SECONDS) == 0
    return process.pid


def waiting_shell() -> subprocess.Popen[str]:
    """A shell that runs a program when it is given a line; it has begun when this returns."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", "echo ready; read line; /bin/true; :"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_an_exec_says_who_runs_what_and_for_whom(followed: Followed, agent: Path) -> None:
    pid = run(agent, "-c", ":")
    started, ended = followed.of(pid)
    assert isinstance(started, ProcessExec)
    assert started.parent == followed.key(os.getpid())
    assert started.path == os.fsencode(agent)
    assert started.argv == (os.fsencode(agent), b"-c", b":")
    assert started.comm == WORD[:15].encode()
    assert (started.uid, started.gid) == (os.getuid(), os.getgid())
    assert started.inode == agent.stat().st_ino
    assert started.agent == pid
    assert started.cgroup_id > 0
    assert not started.truncated
    assert ended == ProcessExit(started.key, ended.time_ns)


def test_all_that_an_agent_starts_is_told_whatever_its_name(
    followed: Followed, agent: Path
) -> None:
    pid = run(agent, "-c", "/bin/sh -c '/bin/true; /bin/echo a'; :")
    told = execs(followed.all())
    assert [r.path for r in told] == [os.fsencode(agent), b"/bin/sh", b"/bin/true", b"/bin/echo"]
    assert {r.agent for r in told} == {pid}
    forks = [r for r in followed.all() if isinstance(r, ProcessFork)]
    parents = {r.key: r.parent for r in forks}
    shell, true = told[1], told[2]
    assert parents[shell.key].pid == pid
    assert parents[true.key] == shell.key == true.parent


def test_the_processes_of_others_are_not_told(followed: Followed) -> None:
    run("/bin/sh", "-c", "/bin/true; /bin/echo a; (:)")
    assert followed.all() == []


@pytest.mark.parametrize(
    "command",
    [
        ["/bin/echo", f"/usr/lib/node_modules/{WORD}/cli.js"],
        ["/bin/echo", "-r", "x", WORD],
        [sys.executable, "-c", "pass", f"/{WORD}"],
    ],
)
def test_a_word_anywhere_in_the_arguments_is_enough_to_be_asked_about(
    followed: Followed, command: list[str]
) -> None:
    pid = run(*command)
    assert execs(followed.of(pid))[0].agent == pid


@pytest.mark.parametrize("argument", [f"{WORD}x", f"x{WORD}", WORD[:-1], WORD.upper()])
def test_part_of_a_word_is_not(followed: Followed, argument: str) -> None:
    run("/bin/echo", argument, f"{argument}/{argument}")
    assert followed.all() == []


def test_a_script_is_told_by_its_own_path_and_its_interpreters_inode(
    followed: Followed, tmp_path: Path
) -> None:
    script = tmp_path / WORD
    script.write_text("#!/bin/sh\n:\n")
    script.chmod(0o755)
    pid = run(script)
    (told,) = execs(followed.of(pid))
    assert told.path == os.fsencode(script)
    assert told.argv == (b"/bin/sh", os.fsencode(script))
    assert told.inode == Path("/bin/sh").stat().st_ino


def test_a_process_that_executes_again_keeps_its_key(followed: Followed, agent: Path) -> None:
    pid = run(agent, "-c", "exec /bin/echo a")
    first, second = execs(followed.of(pid))
    assert first.key == second.key
    assert (first.agent, second.agent) == (pid, pid)
    assert second.path == b"/bin/echo"


def test_a_process_that_was_forgotten_is_silent_with_what_it_starts(
    followed: Followed, agent: Path
) -> None:
    process = subprocess.Popen(
        [agent, "-c", "read line; /bin/true; :"], stdin=subprocess.PIPE, text=True
    )
    followed.wait(lambda records: any(r.key.pid == process.pid for r in records))
    (executed,) = execs(followed.of(process.pid))
    followed.shared.forget_agent(executed.key, executed.time_ns)
    process.communicate("go\n", DEADLINE_SECONDS)
    assert [type(record) for record in followed.all()] == [ProcessExec]


def test_what_is_said_of_a_program_does_not_reach_the_next_one_of_the_process(
    followed: Followed, agent: Path
) -> None:
    # As `timeout 60 claude`: the first program only has the name of the second in its arguments.
    process = subprocess.Popen(
        ["/usr/bin/env", agent, "-c", "read line; /bin/true; :"], stdin=subprocess.PIPE, text=True
    )
    followed.wait(lambda records: sum(r.key.pid == process.pid for r in records) == 2)
    wrapper, executed = execs(followed.of(process.pid))
    followed.shared.forget_agent(wrapper.key, wrapper.time_ns)
    followed.shared.forget_agent(wrapper.key)
    process.communicate("go\n", DEADLINE_SECONDS)
    started = [record for record in followed.all() if isinstance(record, ProcessFork)]
    assert [record.parent for record in started] == [executed.key]


def test_a_process_that_user_space_names_is_told_with_what_it_starts_from_then_on(
    followed: Followed,
) -> None:
    process = waiting_shell()
    key = followed.key(process.pid)
    followed.shared.name_agent(key)
    process.communicate("go\n", DEADLINE_SECONDS)
    fork, started, *ended = followed.all()
    assert isinstance(fork, ProcessFork)
    assert (fork.parent, fork.agent) == (key, key.pid)
    assert isinstance(started, ProcessExec)
    assert started.key == fork.key
    assert [type(record) for record in ended] == [ProcessExit, ProcessExit]


def test_the_name_of_an_earlier_process_does_not_reach_a_recycled_pid(followed: Followed) -> None:
    process = waiting_shell()
    key = followed.key(process.pid)
    followed.shared.name_agent(ProcessKey(key.pid, key.start_ns - 1))
    process.communicate("go\n", DEADLINE_SECONDS)
    assert followed.all() == []


def test_a_thread_is_no_process(followed: Followed) -> None:
    script = (
        "import threading; t = threading.Thread(target=int); t.start(); t.join();"
        "import os; p = os.fork(); p or os._exit(0); os.wait()"
    )
    pid = run(sys.executable, "-c", script, WORD)
    forks = [r for r in followed.all() if isinstance(r, ProcessFork)]
    assert [fork.parent.pid for fork in forks] == [pid]
    ends = [r.key for r in followed.all() if isinstance(r, ProcessExit)]
    assert ends == [forks[0].key, execs(followed.of(pid))[0].key]


def test_a_process_ends_with_its_last_thread(followed: Followed, tmp_path: Path) -> None:
    """The first thread may leave before the others; the process lives on and starts others."""
    script = tmp_path / "script.py"
    script.write_text(
        "import ctypes, threading, os, time\n"
        "main = threading.get_native_id()\n"
        "def work():\n"
        "  while b'zombie' not in open(f'/proc/self/task/{main}/status', 'rb').read(): pass\n"
        "  os.system('/bin/true'); os._exit(0)\n"
        "exit_thread = {'x86_64': 60, 'aarch64': 93}[os.uname().machine]\n"
        "threading.Thread(target=work).start(); ctypes.CDLL(None).syscall(exit_thread, 0)"
    )
    pid = run(sys.executable, script, WORD)
    told = followed.all()
    assert sum(isinstance(r, ProcessExit) and r.key.pid == pid for r in told) == 1
    assert told[-1].key.pid == pid
    assert b"/bin/true" in [r.path for r in execs(told)]


def test_long_arguments_are_told_up_to_the_limit_and_as_cut(
    followed: Followed, agent: Path
) -> None:
    for count, whole in ((20, True), (90, True), (500, False)):
        words = ["-c", ":", *(f"argument{i}" for i in range(count))]
        pid = run(agent, *words)
        (told,) = execs(followed.of(pid))
        expected = (os.fsencode(agent), *map(str.encode, words))
        assert told.argv == expected[: len(told.argv)]
        assert told.truncated != whole
        assert (len(told.argv) == len(expected)) == whole
    assert len(told.argv) > 200


def test_odd_bytes_pass_through(followed: Followed, agent: Path) -> None:
    pid = run(agent, "-c", ":", "", os.fsdecode(b"\xff\xfe"), "two words\n")
    assert execs(followed.of(pid))[0].argv[3:] == (b"", b"\xff\xfe", b"two words\n")


def test_a_path_longer_than_its_room_is_told_as_cut(
    followed: Followed, agent: Path, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 200) / ("e" * 100)
    deep.mkdir(parents=True)
    shutil.copy("/bin/true", deep / "true")
    pid = run(agent, "-c", f"exec '{deep}/true' a")
    told = execs(followed.of(pid))[-1]
    assert os.fsencode(deep).startswith(told.path)
    assert len(told.path) == 255
    assert told.truncated
    assert told.argv[1:] == (b"a",)


def test_the_running_processes_are_those_of_proc(followed: Followed) -> None:
    before = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
    running = {process.key.pid: process for process in followed.programs.running()}
    after = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
    # A host may hide a process even from root: then it does so here as well.
    hidden = {pid for pid in before & after if not os.access(f"/proc/{pid}/ns/pid", os.R_OK)}
    assert (before & after) - hidden <= running.keys()
    own = running[os.getpid()]
    assert own.parent == running[os.getppid()].key
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    assert own.key.start_ns // (1_000_000_000 // os.sysconf("SC_CLK_TCK")) == ticks
    assert own.comm == Path("/proc/self/comm").read_bytes().strip()


def test_a_storm_of_processes_gives_every_record_of_agents_and_none_of_others(
    agent: Path,
) -> None:
    storm = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done"
    with following(ring_bytes=1 << 22) as followed:
        others = subprocess.Popen(["/bin/sh", "-c", storm])
        pid = run(agent, "-c", storm)
        assert others.wait(DEADLINE_SECONDS) == 0
        told = followed.all()
        assert followed.shared.lost() == {}
    assert len(execs(told)) == 301
    assert sum(isinstance(r, ProcessFork) for r in told) == 300
    assert sum(isinstance(r, ProcessExit) for r in told) == 301
    assert {r.agent for r in told if isinstance(r, ProcessExec | ProcessFork)} == {pid}


def test_records_that_find_no_room_are_counted(agent: Path) -> None:
    with following(ring_bytes=4096) as followed:
        run(agent, "-c", "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done")
        lost = followed.shared.lost()
        told = followed.all()
    assert lost.keys() == {LostPlace.RECORDS}
    assert len(told) + lost[LostPlace.RECORDS] == 51 + 50 + 51


def test_nothing_is_told_after_detaching(followed: Followed, agent: Path) -> None:
    followed.programs.detach()
    run(agent, "-c", "/bin/true")
    assert followed.all() == []
