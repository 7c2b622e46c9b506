import msgspec
import pytest

from busted.events import Action, Event
from busted.sinks.jsonl import render
from tests.unit.sinks.samples import ACTIONS, TOOL_RESULT, event


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_an_event_is_one_line_that_reads_back(action: Action) -> None:
    line = render(event(action))

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert msgspec.json.decode(line, type=Event) == event(action)


def test_line_breaks_in_text_stay_inside_the_line() -> None:
    said = msgspec.structs.replace(TOOL_RESULT, content="a\nb\u2028c")

    assert render(event(said)).count(b"\n") == 1
