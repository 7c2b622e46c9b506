import pytest

from busted.events import to_json
from busted.ui.terminal.rows import Row, Rows, Wanted, after, row_of
from tests.unit.ui.terminal.samples import HOSTILE, TEXTS, answer, denied, prompt


def rows(*given: Row, max_rows: int = 100, max_bytes: int = 1 << 20) -> Rows:
    made = Rows(max_rows, max_bytes)
    for row in given:
        made.add(row)
    return made


PROMPT, ANSWER, DENIED = (
    row_of(to_json(event), TEXTS) for event in (prompt(1, "Grüße"), answer(2), denied(3))
)
GAP = Row("--- 3 events were missed")


def test_a_row_is_one_line_without_anything_that_a_terminal_obeys() -> None:
    row = row_of(to_json(prompt(1, HOSTILE, provider=HOSTILE)), TEXTS)
    assert row.text.isprintable()
    assert row.provider.isprintable()
    assert row.event == prompt(1, HOSTILE, provider=HOSTILE)


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Wanted(), [PROMPT, ANSWER, GAP, DENIED]),
        (Wanted(kind="Response"), [ANSWER, GAP]),
        (Wanted(provider="openai"), [PROMPT, GAP, DENIED]),
        (Wanted(provider="openai", text="grüße"), [PROMPT, GAP]),
        (Wanted(text="GRÜSSE"), [GAP]),
        (Wanted(text='"DENY"'), [GAP]),
        (Wanted(text="deny"), [GAP, DENIED]),
    ],
)
def test_what_is_wanted_is_shown_and_gaps_always(wanted: Wanted, shown: list[Row]) -> None:
    given = rows(PROMPT, ANSWER, GAP, DENIED)
    given.want(wanted)
    assert list(given.shown) == shown
    before = rows()
    before.want(wanted)
    assert [row for row in (PROMPT, ANSWER, GAP, DENIED) if before.add(row)] == shown
    assert list(before.shown) == shown


def test_the_oldest_make_room_by_number_and_by_bytes_and_the_newest_stays() -> None:
    assert list(rows(PROMPT, ANSWER, DENIED, max_rows=2).shown) == [ANSWER, DENIED]
    assert list(rows(PROMPT, ANSWER, max_bytes=len(ANSWER.json) + 1).shown) == [ANSWER]
    assert list(rows(PROMPT, ANSWER, max_bytes=1).shown) == [ANSWER]
    some = rows(max_rows=2)
    some.want(Wanted(kind="Prompt"))
    for row in (PROMPT, ANSWER, ANSWER):
        some.add(row)
    assert list(some.shown) == []


def test_events_and_decisions_are_counted_whatever_is_shown() -> None:
    given = rows(PROMPT, DENIED, GAP)
    given.clear()
    assert list(given.shown) == []
    assert (given.seen, given.decisions["deny"]) == (2, 1)


def test_one_choice_follows_the_other_and_then_all() -> None:
    assert [after(("a", "b"), chosen) for chosen in ("", "a", "b", "gone")] == ["a", "b", "", ""]
    given = rows(PROMPT, ANSWER, GAP)
    assert given.kinds() == ["Prompt", "Response"]
    assert given.providers() == ["openai"]
