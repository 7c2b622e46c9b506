from __future__ import annotations

from busted.identity.narrative import narrative
from busted.identity.profile import Finding, Profile


def test_a_narrative_says_who_ran_what_how_often_and_what_does_not_fit() -> None:
    profile = Profile("id", "claude-code", 0, 0)
    profile.principals, profile.models, profile.instances = ("uid:1", "uid:2"), ("a", "b", "c"), 3
    profile.prompts, profile.tool_calls, profile.commands, profile.personal = 2, 1, 4, 1
    profile.findings = (Finding("user_agent", "says codex, runs claude-code"),)

    assert narrative(profile) == (
        "claude-code, run by uid:1 and uid:2 in 3 processes, has made 2 prompts, 1 tool call and "
        "4 commands with b, c and 1 more; 1 message held personal data; does not fit: says codex, "
        "runs claude-code."
    )


def test_a_narrative_of_nothing_is_a_sentence_too() -> None:
    assert narrative(Profile("id", "a.py", 0, 0)) == "a.py, has done nothing yet."
