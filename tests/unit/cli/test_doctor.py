"""`busted doctor`: the same answers for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from busted.agent.doctor import Candidate, Check, Diagnosis, Library, Other, diagnose
from busted.cli import doctor as command
from busted.cli.doctor import CANNOT_RUN, doctor, text

FOUND = Diagnosis(
    version="1.0",
    kernel="6.1.0",
    machine="x86_64",
    works=False,
    checks=(Check("ring buffer", "no", "5.8", "", "records", "Linux 5.8 or later"),),
    enforcement=(Check("SOCK_DESTROY", "yes", "4.5"),),
    programs=(Check("tls/tls_write", "unknown", detail="not tried"),),
    privileges=(Check("CAP_BPF", "yes"),),
    libraries=(Library("/lib/libgnutls.so", "gnutls", (7, 8), "no", "not hooked yet"),),
    candidates=(Candidate(9, "go\x1b[2Jagent", "unknown stack"),),
    others=(Other(5, "tracer", "traces process 7"),),
    unseen=("3 processes of others",),
)


def test_every_answer_stands_in_the_text_with_its_reason_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.rstrip() for line in map(click.unstyle, text(FOUND))]

    assert "monitoring cannot work here" in lines
    assert "  no      ring buffer: since Linux 5.8; for records; to do: Linux 5.8 or later" in lines
    assert "  unknown tls/tls_write: not tried" in lines
    assert "  yes     CAP_BPF" in lines
    assert lines[lines.index("Enforcement") + 1] == "  yes     SOCK_DESTROY"
    assert "  no      /lib/libgnutls.so (gnutls): not hooked yet; in 2 processes" in lines
    assert "  tracer(5) traces process 7" in lines
    assert "  3 processes of others" in lines
    assert all(len(line) <= 80 for line in lines)


def test_a_name_of_a_process_cannot_steer_the_terminal() -> None:
    assert not any("\x1b[2J" in line for line in text(FOUND))


def test_json_holds_all_of_it_and_a_host_that_cannot_run_ends_with_3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "diagnose", lambda: FOUND)
    done = CliRunner().invoke(doctor, ["--json"])

    assert done.exit_code == CANNOT_RUN
    told = json.loads(done.stdout)
    assert told.keys() == set(Diagnosis.__struct_fields__)
    assert told["libraries"][0]["pids"] == [7, 8]


def test_without_a_running_monitor_live_says_so_and_ends_with_3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "ask_running", list)
    done = CliRunner().invoke(doctor, ["--live"])

    assert done.exit_code == CANNOT_RUN
    assert "no monitor runs here" in done.stderr


@pytest.mark.parametrize("content", [b"", b"\xff\xfe:\0\n\n", b"CapEff:\tnonsense\nSeccomp"])
def test_odd_content_of_proc_is_no_error(tmp_path: Path, content: bytes) -> None:
    for process in ("1", "self"):
        (tmp_path / process / "fd").mkdir(parents=True)
        for name in ("status", "maps", "comm", "uid_map"):
            (tmp_path / process / name).write_bytes(content)
    (tmp_path / "mounts").write_bytes(content)

    assert {check.answer for check in diagnose(tmp_path).privileges} == {"unknown"}
