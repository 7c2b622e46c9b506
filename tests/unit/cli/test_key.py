import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from busted.agent.host_key import FILE_NAME
from busted.cli.main import main
from tests.unit.classifier.wire import request

PROMPT = request({"model": "m", "messages": [{"role": "user", "content": "bob@example.com"}]})


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path


def busted(*args: str) -> Result:
    return CliRunner().invoke(main, args, prog_name="busted")


def hashes(state: Path) -> set[str]:
    (state / "prompt").write_bytes(PROMPT)
    result = busted("classify", "--write", str(state / "prompt"))
    assert result.exit_code == 0, result.stderr
    actions = [json.loads(line)["action"] for line in result.stdout.splitlines()]
    return {finding["hash"] for action in actions for finding in action.get("pii", ())}


def test_hashes_before_and_after_a_rotation_differ_and_hold_until_the_next(state: Path) -> None:
    assert busted("key", "rotate").exit_code == 0
    before = hashes(state)
    assert before == hashes(state)

    result = busted("key", "rotate")

    assert result.exit_code == 0
    assert result.stdout.startswith(f"{state / FILE_NAME} has a new key")
    assert len(before | hashes(state)) == 2


def test_a_key_that_cannot_be_changed_ends_with_1_and_says_why(state: Path) -> None:
    (state / FILE_NAME).mkdir()

    result = busted("key", "rotate")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"busted: cannot change {state / FILE_NAME}: ")
