from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from busted.events import (
    CONTENT_FIELDS,
    Action,
    Event,
    Finding,
    PolicyDecision,
    Process,
    Prompt,
    Response,
    Usage,
)
from busted.sinks.history import (
    APPLICATION_ID,
    INDEXED,
    MINUTE_NS,
    TRIMMED_AT_ONCE,
    VERSION,
    History,
    HistoryError,
    Limits,
    nanoseconds,
)
from busted.sinks.history_query import Filter, HistoryReader, Total
from tests.unit.sinks.samples import ACTIONS, PROMPT, RESPONSE, TOOL_CALL, event

SECOND = 10**9
START = 1_800_000_000 * SECOND


def at(seconds: float, action: Action, number: int, **fields: object) -> Event:
    """An event so long after the start; `number` makes its id."""
    time = datetime.fromtimestamp(START // SECOND + seconds, UTC)
    made = msgspec.structs.replace(
        event(action), id=f"{number:026}", time=f"{time:%Y-%m-%dT%H:%M:%S.%f}000Z"
    )
    return msgspec.structs.replace(made, **fields)


def prompt(text: str, **fields: object) -> Prompt:
    return msgspec.structs.replace(PROMPT, user_message=text, **fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    with closing(History(path)) as history:
        yield history


@pytest.fixture
def reader(history: History, path: Path) -> Iterator[HistoryReader]:
    with closing(HistoryReader(path)) as reader:
        yield reader


def found(reader: HistoryReader, limit: int = 100, **chosen: object) -> list[int]:
    """The numbers in the ids of the events that agree."""
    return [int(event.id) for event in reader.last(Filter(**chosen), limit)]  # type: ignore[arg-type]


def filled(path: Path, events: Iterable[Event], limits: Limits = Limits()) -> None:  # noqa: B008
    with closing(History(path, limits)) as history:
        for one in events:
            history.add([one])


def test_every_kind_of_event_comes_back_as_it_was(history: History, reader: HistoryReader) -> None:
    events = [at(number, action, number) for number, action in enumerate(ACTIONS)]
    assert history.add(events) == len(events)
    assert reader.last(Filter(), 100) == events
    assert list(reader.every(Filter())) == events


def test_what_is_delivered_twice_is_kept_and_counted_once(
    history: History, reader: HistoryReader
) -> None:
    first, second = at(0, PROMPT, 1), at(1, PROMPT, 2)
    assert history.add([first]) == 1
    assert history.add([first, second, second]) == 1
    assert reader.last(Filter(), 10) == [first, second]
    (total,) = reader.totals("type", START, START + MINUTE_NS)
    assert total.events == 2


def test_the_last_are_the_newest_by_time_whatever_their_order_of_arrival(
    history: History, reader: HistoryReader
) -> None:
    history.add([at(3, PROMPT, 3), at(1, PROMPT, 1), at(2, PROMPT, 2)])
    assert found(reader, limit=2) == [2, 3]
    assert [int(event.id) for event in reader.every(Filter())] == [1, 2, 3]
    assert [int(event.id) for event in reader.arrived(Filter(), 1, 3)] == [1, 2]
    assert reader.last_number() == 3


def test_each_field_finds_its_events_and_no_others(history: History, reader: HistoryReader) -> None:
    secret = Finding(kind="aws_key", start=0, end=5)
    claude = Process(pid=7, name="node", agent="claude-code")
    denied = PolicyDecision(decision="deny")
    history.add(
        [
            at(0, PROMPT, 0),
            at(1, prompt("x", model="o3", provider="azure.ai.openai", pii=(secret,)), 1),
            at(2, TOOL_CALL, 2, session_id="s", exchange_id="e"),
            at(3, RESPONSE, 3, process=claude, policy=denied),
        ]
    )
    assert found(reader, model="o3") == found(reader, provider="azure.ai.openai") == [1]
    assert found(reader, finding="aws_key") == [1]
    assert found(reader, type="ToolCall") == found(reader, subject="get_weather") == [2]
    assert found(reader, session="s") == found(reader, exchange="e") == [2]
    assert found(reader, agent="claude-code") == found(reader, pid=7) == [3]
    assert found(reader, decision="deny") == [3]
    assert found(reader, since_ns=START + SECOND, until_ns=START + 3 * SECOND) == [1, 2]
    assert found(reader, since_ns=START + SECOND, type="Prompt") == [1]
    assert found(reader, agent="claude-code", type="Prompt") == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("capital", [0]),
        ("CAPITAL france", [0]),
        ("zürich", [1]),
        ("zurich", [1]),
        ("cap*", [0, 2]),
        ('"the capital"', [0]),
        ('"capital the"', []),
        ("cap* -france", [0]),
        ("nothing OR capital", []),
        ("NEAR(capital france)", []),
        ('"unclosed capital', []),
        ("'; DROP TABLE event; --", []),
        ("(", []),
        ("*", []),
        ('""', []),
    ],
)
def test_words_are_found_and_signs_mean_nothing(
    history: History, reader: HistoryReader, text: str, numbers: list[int]
) -> None:
    texts = ["What is the capital of France?", "Zürich is no town in it.", "capitals"]
    history.add([at(n, prompt(text, model=None), n) for n, text in enumerate(texts)])
    assert found(reader, text=text) == numbers


def test_words_and_fields_are_asked_for_together(history: History, reader: HistoryReader) -> None:
    history.add([at(n, prompt("same words", model=f"m{n}"), n) for n in range(5)])
    assert found(reader, text="words", model="m3") == [3]
    assert found(reader, limit=2, text="words") == [3, 4]
    assert [event.id for event in reader.every(Filter(text="m1 words"))] == [f"{1:026}"]


def test_content_that_can_be_left_out_is_what_is_searched() -> None:
    indexed = {(kind, name) for kind, names in INDEXED.items() for name in names}
    content = {(kind, name) for kind, names in CONTENT_FIELDS.items() for name in names}
    left_out = {("Process", "argv"), ("Peer", "argv"), ("ChatMessage", "content")}
    left_out |= {("Prompt", "messages"), ("Prompt", "system_prompt")}
    assert {(kind.__name__, name) for kind, name in content - indexed} == left_out


def test_totals_add_up_by_minute_and_group(history: History, reader: HistoryReader) -> None:
    answer = Response(
        api="openai.chat", provider="openai", model="gpt-4o", status=200, stream=False,
        usage=Usage(input=10, output=3), cost=0.5, latency=2.0, bytes=1, truncated=False,
    )  # fmt: skip
    failed = msgspec.structs.replace(answer, status=500, usage=None, cost=None, latency=None)
    history.add([at(1, answer, 1), at(2, failed, 2)])
    history.add([at(3, answer, 3), at(61, answer, 4), at(62, PROMPT, 5)])
    minute = START // MINUTE_NS
    assert reader.totals("model", START, START + 2 * MINUTE_NS) == [
        Total(minute, "gpt-4o", 3, 20, 6, 1.0, 1, 2, 4.0),
        Total(minute + 1, "gpt-4o", 2, 10, 3, 0.5, 0, 1, 2.0),
    ]
    both = reader.totals("type", START, START + 2 * MINUTE_NS, minutes=60)
    assert [(total.group, total.events) for total in both] == [("Prompt", 1), ("Response", 4)]
    assert reader.totals("type", START + 2 * MINUTE_NS, START + 3 * MINUTE_NS) == []
    with pytest.raises(ValueError, match="minute"):
        reader.totals("minute; --", 0, 1)


def test_subjects_are_counted_most_frequent_first(history: History, reader: HistoryReader) -> None:
    other = msgspec.structs.replace(TOOL_CALL, name="search")
    history.add([at(0, TOOL_CALL, 0), at(1, other, 1), at(2, other, 2), at(3, PROMPT, 3)])
    assert reader.subjects(Filter(), 10) == [("search", 2), ("get_weather", 1)]
    assert reader.subjects(Filter(type="ToolCall", since_ns=START + 2 * SECOND), 10) == [
        ("search", 1)
    ]


def test_what_is_too_old_makes_room_with_all_that_belongs_to_it(path: Path) -> None:
    finding = Finding(kind="email", start=0, end=1)
    days = [at(day * 86_400, prompt(f"day{day}", pii=(finding,)), day) for day in range(5)]
    filled(path, days, Limits(max_age_days=2))
    with closing(HistoryReader(path)) as reader:
        assert found(reader) == found(reader, finding="email") == [2, 3, 4]
        assert found(reader, text="day1") == []
        assert found(reader, text="day2") == [2]
    with closing(sqlite3.connect(path)) as database:
        (left,) = database.execute("SELECT count(*) FROM finding").fetchone()
    assert left == 3


def test_the_oldest_make_room_when_the_file_is_too_big(path: Path) -> None:
    limits = Limits(max_bytes=4 << 20)
    noise = [prompt(os.urandom(500).hex()) for _ in range(TRIMMED_AT_ONCE)]
    with closing(History(path, limits)) as history:
        for batch in range(6):
            numbered = enumerate(noise, start=batch * len(noise))
            history.add([at(number, action, number) for number, action in numbered])
    with closing(HistoryReader(path)) as reader:
        left = found(reader, limit=10_000)
    assert left == list(range(left[0], 6 * len(noise)))
    assert len(left) > 1
    assert path.stat().st_size <= limits.max_bytes


def test_only_its_owner_can_read_it(path: Path, history: History) -> None:
    history.add([at(0, PROMPT, 0)])
    files = list(path.parent.iterdir())
    assert {file.name for file in files} >= {"history.db", "history.db-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_goes_on_where_it_ended(path: Path) -> None:
    filled(path, [at(0, PROMPT, 0)])
    filled(path, [at(0, PROMPT, 0), at(1, PROMPT, 1)])
    with closing(HistoryReader(path)) as reader:
        assert found(reader) == [0, 1]


@pytest.mark.parametrize("damage", ["all", "a page"])
def test_a_broken_file_is_put_aside_and_a_new_one_begun(path: Path, damage: str) -> None:
    filled(path, [at(n, prompt(os.urandom(2000).hex()), n) for n in range(50)])
    content = bytearray(path.read_bytes())
    content[0 if damage == "all" else 100 : 4096] = b"\xff" * (4096 if damage == "all" else 3996)
    path.write_bytes(content)
    with closing(History(path)) as history:
        assert history.set_aside == path.with_name("history.db.broken-1")
        assert history.set_aside.read_bytes() == bytes(content)
        history.add([at(0, PROMPT, 0)])
    with closing(HistoryReader(path)) as reader:
        assert found(reader) == [0]


def test_a_file_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE theirs (value)")
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="another program"):
        History(path)
    assert path.read_bytes() == before
    with pytest.raises(HistoryError, match="no history"):
        HistoryReader(path)


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    filled(path, [])
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    with pytest.raises(HistoryError, match="newer version"):
        History(path)


def test_a_file_that_is_not_there_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot read"):
        HistoryReader(path)
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(HistoryError, match="cannot keep a history"):
        History(file / "history.db")


def test_of_a_batch_that_fails_nothing_is_kept(history: History, reader: HistoryReader) -> None:
    broken = msgspec.structs.replace(at(1, PROMPT, 1), time="no time")
    with pytest.raises(ValueError, match="no time"):
        history.add([at(0, PROMPT, 0), broken])
    assert found(reader) == []
    history.add([at(0, PROMPT, 0)])
    assert found(reader) == [0]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2026-11-22T14:03:22.117456789Z", 1_795_356_202_117_456_789),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert nanoseconds(text) == ns
