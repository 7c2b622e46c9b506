"""What agents do with files, as `busted monitor --file-monitor` tells it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.monitor import Event, Monitor
from tests.requirements import ROOT, require

KEY = "sk-" + "proj-" + "".join("aZ3kQ9xW7b"[i * 7 % 10] for i in range(48))
EMAIL = "quincy.planted" + "@" + "example.org"
WORDS = "zanzibar quokka"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shell that is called as Claude Code is."""
    require("e2e")
    path = tmp_path_factory.mktemp("agent") / "claude"
    shutil.copy("/bin/sh", path)
    return path


def run(directory: Path, *command: str | Path) -> None:
    """Run a command in a directory to its end."""
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL, timeout=60)


def below(directory: Path, events: list[Event], kind: str) -> list[dict[str, Any]]:
    """The actions of a kind with files in a directory, paths cut to what is below it."""
    start = f"{os.path.realpath(directory)}/"
    return [
        event["action"] | {"path": event["action"]["path"].removeprefix(start)}
        for event in tuple(events)
        if event["action"]["type"] == kind and event["action"]["path"].startswith(start)
    ]


def done(*monitors: Monitor) -> None:
    """End monitors, when everything they know is told."""
    for monitor in monitors:
        assert monitor.stop() == 130, monitor.stderr


def test_an_agents_files_are_told_with_what_was_read_and_written(
    agent: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").write_text(f"{WORDS}\n")
    with Monitor("--file-monitor") as monitor:
        run(tmp_path, "/bin/sh", "-c", "cat in > other")
        run(tmp_path, agent, "-c", "cat in > out; mv out kept; rm in")
        done(monitor)
    accesses = below(tmp_path, monitor.events, "FileAccess")
    assert [(a["operation"], a["path"]) for a in accesses] == [
        ("open", "out"),
        ("open", "in"),
        ("close", "in"),
        ("close", "out"),
        ("rename", "out"),
        ("unlink", "in"),
    ]
    assert accesses[4]["new_path"] == f"{os.path.realpath(tmp_path)}/kept"
    assert (accesses[0]["mode"], accesses[0]["flags"]) == ("write", ["create", "truncate"])
    size = len(WORDS) + 1
    assert (accesses[2]["bytes_read"], accesses[3]["bytes_written"]) == (size, size)
    for action in below(tmp_path, monitor.events, "FileData"):
        assert action["content"] == f"{WORDS}\n"
    events = [e for e in monitor.events if e["action"]["type"] == "FileAccess"]
    assert {e["process"]["agent"] for e in events} == {"claude-code"}
    assert monitor.lost == {}


def test_sensitive_files_are_told_of_everybody_but_their_content_of_agents_only(
    agent: Path, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"TOKEN={KEY}\n")
    with Monitor("--file-monitor", "sensitive") as monitor:
        run(tmp_path, "/bin/sh", "-c", "cat .env; echo a > b")
        run(tmp_path, agent, "-c", "cat .env; echo a > b")
        done(monitor)
    accesses = below(tmp_path, monitor.events, "FileAccess")
    assert {a["path"] for a in accesses} == {".env"}
    assert {a["category"] for a in accesses} == {"environment"}
    assert [a["operation"] for a in accesses] == ["open", "open", "close"]
    (data,) = below(tmp_path, monitor.events, "FileData")
    assert data["content"] == f"TOKEN={KEY}\n"
    assert [finding["kind"] for finding in data["pii"]]


AGENT = """
import os, pathlib, subprocess
secret = pathlib.Path(".env").read_text()
pathlib.Path("report.txt").write_text("found: " + secret)
pathlib.Path("plans.acme").write_text("plans")
with open("log", "w", buffering=1) as log:
    print("one", file=log)
    subprocess.run(["true"])
    print("two", file=log)
os.rename("report.txt", "sent.txt")
os.unlink("plans.acme")
"""


def test_a_python_agent_of_the_configuration_reads_a_secret_and_writes_it(tmp_path: Path) -> None:
    require("e2e")
    configuration, script = tmp_path / "busted.toml", tmp_path / "acme_agent.py"
    configuration.write_text(
        '[[agents]]\nname = "acme"\nexecutables = ["acme_agent.py"]\n'
        '[[sensitive]]\ncategory = "acme-plans"\npaths = ["*.acme"]\n'
    )
    script.write_text(AGENT)
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / ".env").write_text(f"TOKEN={KEY}\n")
    with Monitor("--file-monitor", "--config", str(configuration), content="redacted") as monitor:
        run(directory, sys.executable, script)
        done(monitor)
    accesses = below(directory, monitor.events, "FileAccess")
    assert [(a["operation"], a["path"], a.get("category")) for a in accesses] == [
        ("open", ".env", "environment"),
        ("close", ".env", "environment"),
        ("open", "report.txt", None),
        ("close", "report.txt", None),
        ("open", "plans.acme", "acme-plans"),
        ("close", "plans.acme", "acme-plans"),
        ("open", "log", None),
        ("close", "log", None),
        ("rename", "report.txt", None),
        ("unlink", "plans.acme", "acme-plans"),
    ]
    content = {a["path"]: a["content"] for a in below(directory, monitor.events, "FileData")}
    assert content.keys() == {".env", "report.txt", "plans.acme", "log"}
    assert content["log"] == "one\ntwo\n"
    assert KEY not in "".join(content.values())
    assert content["report.txt"].startswith("found: TOKEN=<")
    agents = {e["process"].get("agent") for e in monitor.events if "File" in e["action"]["type"]}
    assert agents == {"acme"}
    assert monitor.lost == {}


def test_a_secret_that_a_limit_cuts_is_not_shown(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text(f"{WORDS} {KEY}\n")
    limit = len(WORDS) + 1 + 30
    with Monitor("--file-monitor", "--max-file-bytes", str(limit), content="redacted") as monitor:
        run(tmp_path, agent, "-c", "cat notes")
        done(monitor)
    (data,) = below(tmp_path, monitor.events, "FileData")
    assert (data["truncated"], data["bytes"]) == (True, len(WORDS) + 1 + len(KEY) + 1)
    assert data["content"].startswith(WORDS)
    assert KEY[:16] not in data["content"]


def test_without_the_option_no_file_is_told(agent: Path, tmp_path: Path) -> None:
    with Monitor() as monitor:
        run(tmp_path, agent, "-c", "echo a > .env; cat .env")
        done(monitor)
    assert below(tmp_path, monitor.events, "FileAccess") == []


def test_a_recording_of_files_gives_the_same_events(agent: Path, tmp_path: Path) -> None:
    recording = tmp_path / "files.rec"
    directory = tmp_path / "d"
    directory.mkdir()
    with Monitor("--file-monitor", "--record", str(recording)) as monitor:
        run(directory, agent, "-c", f"echo {KEY} > a; cat a; mv a .env; rm .env")
        done(monitor)
    replayed = subprocess.check_output(
        [
            *(sys.executable, "-m", "busted.cli.main", "replay"),
            *("--format", "json", "--content", "full", recording),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        text=True,
    )
    live = [line for line in monitor.stdout if '"File' in line]
    assert live == [line + "\n" for line in replayed.splitlines() if '"File' in line]
    assert len(live) > 5


FORMATS, LEVELS = ("text", "verbose", "json"), ("none", "redacted")
Outputs = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def outputs(agent: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    """All that monitors with each format and level printed of one run."""
    directory = tmp_path_factory.mktemp("private")
    # Long enough that it is read and written in several pieces, one of which ends in a key.
    text = f"{WORDS} {EMAIL}\n" + f"key={KEY}\n" * 800
    (directory / "notes").write_text(text)
    with ExitStack() as stack:
        monitors = {
            (output, content): stack.enter_context(
                Monitor("--file-monitor", output=output, content=content)
            )
            for output, content in [*product(FORMATS, LEVELS), ("json", "full")]
        }
        copy = (
            "import os, sys; i = os.open('notes', os.O_RDONLY);"
            "o = os.open('copy', os.O_WRONLY | os.O_CREAT)\n"
            "while piece := os.read(i, 1000): os.write(o, piece)"
        )
        run(directory, agent, "-c", 'exec "$@"', agent, sys.executable, "-c", copy)
        done(*monitors.values())
        yield {
            which: "".join([*monitor.stdout, *monitor.stderr])
            for which, monitor in monitors.items()
        }


def test_the_secrets_were_captured_or_the_next_test_would_prove_nothing(outputs: Outputs) -> None:
    full = outputs["json", "full"]
    assert full.count(KEY) > 1000
    assert EMAIL in full


@pytest.mark.parametrize(("output", "content"), [*product(FORMATS, LEVELS)])
def test_secrets_in_files_are_not_shown(outputs: Outputs, output: str, content: str) -> None:
    shown = outputs[output, content]
    assert "notes" in shown
    assert EMAIL not in shown
    # Nor a part of it that is longer than what all such keys begin with.
    assert not any(KEY[i : i + 16] in shown for i in range(8, len(KEY) - 16))
    assert (WORDS in shown) == (content == "redacted")
