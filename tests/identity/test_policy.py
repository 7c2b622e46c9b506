"""A policy names an agent, a principal or an instance, and nobody else is meant."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from busted.events import to_json
from busted.policy.compiled import Compiled
from busted.policy.sources import Source, Sources
from tests.identity.measure import tracker
from tests.identity.scenarios import SCENARIOS


def denied(scenario: str, condition: str) -> dict[tuple[str, str | None], set[str]]:
    """Return the decisions on the events of each agent and principal."""
    text = f'package busted\ndefault decision := "allow"\ndecision := "deny" if {condition}\n'
    policy = Compiled(Sources((Source("policy.rego", text),), ()), "audit")
    known = tracker()
    decisions: dict[tuple[str, str | None], set[str]] = {}
    for label, event in SCENARIOS[scenario]():
        if match := known.observe(event):
            judged = to_json(replace(event, identity=match.told()))
            decision = policy.evaluate(judged).decision
            decisions.setdefault((label, match.principal), set()).add(decision)
    return decisions


@pytest.mark.parametrize(
    ("condition", "whom"),
    [
        ('input.identity.agent == "claude-code"', {"uid:1000", "uid:1001"}),
        ('input.identity.principal == "uid:1001"', {"uid:1001"}),
        ('startswith(input.identity.instance, "2002-")', {"uid:1000"}),
    ],
)
def test_a_policy_names_an_agent_a_principal_or_an_instance(condition: str, whom: set[str]) -> None:
    decisions = denied("two_users", condition)

    assert {who for (_, who), told in decisions.items() if "deny" in told} == whom


def test_a_policy_for_an_agent_does_not_mean_who_only_says_to_be_it() -> None:
    decisions = denied("spoofed", 'input.identity.agent == "claude-code"')

    assert {label for (label, _), told in decisions.items() if "deny" in told} == {"claude-code"}


def test_a_policy_denies_what_does_not_fit() -> None:
    decisions = denied("spoofed", 'some "user_agent" in input.identity.mismatch')

    assert {label for (label, _), told in decisions.items() if "deny" in told} == {"curl", "script"}
