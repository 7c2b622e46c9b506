"""What a filter lets through is the same without a history as with one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busted.events import Event, Finding, PolicyDecision, Process
from busted.sinks.event_filter import agrees
from busted.sinks.history import History
from busted.sinks.history_query import Filter, HistoryReader
from tests.unit.sinks.samples import ACTIONS, PROMPT, TOOL_CALL
from tests.unit.sinks.test_history import SECOND, START, at, prompt

EVENTS = [
    *(at(number, action, number) for number, action in enumerate(ACTIONS)),
    at(50, prompt("Zürich is no town, is it? a-b_c", model="o3"), 50, session_id="s"),
    at(51, prompt("x", pii=(Finding(kind="aws_key", start=0, end=5),)), 51, exchange_id="e"),
    at(52, TOOL_CALL, 52, process=Process(pid=7, name="node", agent="claude-code")),
    at(53, PROMPT, 53, policy=PolicyDecision(decision="deny")),
]
CHOSEN: list[dict[str, Any]] = [
    {},
    {"type": "Prompt"},
    {"agent": "claude-code"},
    {"provider": "openai", "model": "o3"},
    {"pid": 7},
    {"subject": "get_weather"},
    {"decision": "deny"},
    {"session": "s"},
    {"exchange": "e"},
    {"finding": "aws_key"},
    {"finding": "nothing"},
    {"since_ns": START + 3 * SECOND, "until_ns": START + 51 * SECOND},
    {"text": "capital"},
    {"text": "CAP* france"},
    {"text": "zurich"},
    {"text": '"no town"'},
    {"text": '"town no"'},
    {"text": "a-b_c"},
    {"text": "a-b*"},
    {"text": "capital ("},
    {"text": "("},
    {"text": "*"},
    {"text": '""'},
    {"text": "tow"},
    {"text": "tow*"},
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filter") / "history.db"
    with closing(History(path)) as history:
        history.add(EVENTS)
    return path


@pytest.mark.parametrize("chosen", CHOSEN, ids=str)
def test_an_event_agrees_where_the_history_finds_it(path: Path, chosen: dict[str, Any]) -> None:
    filter = Filter(**chosen)
    with closing(HistoryReader(path)) as reader:
        found = reader.last(filter, 1000)
    assert [event.id for event in EVENTS if agrees(event, filter)] == [e.id for e in found]


def test_some_filters_find_something_and_some_do_not() -> None:
    found = [any(agrees(event, Filter(**chosen)) for event in EVENTS) for chosen in CHOSEN]
    assert {True, False} == set(found)


def test_every_field_of_a_filter_is_looked_at() -> None:
    hard: dict[str, Any] = {field.name: "zzz" for field in msgspec.structs.fields(Filter)}
    hard |= {"since_ns": START + 10**6 * SECOND, "until_ns": 0, "pid": -1}
    one: Event = EVENTS[0]
    assert not [name for name, value in hard.items() if agrees(one, Filter(**{name: value}))]
