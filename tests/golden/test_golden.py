"""Yesterday's bytes of real clients give the events that they gave, see `tests.golden.make`."""

import json
from pathlib import Path

import pytest

from busted.agent import recording
from busted.agent.recording import RawRecord
from tests.e2e.bed import KEYS
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


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("openai_sync", b"gzip"),
        ("google_stream", b"gzip"),
        ("mistral", b"br"),
        ("mistral_stream", b"br"),
        ("groq", b"zstd"),
        ("groq_stream", b"zstd"),
    ],
)
def test_answers_were_recorded_in_the_coding_that_came(name: str, coding: bytes) -> None:
    _, frames = recording.read(HERE / f"{name}.rec")
    wire = b"".join(frame.raw for frame in frames if isinstance(frame, RawRecord))

    assert b"\r\ncontent-encoding: " + coding + b"\r\n" in wire.lower()


def test_the_recordings_are_small_and_hold_no_key() -> None:
    contents = [path.read_bytes() for path in RECORDINGS]

    assert sum(map(len, contents)) < MAX_BYTES
    for key in KEYS:
        assert not any(key.encode() in content for content in contents)
