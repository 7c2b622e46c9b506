"""The decide step with engines of our own making; the real one is in tests/e2e/test_policy.py."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest

from busted.agent import decisions
from busted.agent.decisions import Decisions, Judge, judged_all
from busted.events import Event, PolicyDecision, to_json
from tests.e2e.deadline import SECONDS
from tests.recordings import coverage
from tests.unit.sinks.samples import PROMPT, RESPONSE, UNREAD, event

AUDIT = PolicyDecision(decision="audit")


class Denies:
    """An engine that denies everything; its reason is the size of the JSON."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.batches: list[list[bytes]] = []

    def evaluate_batch(self, events: Sequence[bytes]) -> list[PolicyDecision]:
        self.batches.append(list(events))
        return [PolicyDecision(decision="deny", reasons=(str(len(json)),)) for json in events]

    def reload_if_changed(self) -> str | None:
        return None

    def close(self) -> None:
        pass


class Raises(Denies):
    def evaluate_batch(self, events: Sequence[bytes]) -> list[PolicyDecision]:
        raise RuntimeError("gone")


class Silent(Denies):
    def evaluate_batch(self, events: Sequence[bytes]) -> list[PolicyDecision]:
        return []


class Waits(Denies):
    """An engine that takes its time until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = threading.Event(), threading.Event()

    def evaluate_batch(self, events: Sequence[bytes]) -> list[PolicyDecision]:
        self.asked.set()
        assert self.go_on.wait(SECONDS)
        return super().evaluate_batch(events)


def numbered(number: int) -> Event:
    return msgspec.structs.replace(event(PROMPT), id=str(number))


def decide(engine: Denies, use: Callable[[Decisions], None], **limits: int) -> list[Event]:
    """Return what is handed on when `use` has given events and the loop has ended."""
    told: list[Event] = []

    async def run() -> None:
        step = Decisions(Judge(engine, "audit"), told.extend, **limits)
        use(step)
        step.close()

    asyncio.run(run())
    return told


def take_all(events: Sequence[Event]) -> Callable[[Decisions], None]:
    def use(step: Decisions) -> None:
        for one in events:
            step.take(one)

    return use


def test_each_event_gets_the_answer_to_its_own_json() -> None:
    given = [event(PROMPT), event(RESPONSE), event(UNREAD)]

    told = decide(Denies(), take_all(given))

    reasons = [one.policy and one.policy.reasons for one in told]
    assert reasons == [(str(len(to_json(one))),) for one in given]
    assert [msgspec.structs.replace(one, policy=None) for one in told] == given


def test_what_is_told_of_busted_itself_passes_unjudged_in_its_place() -> None:
    given = [numbered(1), coverage(), numbered(2)]
    engine = Denies()

    told = decide(engine, take_all(given))

    assert [one.id for one in told] == [one.id for one in given]
    assert told[1] == coverage()
    assert sum(map(len, engine.batches)) == 2


def test_events_that_come_while_policy_is_asked_share_the_next_batch() -> None:
    engine = Waits()

    def use(step: Decisions) -> None:
        step.take(numbered(0))
        assert engine.asked.wait(SECONDS)
        for number in range(1, 10):
            step.take(numbered(number))
        engine.go_on.set()

    told = decide(engine, use)

    assert [one.id for one in told] == [str(number) for number in range(10)]
    assert [len(batch) for batch in engine.batches] == [1, 9]


def test_a_batch_is_bounded_by_events_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "MAX_BATCH_EVENTS", 3)
    engine = Waits()
    size = len(to_json(numbered(0)))

    def use(step: Decisions) -> None:
        for number in range(8):
            step.take(numbered(number))
        monkeypatch.setattr(decisions, "MAX_BATCH_BYTES", size + 1)
        engine.go_on.set()

    decide(engine, use)

    assert [len(batch) for batch in engine.batches] == [1, 2, 2, 2, 1]


@pytest.mark.parametrize(
    "limits", [{"max_events": 2}, {"max_bytes": 2 * len(to_json(numbered(1)))}]
)
def test_what_there_is_no_room_for_is_counted(limits: dict[str, int]) -> None:
    engine = Waits()
    lost = []

    def use(step: Decisions) -> None:
        step.take(numbered(0))
        assert engine.asked.wait(SECONDS)
        for number in range(1, 6):
            step.take(numbered(number))
        lost.append(step.lost)
        engine.go_on.set()

    told = decide(engine, use, **limits)

    assert [one.id for one in told] == ["0", "1", "2"]
    assert lost == [3]


def test_answers_are_handed_on_by_the_loop_while_it_runs() -> None:
    told: list[Event] = []
    threads = set()

    async def run() -> None:
        arrived = asyncio.Event()

        def decided(events: Sequence[Event]) -> None:
            threads.add(threading.current_thread())
            told.extend(events)
            if len(told) == 5:
                arrived.set()

        step = Decisions(Judge(Denies(), "audit"), decided)
        for number in range(5):
            step.take(numbered(number))
        await asyncio.wait_for(arrived.wait(), SECONDS)
        step.close()

    asyncio.run(run())

    assert [one.id for one in told] == [str(number) for number in range(5)]
    assert threads == {threading.main_thread()}


@pytest.mark.parametrize("engine", [Raises(), Silent()])
def test_an_engine_that_fails_gives_the_on_error_decision_and_is_counted(engine: Denies) -> None:
    judge = Judge(engine, "audit")

    found = [judge.decide(numbered(1)), *judge.decisions([b"{}", b"{}"])]

    assert [one.decision for one in found] == ["audit"] * 3
    assert all(one.error for one in found)
    assert judge.failed == {"policy_unasked": 3}


def test_what_the_engine_counts_is_told_but_not_that_it_recovered() -> None:
    engine = Denies()
    engine.counts = {"timeouts": 2, "crashes": 0, "restarts": 5}

    assert Judge(engine, "deny").failed == {"policy_timeouts": 2}


def test_what_policy_has_no_time_for_at_the_end_gets_the_on_error_decision() -> None:
    told: list[Event] = []
    engine = Waits()

    async def run() -> None:
        step = Decisions(Judge(engine, "deny"), told.extend)
        step.take(numbered(0))
        assert engine.asked.wait(SECONDS)
        step.take(numbered(1))
        engine.go_on.set()
        step.close(timeout=0)

    asyncio.run(run())

    assert [one.policy and one.policy.error for one in told] == [None, "the monitor ended"]
    assert [one.policy and one.policy.decision for one in told] == ["deny", "deny"]


def test_a_policy_that_is_not_taken_on_is_told_until_one_is() -> None:
    engine = Denies()
    answers = ["line 3: unexpected", None]
    engine.reload_if_changed = lambda: answers.pop(0)  # type: ignore[method-assign]
    refused = []

    def use(step: Decisions) -> None:
        for _ in range(2):
            done = threading.Event()
            step.reload()
            step.later(done.set)
            assert done.wait(SECONDS)
            refused.append(step.refused)

    decide(engine, use)

    assert refused == ["line 3: unexpected", None]


def test_a_recording_is_judged_in_order_and_in_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decisions, "MAX_BATCH_EVENTS", 2)
    engine = Denies()

    told = list(judged_all(Judge(engine, "audit"), [coverage(), *map(numbered, range(4))]))

    assert [one.id for one in told] == [coverage().id, *map(str, range(4))]
    assert [one.policy is None for one in told] == [True, *[False] * 4]
    assert [len(batch) for batch in engine.batches] == [1, 2, 1]
