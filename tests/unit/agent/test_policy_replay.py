from collections.abc import Sequence

import msgspec

from busted.agent.decisions import Judge
from busted.agent.policy_replay import compared, differences, tally
from busted.events import Decision, Event, PolicyDecision
from tests.recordings import coverage
from tests.unit.sinks.samples import PROMPT, RESPONSE, event


class Answers:
    """An engine that decides by the process's name."""

    def __init__(self, **decisions: Decision) -> None:
        self.counts: dict[str, int] = {}
        self._decisions = decisions

    def evaluate_batch(self, events: Sequence[bytes]) -> list[PolicyDecision]:
        names = [msgspec.json.decode(json)["process"]["name"] for json in events]
        return [
            PolicyDecision(decision=self._decisions[name], rule="busted.decision", reasons=(name,))
            for name in names
        ]

    def reload_if_changed(self) -> str | None:
        return None

    def close(self) -> None:
        pass


def judge(**decisions: Decision) -> Judge:
    return Judge(Answers(**decisions), "deny")


def numbered(*events: Event) -> list[Event]:
    return [msgspec.structs.replace(one, id=str(n)) for n, one in enumerate(events)]


EVENTS = numbered(
    event(PROMPT, "curl"),
    coverage(),
    event(PROMPT, "codex"),
    event(RESPONSE, "codex"),
    event(PROMPT, "claude"),
    event(PROMPT, "codex"),
)


def test_denied_and_audited_are_counted_by_agent_and_rule_and_denied_come_first() -> None:
    counts: dict[Decision, int] = {}

    rows = tally(judge(curl="allow", codex="audit", claude="deny"), EVENTS, counts)

    assert [(r.decision, r.agent, r.action, r.count, r.event) for r in rows] == [
        ("deny", "claude", "Prompt", 1, "4"),
        ("audit", "codex", "Prompt", 2, "2"),
        ("audit", "codex", "Response", 1, "3"),
    ]
    assert (rows[0].rule, rows[0].reasons) == ("busted.decision", ("claude",))
    assert counts == {"allow": 1, "audit": 3, "deny": 1}


def test_only_what_two_policies_judge_differently_is_told() -> None:
    ours = judge(curl="allow", codex="deny", claude="allow")
    theirs = judge(curl="allow", codex="audit", claude="deny")

    rows = differences(ours, theirs, EVENTS)

    assert [(r.before, r.decision, r.agent, r.action, r.count) for r in rows] == [
        ("audit", "deny", "codex", "Prompt", 2),
        ("audit", "deny", "codex", "Response", 1),
        ("deny", "allow", "claude", "Prompt", 1),
    ]


def test_a_policy_does_not_differ_from_itself() -> None:
    same = judge(curl="allow", codex="deny", claude="audit")

    assert differences(same, same, EVENTS) == []


def test_what_is_judged_otherwise_than_it_was_then_is_told_beside_what_would_be_denied() -> None:
    counts: dict[Decision, int] = {}
    allowed, denied = PolicyDecision(decision="allow"), PolicyDecision(decision="deny")
    then = [
        msgspec.structs.replace(one, policy=denied if one.process.name == "codex" else allowed)
        for one in EVENTS[2:]
    ]

    rows, changes = compared(judge(claude="deny", codex="deny"), then, counts)

    assert counts == {"deny": 4}
    assert sum(row.count for row in rows) == 4
    assert [(r.before, r.decision, r.agent, r.count) for r in changes] == [
        ("allow", "deny", "claude", 1)
    ]


def test_what_nobody_judged_then_has_not_changed() -> None:
    rows, changes = compared(judge(curl="deny"), EVENTS[:1], {})
    assert [row.agent for row in rows] == ["curl"]
    assert changes == []
