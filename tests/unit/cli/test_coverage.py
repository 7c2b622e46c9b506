"""`busted coverage`: from a monitor that runs, from a history, from a recording."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from busted.agent.coverage import Row
from busted.cli.main import main
from busted.events import Behavior, ConnectionCoverage, Coverage
from busted.sinks.history import History
from tests.recordings import exchange, record
from tests.unit.agent import test_socket_server
from tests.unit.agent.test_socket_server import Double, Served, serve
from tests.unit.sinks.samples import COVERAGE, event

OPAQUE = ConnectionCoverage(
    state="opaque",
    reason="no_hook",
    stack="java_jsse",
    library="/jvm\x1b[2J/libjvm.so",
    name="api.openai.com",
    provider="openai",
    wire_sent=900,
    wire_received=7000,
)
DECODED = ConnectionCoverage(
    state="decoded", wire_sent=1000, wire_received=1000, decoded_sent=400, decoded_received=600
)
LLM = Behavior(kind="llm_api", confidence=0.97, model="1")
ROWS = [
    Row(7, "java", "1", OPAQUE),
    Row(7, "java", "2", OPAQUE, behavior=LLM),
    Row(8, "claude", "3", DECODED, agent="claude-code", open=True),
]


class Answers(Double):
    def coverage(self) -> list[bytes]:
        return [msgspec.json.encode(row) for row in ROWS]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(test_socket_server, "Double", Answers)
    with serve(tmp_path) as served:
        yield served


def coverage(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["coverage", *map(str, arguments)], prog_name="busted")


def test_each_process_has_a_line_and_what_was_not_read_its_reason(served: Served) -> None:
    done = coverage("--socket", served.path)
    assert done.exit_code == 0
    head, java, reason, behaving, claude = done.stdout.splitlines()
    assert head.split()[3:] == ["connections", "decoded", "partial", "opaque", "wire", "read"]
    assert java.split() == ["7", "java", "-", "2", "0", "0", "2", "15,800", "0"]
    assert claude.split() == ["8", "claude", "claude-code", "1", "1", "0", "0", "2,000", "1,000"]
    assert reason.split()[:5] == ["1", "opaque", "api.openai.com", "no_hook", "java_jsse"]
    assert behaving.endswith("behaves like an LLM client")
    assert "behaves" not in reason
    assert "\x1b" not in done.stdout


def test_json_has_a_line_for_each_connection(served: Served) -> None:
    done = coverage("--socket", served.path, "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == msgspec.to_builtins(ROWS)


def test_a_history_holds_what_was_not_read_and_nothing_of_busted_itself(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(History(path)) as history:
        told = msgspec.structs.replace(event(Coverage(connection=OPAQUE)), id="2" * 26)
        history.add([event(COVERAGE), told])
    done = coverage("--history", path, "--json")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["coverage"] == msgspec.to_builtins(OPAQUE)


def test_a_recording_is_looked_into(tmp_path: Path) -> None:
    path = record(tmp_path / "a.recording", exchange("Name a colour.", "Blue."))
    done = coverage(path)
    assert (done.exit_code, done.stdout) == (
        0,
        "No connection of an agent or to an AI host is known.\n",
    )


def test_what_cannot_be_asked_is_an_error_and_says_so(tmp_path: Path) -> None:
    assert coverage("--socket", tmp_path / "none").exit_code == 3
    (tmp_path / "other").write_bytes(b"no recording")
    assert coverage(tmp_path / "other").exit_code == 1
    assert coverage(tmp_path / "other", "--history", tmp_path / "h").exit_code == 2
