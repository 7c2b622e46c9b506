from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from busted.agent import config_file
from busted.agent.config import Tables
from busted.agent.config_file import ConfigFile
from busted.agent.reload import Reload

AGENT = "[[agents]]\nname = 'mine'\nexecutables = ['mine']\n"


class Reloaded:
    """What became of a file that was read again."""

    def __init__(self) -> None:
        self.learned: list[Tables] = []
        self.refused: list[str | None] = []

    def read(self, file: ConfigFile, *texts: str) -> Reloaded:
        """Read the file with these texts, one after the other."""

        async def read() -> None:
            reload = Reload(file, self.learned.append, self.refused.append)
            for text in texts:
                assert file.path
                file.path.write_text(text)
                done = asyncio.Event()
                reload.ask(done.set)
                await asyncio.wait_for(done.wait(), 20)

        asyncio.run(read())
        return self


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("[hold]\nseconds = 3\n")
    path.chmod(0o644)
    return path


def test_changed_tables_are_taken_on_and_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = Reloaded().read(config_file.read(path), "[hold]\nseconds = 3\n" + AGENT)

    (tables,) = done.learned
    assert tables.agents.recognise("/bin/mine", ["mine"]) == "mine"
    assert done.refused == [None]
    assert caplog.messages == [f"{path}: changed, and taken on: agents"]


def test_what_takes_a_restart_is_told_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = "[[outputs]]\nkind = 'file'\ntarget = '/x'\n"
    done = Reloaded().read(config_file.read(path), "[hold]\nbytes = 70000\n" + output)

    assert done.learned == []
    assert caplog.messages == [
        f"{path}: changed, but takes a restart: hold.bytes, hold.seconds, outputs"
    ]


def test_a_file_that_is_the_same_says_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = Reloaded().read(config_file.read(path), "# a remark\n[hold]\nseconds = 3.0\n")

    assert (done.learned, caplog.messages) == ([], [])


def test_a_file_that_makes_no_sense_changes_nothing_until_it_does(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(AGENT)
    done = Reloaded().read(config_file.read(path), AGENT + "[hodl]\n", AGENT)

    assert done.learned == []
    refused, well = done.refused
    assert refused == f"{path}, line 4: nothing is called 'hodl'; did you mean 'hold'?"
    assert well is None
    assert caplog.messages == [f"the configuration stays as it was: {refused}"]
    assert caplog.records[0].levelno == logging.WARNING


def test_a_file_that_came_after_the_start_is_found(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(path.parent))
    path.write_text(AGENT)
    learned: list[Tables] = []

    async def read() -> None:
        done = asyncio.Event()
        Reload(ConfigFile(), learned.append, lambda why: None).ask(done.set)
        await asyncio.wait_for(done.wait(), 20)

    asyncio.run(read())
    assert len(learned) == 1
