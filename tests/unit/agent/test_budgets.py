from __future__ import annotations

import pytest
from msgspec.structs import replace

from busted.agent.budgets import DAY_NS, MAX_IDENTITIES, SLOT_NS, Budgets
from busted.events import Budget, Event, Identity, Network, Usage
from tests.unit.sinks.samples import NETWORK, PROMPT, RESPONSE, event

START = 1_800_000_000 * 10**9
HOUR = 3600 * 10**9
ANSWER = replace(RESPONSE, usage=Usage(input=100, output=20, cached=50), cost=0.25)


def of(identity: str, action: object = PROMPT) -> Event:
    told = Identity(id=identity, name="agent", instance="1-a", confidence=1.0, level="agent")
    return replace(event(action), identity=told)  # type: ignore[arg-type]


def spent(budgets: Budgets, now_ns: int, action: object = PROMPT, identity: str = "a") -> Budget:
    told = budgets.count(of(identity, action), now_ns).budget
    assert told is not None
    return told


def test_requests_tokens_and_dollars_are_added_up_for_each_identity() -> None:
    budgets = Budgets()
    spent(budgets, START)
    assert spent(budgets, START, ANSWER) == Budget(
        requests_hour=1,
        requests_day=1,
        tokens_hour=120,
        tokens_day=120,
        cost_hour=0.25,
        cost_day=0.25,
    )
    # A request tells what the answers before it cost, and counts itself.
    assert spent(budgets, START + 1).requests_hour == 2
    assert spent(budgets, START + 1).cost_hour == 0.25
    assert spent(budgets, START + 1, identity="b").tokens_day == 0


def test_what_is_older_than_an_hour_counts_for_the_day_and_then_not_at_all() -> None:
    budgets = Budgets()
    spent(budgets, START, ANSWER)
    assert spent(budgets, START + HOUR).tokens_hour == 120, "never less than an hour"
    later = spent(budgets, START + HOUR + 2 * SLOT_NS)
    assert (later.tokens_hour, later.tokens_day) == (0, 120)
    assert spent(budgets, START + 24 * HOUR).tokens_day == 120
    assert spent(budgets, START + DAY_NS + SLOT_NS).tokens_day == 0


def test_sums_of_dollars_do_not_drift() -> None:
    budgets = Budgets()
    action = replace(ANSWER, cost=0.1)
    for _ in range(1000):
        last = spent(budgets, START, action)
    assert last.cost_day == 100.0


def test_what_comes_late_counts_in_the_last_slot() -> None:
    budgets = Budgets()
    spent(budgets, START + HOUR)
    assert spent(budgets, START).requests_hour == 2


def test_what_is_told_again_counts_once() -> None:
    budgets = Budgets()
    ahead = budgets.count(of("a"), START, again=True)
    assert ahead.budget is not None
    assert ahead.budget.requests_hour == 0
    assert spent(budgets, START).requests_hour == 1


@pytest.mark.parametrize("known", [True, False])
def test_only_what_asks_and_answers_of_known_identities_has_a_budget(known: bool) -> None:
    given = of("a", NETWORK) if known else event(PROMPT)
    assert Budgets().count(given, START) is given
    assert isinstance(NETWORK, Network)


def test_what_providers_say_that_cannot_be_is_no_gift() -> None:
    budgets = Budgets()
    for usage in (Usage(input=-(10**9), output=-5), Usage(input=None, output=None)):
        spent(budgets, START, replace(ANSWER, usage=usage, cost=-5.0))
    assert spent(budgets, START, replace(ANSWER, cost=float("nan"))).cost_day == 0
    last = spent(budgets, START, replace(ANSWER, usage=Usage(input=10**30), cost=None))
    assert 0 < last.tokens_day < 1 << 40


def test_who_was_quiet_longest_makes_room() -> None:
    budgets = Budgets(max_identities=2)
    for identity in ("a", "b", "a", "c"):
        spent(budgets, START, identity=identity)
    assert spent(budgets, START, identity="a").requests_hour == 3
    assert spent(budgets, START, identity="b").requests_hour == 1
    assert budgets.forgotten == 2
    assert MAX_IDENTITIES > 2


def test_what_was_kept_counts_after_a_restart() -> None:
    before = Budgets(keeps=True)
    spent(before, START - 2 * HOUR, ANSWER)
    spent(before, START, ANSWER)
    kept = before.changes()
    spent(before, START, ANSWER)
    # Each slot as it is now, whatever was told of it before.
    kept = [*kept[:1], *before.changes()]
    assert before.changes() == []

    after = Budgets(keeps=True)
    after.recall(kept, START)
    told = spent(after, START)
    assert (told.tokens_hour, told.tokens_day, told.requests_day) == (240, 360, 1)


def test_what_is_too_old_or_yet_to_come_is_not_recalled() -> None:
    before = Budgets(keeps=True)
    spent(before, START - DAY_NS, ANSWER)
    spent(before, START + HOUR, ANSWER)

    after = Budgets()
    after.recall(before.changes(), START)
    assert spent(after, START).tokens_day == 0


def test_nothing_is_collected_that_nobody_keeps() -> None:
    budgets = Budgets()
    spent(budgets, START)
    assert budgets.changes() == []
