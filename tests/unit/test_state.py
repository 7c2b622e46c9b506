from pathlib import Path

import pytest

from busted import state


def test_systemd_says_where_the_state_is() -> None:
    assert state.directory({"STATE_DIRECTORY": "/a/b:/c"}) == Path("/a/b")
    assert state.directory({}) == Path("/var/lib/busted")


def test_spools_and_the_history_are_in_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))

    assert (state.spool(), state.history()) == (tmp_path / "spool", tmp_path / "history.db")
