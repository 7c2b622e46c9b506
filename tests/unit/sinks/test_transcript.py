from __future__ import annotations

import re

import msgspec
import pytest

from busted.events import Action, Event, PolicyDecision
from busted.sinks.transcript import markdown, plain
from tests.unit.sinks.samples import ACTIONS, PROMPT, RESPONSE, TOOL_CALL, TOOL_RESULT, event


def written(*events: Event) -> str:
    return "".join(markdown(events))


def test_a_conversation_reads_from_top_to_bottom() -> None:
    actions: tuple[Action, ...] = (PROMPT, TOOL_CALL, TOOL_RESULT, RESPONSE)
    text = written(*map(event, actions))
    parts = (
        *("Be brief.", "What is the capital of France?", "get\\_weather", '{"city":"Paris"}'),
        *("22 degrees", "status 200", "Paris, naïve friend."),
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_a_system_prompt_that_stays_is_shown_once() -> None:
    other = msgspec.structs.replace(PROMPT, system_prompt="Be verbose.")
    text = written(*map(event, (PROMPT, PROMPT, other)))
    assert text.count("Be brief.") == 1
    assert text.count("Be verbose.") == 1


def test_a_decision_is_shown_with_its_reasons_unless_it_allows() -> None:
    denied = PolicyDecision(decision="deny", reasons=("a key", "another"))
    shown = written(msgspec.structs.replace(event(PROMPT), policy=denied))
    assert "Policy: **deny**: a key; another" in shown
    allowed = PolicyDecision(decision="allow")
    assert "Policy" not in written(msgspec.structs.replace(event(PROMPT), policy=allowed))


@pytest.mark.parametrize("hostile", ["```\n# not a heading", "`" * 12, "a\n````html\n<b>\n````"])
def test_nothing_that_was_said_ends_its_block(hostile: str) -> None:
    text = written(event(msgspec.structs.replace(RESPONSE, text=hostile)))
    block = re.search(r"Assistant:\n\n(`+)text\n(.*)\n\1\n$", text, re.DOTALL)
    assert block is not None
    assert block[2] == hostile
    assert not re.search(rf"^`{{{len(block[1])},}}$", hostile, re.MULTILINE)


def test_a_name_is_no_markup_and_stays_on_its_line() -> None:
    assert plain("a\n# b [x](y) <i>") == r"a \# b \[x\]\(y\) \<i\>"
    tool = msgspec.structs.replace(TOOL_CALL, name="x\n# heading")
    assert "\n# heading" not in written(event(tool))


def test_every_kind_of_event_has_a_line() -> None:
    assert written(*map(event, ACTIONS)).count("\n## ") == len(ACTIONS)
