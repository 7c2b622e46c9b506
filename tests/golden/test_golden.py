"""Yesterday's bytes of real clients give the events that they gave, see `tests.golden.make`."""

import json
from pathlib import Path

import pytest

from tests.e2e.bed import ANTHROPIC_KEY, OPENAI_KEY
from tests.golden.expected import HERE, RECORDINGS, expected, replayed

# All are in every clone of the repository.
MAX_BYTES = 1 << 20


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_gives_its_events(path: Path) -> None:
    told = [json.loads(line) for line in expected(path).read_text().splitlines()]

    assert told
    assert replayed(path) == told


def test_there_are_recordings_and_each_has_its_events() -> None:
    assert RECORDINGS
    assert {path.stem for path in RECORDINGS} == {path.stem for path in HERE.glob("*.jsonl")}


def test_the_recordings_are_small_and_hold_no_key() -> None:
    contents = [path.read_bytes() for path in RECORDINGS]

    assert sum(map(len, contents)) < MAX_BYTES
    for key in (OPENAI_KEY, ANTHROPIC_KEY):
        assert not any(key.encode() in content for content in contents)
