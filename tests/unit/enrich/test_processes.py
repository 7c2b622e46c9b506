"""What /proc knows of processes, over made-up process directories."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from msgspec import json

from busted.enrich.processes import MAX_ARGV_BYTES, Processes, ProcessFacts
from busted.events import Coverage, Event, Process, to_json

NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
TICKS = 4711
START_NS = TICKS * NS_PER_TICK + 1234
START_TIME = "2026-11-22T14:03:22.000000000Z"


class Proc:
    """A made-up /proc, and what looks at it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.build_ids: list[Path] = []
        self.processes = Processes(self.build_id, directory)

    def build_id(self, path: Path) -> str:
        self.build_ids.append(path)
        return "abcd"

    def run(
        self,
        pid: int = 7,
        *,
        exe: bytes = b"/usr/bin/python3",
        cmdline: bytes = b"python3\0-c\0pass\0",
        name: bytes = b"python3",
        ticks: int = TICKS,
        inner: bytes = b"",
    ) -> None:
        directory = self.directory / str(pid)
        directory.mkdir()
        os.symlink(exe, os.fsencode(directory / "exe"))
        (directory / "cmdline").write_bytes(cmdline)
        status = b"Name:\tx\nNSpid:\t%d%s\nNSpgid:\t7\t9\n" % (pid, inner)
        (directory / "status").write_bytes(status)
        fields = [b"S", *[b"0"] * 18, b"%d" % ticks, *[b"9"] * 30]
        (directory / "stat").write_bytes(b"%d (%s) " % (pid, name) + b" ".join(fields) + b"\n")

    def look(self, pid: int = 7) -> ProcessFacts | None:
        return self.processes.look(pid, START_NS, START_TIME)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def event(pid: int = 7, start_time: str | None = START_TIME) -> Event:
    return Event(
        schema=1,
        id="1",
        time="",
        host="host",
        process=Process(pid=pid, name="python3", start_time=start_time),
        action=Coverage(),
    )


def test_an_event_gets_what_proc_says_of_its_process(proc: Proc) -> None:
    proc.run()
    proc.look()
    process = proc.processes(event()).process
    assert process.exe == "/usr/bin/python3"
    assert process.argv == ("python3", "-c", "pass")
    assert process.build_id == "abcd"
    assert proc.build_ids == [proc.directory / "7" / "exe"]


@pytest.mark.parametrize(("inner", "expected"), [(b"", None), (b"\t3", 3), (b"\t40\t1", 1)])
def test_the_pid_that_a_container_gives_stands_beside_that_of_the_host(
    proc: Proc, inner: bytes, expected: int | None
) -> None:
    proc.run(inner=inner)
    proc.look()
    process = proc.processes(event()).process
    assert (process.pid, process.pid_in_namespace) == (7, expected)


def test_a_process_is_looked_at_once(proc: Proc) -> None:
    proc.run()
    assert proc.look() == ProcessFacts(
        7, START_TIME, "/usr/bin/python3", ("python3", "-c", "pass"), "abcd"
    )
    assert proc.look() is None
    assert len(proc.build_ids) == 1


def test_facts_stay_after_the_process_is_gone(proc: Proc) -> None:
    proc.run()
    proc.look()
    (proc.directory / "7" / "exe").unlink()
    assert proc.processes(event()).process.exe == "/usr/bin/python3"


def test_an_event_of_an_unknown_process_is_left_as_it_is(proc: Proc) -> None:
    assert proc.processes(event()) == event()
    assert proc.processes(event(start_time=None)) == event(start_time=None)


def test_a_recycled_pid_lends_nothing_to_the_older_process(proc: Proc) -> None:
    proc.run(ticks=TICKS + 1)
    assert proc.look() == ProcessFacts(7, START_TIME)
    assert proc.processes(event()).process.exe is None
    assert proc.build_ids == []


def test_a_recycled_pid_is_a_process_of_its_own(proc: Proc) -> None:
    proc.processes.learn(ProcessFacts(7, "earlier", exe="/bin/old"))
    proc.run()
    assert proc.look() is not None
    assert proc.processes(event()).process.exe == "/usr/bin/python3"
    assert proc.processes(event(start_time="earlier")).process.exe == "/bin/old"


def test_the_start_is_compared_in_ticks_since_proc_tells_no_more(proc: Proc) -> None:
    proc.run()
    for number, part in enumerate((0, NS_PER_TICK - 1)):
        facts = proc.processes.look(7, TICKS * NS_PER_TICK + part, f"start {number}")
        assert facts is not None
        assert facts.exe == "/usr/bin/python3"


def test_a_process_that_is_gone_has_no_facts(proc: Proc) -> None:
    assert proc.look() == ProcessFacts(7, START_TIME)


@pytest.mark.parametrize("missing", ["exe", "cmdline", "stat"])
def test_a_process_that_ends_while_it_is_read_has_no_facts(proc: Proc, missing: str) -> None:
    proc.run()
    (proc.directory / "7" / missing).unlink()
    assert proc.look() == ProcessFacts(7, START_TIME)


@pytest.mark.parametrize("stat", [b"", b"7 (python3) S 1", b"7 (python3) S " + b"x " * 30])
def test_a_stat_that_cannot_be_read_gives_no_facts(proc: Proc, stat: bytes) -> None:
    proc.run()
    (proc.directory / "7" / "stat").write_bytes(stat)
    assert proc.look() == ProcessFacts(7, START_TIME)


@pytest.mark.parametrize("name", [b"a) S 1 (b", b"((", b"))", b"a b", b"\xff\n"])
def test_a_name_cannot_shift_the_fields_behind_it(proc: Proc, name: bytes) -> None:
    proc.run(name=name)
    facts = proc.look()
    assert facts is not None
    assert facts.exe == "/usr/bin/python3"


def test_odd_bytes_become_text_that_is_valid_json(proc: Proc) -> None:
    proc.run(exe=b"/opt/\xff\xfe", cmdline=b"caf\xc3\xa9\0\xc3\0\0two words\n\0")
    proc.look()
    told = proc.processes(event())
    assert told.process.exe == "/opt/\ufffd\ufffd"
    assert told.process.argv == ("café", "\ufffd", "", "two words\n")
    assert json.decode(to_json(told), type=Event) == told


@pytest.mark.parametrize("cmdline", [b"", bytes(5)])
def test_a_process_without_arguments_has_none(proc: Proc, cmdline: bytes) -> None:
    proc.run(cmdline=cmdline)
    proc.look()
    assert proc.processes(event()).process.argv == ()


def test_empty_arguments_between_others_are_kept(proc: Proc) -> None:
    proc.run(cmdline=b"prog\0\0last\0")
    proc.look()
    assert proc.processes(event()).process.argv == ("prog", "", "last")


def test_the_padding_of_a_program_that_renamed_itself_is_no_argument(proc: Proc) -> None:
    proc.run(cmdline=b"worker: idle" + bytes(40))
    proc.look()
    assert proc.processes(event()).process.argv == ("worker: idle",)


def test_a_long_command_line_is_cut_between_arguments(proc: Proc) -> None:
    """Half a key would pass for a harmless word."""
    proc.run(cmdline=b"prog\0-v\0" + b"x" * (MAX_ARGV_BYTES * 3) + b"\0last\0")
    proc.look()
    assert proc.processes(event()).process.argv == ("prog", "-v")


def test_facts_are_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    processes = Processes(lambda _: None, tmp_path, max_processes=2)
    for pid in (1, 2, 3):
        processes.learn(ProcessFacts(pid, START_TIME, exe=f"/bin/{pid}"))
    assert [processes(event(pid)).process.exe for pid in (1, 2, 3)] == [None, "/bin/2", "/bin/3"]


def test_this_very_process_is_read_from_the_real_proc() -> None:
    ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
    processes = Processes(lambda _: "id")
    facts = processes.look(os.getpid(), ticks * NS_PER_TICK, START_TIME)
    assert facts is not None
    assert facts.exe == os.readlink("/proc/self/exe")
    assert "pytest" in " ".join(facts.argv)


# Another program in the same process


EARLY, LATE = "2026-11-22T14:03:23.000000000Z", "2026-11-22T14:03:24.000000000Z"


def execed(since: str, exe: str = "run.sh") -> ProcessFacts:
    return ProcessFacts(7, START_TIME, exe, (exe, "-x"), since=since)


def at(time: str) -> Event:
    return msgspec.structs.replace(event(), time=time)


def test_an_event_has_the_facts_of_its_time_though_it_is_told_later(proc: Proc) -> None:
    proc.run()
    proc.look()
    proc.processes.executed(execed(EARLY, "sh"), inode=0)
    proc.processes.executed(execed(LATE, "ls"), inode=0)

    told = [proc.processes(at(time)).process.exe for time in (START_TIME, EARLY, LATE, "3000")]
    assert told == ["/usr/bin/python3", "sh", "ls", "ls"]
    assert proc.processes(at(EARLY)).process.argv == ("sh", "-x")
    assert proc.processes(at(EARLY)).process.build_id is None


def test_the_path_and_build_id_are_those_of_what_runs_when_it_is_the_file_told(
    tmp_path: Path,
) -> None:
    interpreter = tmp_path / "interpreter"
    interpreter.write_bytes(b"")
    proc = Proc(tmp_path)
    proc.run(exe=os.fsencode(interpreter))

    facts = proc.processes.executed(execed(EARLY), interpreter.stat().st_ino)
    assert (facts.exe, facts.build_id) == (str(interpreter), "abcd")
    assert facts.argv == ("run.sh", "-x")
    # It executed something else since, or ended and another has its pid.
    facts = proc.processes.executed(execed(LATE), interpreter.stat().st_ino + 1)
    assert (facts.exe, facts.build_id) == ("run.sh", None)
    facts = Processes(lambda _: "id", tmp_path / "none").executed(execed(LATE), 1)
    assert (facts.exe, facts.build_id) == ("run.sh", None)


def test_a_process_keeps_its_last_few_programs(tmp_path: Path) -> None:
    processes = Processes(lambda _: None, tmp_path)
    for second in range(20):
        processes.learn(execed(f"2026-11-22T14:04:{second:02}.000000000Z", str(second)))
    assert processes(at("2026-11-22T14:04:30")).process.exe == "19"
    assert processes(at("2026-11-22T14:04:12.5")).process.exe == "12"
    assert processes(at("2026-11-22T14:04:11.5")).process.exe is None


def test_processes_that_ended_make_room_before_those_that_run(tmp_path: Path) -> None:
    processes = Processes(lambda _: None, tmp_path, max_processes=2)
    processes.learn(ProcessFacts(1, START_TIME, exe="/bin/agent"))
    for pid in range(2, 9):
        processes.learn(ProcessFacts(pid, START_TIME, exe="/bin/ls"))
        processes.ended(pid, START_TIME)
    assert processes(event(1)).process.exe == "/bin/agent"
    assert processes(event(8)).process.exe == "/bin/ls"
    processes.ended(99, START_TIME)
    processes.learn(ProcessFacts(9, START_TIME))
    processes.learn(ProcessFacts(10, START_TIME))
    assert processes(event(1)).process.exe is None


def test_what_a_process_said_of_itself_stands_where_proc_has_nothing_any_more(proc: Proc) -> None:
    program = proc.directory / "program"
    program.touch()
    (proc.directory / "name").symlink_to(program)
    told = ProcessFacts(7, START_TIME, str(proc.directory / "name"), ("name", "-v"))

    facts = proc.processes.runs(told, START_NS, program.stat().st_ino)

    assert facts == msgspec.structs.replace(told, exe=str(program), build_id="abcd")
    assert proc.look() is None


@pytest.mark.parametrize("exe", ["./name", "/no/such/name", "/", "/a\0b", None])
def test_a_program_that_is_not_the_one_told_has_the_name_and_no_build_id(
    proc: Proc, exe: str | None
) -> None:
    told = ProcessFacts(7, START_TIME, exe, ("name",))

    assert proc.processes.runs(told, START_NS, 1) == told
    assert proc.build_ids == []


def test_what_a_process_says_of_itself_replaces_nothing_that_is_known(proc: Proc) -> None:
    told = ProcessFacts(7, START_TIME, "/bin/false", ("liar",))
    proc.run()

    facts = proc.processes.runs(told, START_NS, 1)

    assert facts is not None
    assert (facts.exe, facts.argv) == ("/usr/bin/python3", ("python3", "-c", "pass"))
    assert proc.processes.runs(told, START_NS, 1) is None


def test_what_proc_lost_while_it_was_read_is_what_the_process_said(proc: Proc) -> None:
    proc.run(cmdline=b"")

    facts = proc.processes.runs(ProcessFacts(7, START_TIME, "/x", ("python3",)), START_NS, 1)

    assert facts is not None
    assert (facts.exe, facts.argv, facts.build_id) == ("/usr/bin/python3", ("python3",), "abcd")
