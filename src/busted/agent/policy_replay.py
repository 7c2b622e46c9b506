"""What a policy would have said of events that are there already: counted, and compared.

Strategy: one pass; rows are counted by who did it and which rule judged it, so that what comes out
is as long as the policy and the agents are many, and not as the recording is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec

from busted.agent.decisions import Judge, judged_all
from busted.events import Decision, Event, PolicyDecision
from busted.policy.learn import agent_of


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """Events of one agent that one rule judged alike; `event` is the id of the first."""

    agent: str
    action: str
    decision: Decision
    count: int
    event: str
    rule: str | None = None
    file: str | None = None
    reasons: tuple[str, ...] = ()
    before: Decision | None = None
    """What the other policy says, in a comparison."""


def tally(judge: Judge, events: Iterable[Event], counts: dict[Decision, int]) -> list[Row]:
    """Return what would have been denied or audited, the most frequent first.

    `counts` takes how many events got each decision.
    """
    rows: dict[tuple[str | None, ...], Row] = {}
    for event in judged_all(judge, events):
        if event.policy is None:
            continue
        counts[event.policy.decision] = counts.get(event.policy.decision, 0) + 1
        if event.policy.decision != "allow":
            _count(rows, event, event.policy)
    return _ordered(rows)


def differences(judge: Judge, other: Judge, events: Iterable[Event]) -> list[Row]:
    """Return what one policy judges otherwise than `other`, the most frequent first."""
    rows: dict[tuple[str | None, ...], Row] = {}
    ours, theirs = itertools.tee(events)
    for event, before in zip(judged_all(judge, ours), judged_all(other, theirs), strict=True):
        if event.policy is None or before.policy is None:
            continue
        if event.policy.decision != before.policy.decision:
            # The rule that says more is the one that explains the difference.
            told = event.policy if event.policy.decision != "allow" else before.policy
            _count(rows, event, told, event.policy.decision, before.policy.decision)
    return _ordered(rows)


def compared(
    judge: Judge, events: Iterable[Event], counts: dict[Decision, int]
) -> tuple[list[Row], list[Row]]:
    """Return what would be denied or audited, and what is judged otherwise than it was then.

    Events that nobody judged then are in the first alone. `counts` is as of `tally`.
    """
    rows: dict[tuple[str | None, ...], Row] = {}
    changes: dict[tuple[str | None, ...], Row] = {}
    ours, theirs = itertools.tee(events)
    anew = (msgspec.structs.replace(event, policy=None) for event in ours)
    for event, then in zip(judged_all(judge, anew), theirs, strict=True):
        now, before = event.policy, then.policy
        if now is None:
            continue
        counts[now.decision] = counts.get(now.decision, 0) + 1
        if now.decision != "allow":
            _count(rows, event, now)
        if before and before.decision != now.decision:
            told = now if now.decision != "allow" else before
            _count(changes, event, told, now.decision, before.decision)
    return _ordered(rows), _ordered(changes)


def _count(
    rows: dict[tuple[str | None, ...], Row],
    event: Event,
    told: PolicyDecision,
    decision: Decision | None = None,
    before: Decision | None = None,
) -> None:
    agent, action = agent_of(event), type(event.action).__name__
    decision = decision or told.decision
    key = (agent, action, decision, before, told.rule, told.file)
    row = rows.get(key)
    if row is None:
        reasons = told.reasons or ((told.error,) if told.error else ())
        rows[key] = Row(agent, action, decision, 1, event.id, told.rule, told.file, reasons, before)
    else:
        rows[key] = msgspec.structs.replace(row, count=row.count + 1)


def _ordered(rows: dict[tuple[str | None, ...], Row]) -> list[Row]:
    severity = {"deny": 0, "audit": 1, "allow": 2}
    return sorted(rows.values(), key=lambda row: (severity[row.decision], -row.count))
