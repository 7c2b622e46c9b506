"""`busted query`, `tail`, `top` and `export` over a history."""

from __future__ import annotations

import csv
import io
import json
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from busted.cli.history import Time
from busted.cli.main import main
from busted.events import Event, to_json
from busted.sinks.history import History
from tests.unit.cli.command import DEADLINE, start
from tests.unit.sinks.samples import PROMPT, RESPONSE, TOOL_CALL, event


def now(action: object, number: int, minutes_ago: float = 1) -> Event:
    at = datetime.fromtimestamp(time.time() - minutes_ago * 60, UTC)
    return msgspec.structs.replace(
        event(action),  # type: ignore[arg-type]
        id=f"{number:026}",
        time=f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z",
        exchange_id="e",
    )


EVENTS = [now(PROMPT, 0, 90), now(PROMPT, 1, 3), now(TOOL_CALL, 2, 2), now(RESPONSE, 3, 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "history.db"
    with closing(History(path)) as history:
        history.add(EVENTS)
    return path


def busted(command: str, path: Path, *arguments: str) -> Result:
    line = [command, "--history", str(path), *arguments]
    return CliRunner().invoke(main, line, prog_name="busted")


def ids(result: Result) -> list[int]:
    assert result.exit_code == 0, result.output
    return [int(json.loads(line)["id"]) for line in result.stdout.splitlines()]


def test_query_prints_what_agrees_oldest_first(path: Path) -> None:
    assert ids(busted("query", path, "--format", "json")) == [0, 1, 2, 3]
    assert ids(busted("query", path, "--format", "json", "--limit", "2")) == [2, 3]
    assert ids(busted("query", path, "--format", "json", "--since", "1h")) == [1, 2, 3]
    assert ids(busted("query", path, "--format", "json", "--until", "1h", "capital")) == [0]
    assert ids(busted("query", path, "--format", "json", "--tool", "get_weather")) == [2]


def test_query_prints_lines_that_people_read(path: Path) -> None:
    printed = busted("query", path, "naïve").stdout
    assert "<<< openai gpt-4o" in printed
    assert "Paris" in printed


def test_query_prints_a_table_for_spreadsheets_that_holds_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    hostile = msgspec.structs.replace(TOOL_CALL, name='=cmd|"/c calc"!A1')
    with closing(History(path)) as history:
        history.add([now(hostile, 1)])
    head, row = csv.reader(io.StringIO(busted("query", path, "--format", "csv").stdout))
    told = dict(zip(head, row, strict=True))
    assert told["type"] == "ToolCall"
    assert told["subject"] == "'" + hostile.name


def test_a_history_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    for command in ("query", "tail", "top", "export"):
        result = busted(command, tmp_path / "none.db")
        assert result.exit_code == 1
        assert result.stderr.startswith("busted: cannot read the history")
        assert len(result.stderr.splitlines()) == 1


def test_export_prints_the_events_as_they_are(path: Path) -> None:
    lines = b"".join(to_json(one) + b"\n" for one in EVENTS)
    assert busted("export", path).stdout_bytes == lines


def test_export_prints_a_transcript_and_an_archive(path: Path) -> None:
    text = busted("export", path, "--format", "markdown", "--since", "1h").stdout
    assert text.index("What is the capital") < text.index("Paris, naïve friend.")
    archive = json.loads(busted("export", path, "--format", "har", "--since", "1h").stdout)
    (entry,) = archive["log"]["entries"]
    assert entry["response"]["status"] == 200


def test_top_sums_up_the_last_minutes(path: Path) -> None:
    lines = busted("top", path, "--once").stdout.splitlines()
    (model,) = (line.split() for line in lines if line.startswith("gpt-4o"))
    assert model == ["gpt-4o", "2", "18", "7", "0.0000", "0", "1.36"]
    (tool,) = (line.split() for line in lines if line.startswith("get_weather"))
    assert tool == ["get_weather", "1"]


def test_tail_prints_the_last_and_then_what_comes(path: Path) -> None:
    with start("tail", "--history", path, "--format", "json", "--lines", "1") as process:
        assert process.stdout is not None
        assert int(json.loads(process.stdout.readline())["id"]) == 3
        with closing(History(path)) as history:
            history.add([now(PROMPT, 4), now(TOOL_CALL, 5)])
        assert [int(json.loads(process.stdout.readline())["id"]) for _ in "ab"] == [4, 5]
        process.terminate()
        process.wait(DEADLINE)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("1w", 604800)]
)
def test_a_time_can_be_told_as_how_long_ago(text: str, seconds: int) -> None:
    before = time.time_ns()
    told = Time().convert(text, None, None)
    assert before - seconds * 10**9 <= told <= time.time_ns() - seconds * 10**9


def test_a_time_can_be_told_as_it_is() -> None:
    assert Time().convert("2026-11-22T14:00:00Z", None, None) == 1_795_356_000 * 10**9


@pytest.mark.parametrize("text", ["", "soon", "99999999999999h", "-1h", "2026-13-01"])
def test_what_is_no_time_is_a_mistake_in_use(path: Path, text: str) -> None:
    assert busted("query", path, "--since", text).exit_code == 2
