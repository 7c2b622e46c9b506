from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from busted.agent.event_files import EventFileError, is_binary, numbered_lines, read_events
from busted.agent.recording import Header
from busted.agent.replay import Replay
from busted.events import PolicyDecision, to_json
from busted.sinks.history import History
from tests.recordings import ORIGIN, exchange, record
from tests.unit.sinks.samples import ACTIONS, PROMPT, RESPONSE, event


def test_json_lines_give_their_events(tmp_path: Path) -> None:
    events = [event(action) for action in ACTIONS]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([*map(to_json, events), b"", b"  "]))

    assert list(read_events(path)) == events
    assert not is_binary(path)


def test_what_policy_said_then_is_not_judged_again(tmp_path: Path) -> None:
    said = event(ACTIONS[0])
    path = tmp_path / "events.jsonl"
    path.write_bytes(to_json(msgspec.structs.replace(said, policy=PolicyDecision(decision="deny"))))

    assert list(read_events(path)) == [said]


def test_a_recording_gives_the_events_of_its_replay(tmp_path: Path) -> None:
    frames = exchange("Hello?", "Hello.")
    path = record(tmp_path / "a.recording", frames)

    assert is_binary(path)
    assert list(read_events(path)) == list(Replay(Header(origin=ORIGIN)).events(frames))


def test_a_history_gives_the_events_it_keeps(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    events = [event(PROMPT), msgspec.structs.replace(event(RESPONSE), id="2")]
    with closing(History(path)) as history:
        history.add(events)

    assert is_binary(path)
    assert sorted(map(to_json, read_events(path))) == sorted(map(to_json, events))


@pytest.mark.parametrize("line", [b"nonsense", b"{}", b"[1]", b"\xff", b"[" * 100_000])
def test_what_is_no_event_is_told_with_its_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(to_json(event(ACTIONS[0])) + b"\n\n" + line)

    with pytest.raises(EventFileError, match=r"events\.jsonl:3: no event"):
        list(read_events(path))


def test_lines_are_numbered_as_an_editor_numbers_them(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"a\n\n  \nb")

    assert list(numbered_lines(path)) == [(1, b"a\n"), (4, b"b")]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match=r"cannot read .*nothing"):
        list(read_events(tmp_path / "nothing"))
