from pathlib import Path

import msgspec
import pytest

from busted.agent.outputs import Outputs
from busted.sinks.channel import WrongOutput
from busted.sinks.kinds import parse
from tests.unit.sinks.samples import PROMPT, event

WHOLE = event(msgspec.structs.replace(PROMPT, user_message="I am jane@example.com"))


def messages(path: Path) -> list[str | None]:
    lines = path.read_text().splitlines()
    return [msgspec.json.decode(line)["action"].get("user_message") for line in lines]


def test_each_output_has_its_own_content_level(tmp_path: Path) -> None:
    levels = ("none", "redacted", "full")
    texts = [f"file:{tmp_path / level}?content={level}&name={level}" for level in levels]
    outputs = Outputs([parse(f"file:{tmp_path / 'usual'}"), *map(parse, texts)], "redacted")
    outputs.write(WHOLE)
    outputs.close(20)

    assert messages(tmp_path / "none") == [None]
    assert messages(tmp_path / "full") == ["I am jane@example.com"]
    (redacted,) = messages(tmp_path / "redacted")
    assert redacted is not None and "jane" not in redacted
    # One key: a token ties outputs together.
    assert messages(tmp_path / "usual") == [redacted]
    assert outputs.lost() == {}
    assert {name: f.delivered for name, f in outputs.figures().items()} == {
        "file": 1,
        **dict.fromkeys(levels, 1),
    }


def test_what_an_output_lost_is_told_by_its_place() -> None:
    # Nobody listens there.
    outputs = Outputs([parse("unix:/nobody/there?spool=off&name=local")], "redacted")
    outputs.write(WHOLE)
    outputs.close(0.1)

    assert outputs.lost() == {"sink_local": 1}


def test_two_outputs_of_one_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(WrongOutput, match="two outputs"):
        Outputs([parse(f"file:{tmp_path / 'a'}"), parse(f"file:{tmp_path / 'b'}")], "redacted")
