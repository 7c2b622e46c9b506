from pathlib import Path

import pytest

from busted.agent.policies import judging, open_policy
from busted.policy.sources import PolicyError
from tests.unit.sinks.samples import PROMPT, RESPONSE, event


def test_a_policy_judges_events_by_all_that_they_say(tmp_path: Path) -> None:
    module = tmp_path / "france.rego"
    module.write_text(
        'package busted\n\ndecision = "deny" { contains(input.action.user_message, "France") }\n'
    )

    with judging(module, "audit") as judge:
        assert judge.decide(event(PROMPT)).decision == "deny"
        assert judge.decide(event(RESPONSE)).decision == "allow"
        assert judge.failed == {}


def test_what_fails_in_a_policy_gets_the_on_error_decision_and_is_counted() -> None:
    contradiction = 'package busted\n\ndecision = "allow" { true }\n\ndecision = "deny" { true }\n'

    with judging(contradiction, "audit") as judge:
        told = judge.decide(event(PROMPT))
        assert told.decision == "audit"
        assert told.error
        assert judge.failed == {"policy_errors": 1}


def test_a_changed_policy_is_taken_on_and_an_invalid_one_told(tmp_path: Path) -> None:
    module = tmp_path / "all.rego"
    module.write_text('package busted\n\ndecision = "audit"\n')

    with judging(module, "deny") as judge:
        module.write_text("package busted\n\ndecision =\n")
        assert "all.rego:4:1" in str(judge.reload())
        assert judge.decide(event(PROMPT)).decision == "audit"
        module.write_text('package busted\n\ndecision = "deny"\n')
        assert judge.reload() is None
        assert judge.decide(event(PROMPT)).decision == "deny"


def test_a_policy_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such directory"):
        open_policy(tmp_path / "nowhere", "deny")
