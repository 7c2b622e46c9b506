from __future__ import annotations

import pytest

from busted.identity.mismatch import SETTLED_NS, Mismatches
from busted.identity.profile import Build, Profile, Signals
from busted.identity.programs import program_of

KNOWN = frozenset(("claude-code", "codex"))


def claim(
    claimed: str,
    exe: str | None,
    *argv: str,
    recognised: str = "",
    parent: str = "",
) -> str | None:
    program = program_of(exe, argv)
    finding = Mismatches(KNOWN).claim(claimed, recognised, parent, program, exe, argv)
    return finding.kind if finding else None


@pytest.mark.parametrize(
    ("exe", "argv"),
    [
        ("/usr/bin/curl", ("curl", "x")),
        ("/usr/bin/python3", ("python3", "a.py")),
        ("/opt/thing", ("thing",)),
    ],
)
def test_a_program_that_names_an_agent_it_is_not_is_told(exe: str, argv: tuple[str, ...]) -> None:
    assert claim("claude-code", exe, *argv) == "user_agent"


def test_an_agent_that_names_another_is_told() -> None:
    assert claim("claude-code", "/bin/opencode", "opencode", recognised="opencode") == "user_agent"


def test_what_cannot_be_known_or_is_true_is_not_doubted() -> None:
    assert claim("claude-code", "/bin/claude", "claude", recognised="claude-code") is None
    assert claim("", "/usr/bin/curl", "curl") is None
    # Gone before it was looked at; renamed; an editor, whose agents no executable tells.
    assert claim("claude-code", None) is None
    assert claim("claude-code", "/usr/bin/node") is None
    assert claim("copilot-chat", "/usr/share/code/code", "code") is None
    # A helper that the agent itself started.
    assert claim("codex", "/usr/bin/python3", "python3", "x.py", parent="codex") is None


def build(build_id: str, exe: str, now_ns: int = 10 * SETTLED_NS, agent: str = "codex") -> str:
    builds = (Build("b1", "/usr/bin/codex", SETTLED_NS),)
    profile = Profile("id", "codex", 0, 0, agent=agent, builds=builds)
    finding = Mismatches(KNOWN).build(profile, Signals(build_id=build_id, exe=exe), now_ns)
    return finding.detail if finding else ""


def test_a_build_that_never_spoke_for_an_agent_is_told_with_where_it_is() -> None:
    assert build("b2", "/usr/bin/codex").endswith("at the same place")
    assert build("b2", "/tmp/codex").endswith("at another place")
    assert build("b1", "/tmp/codex") == ""


def test_builds_are_compared_for_known_agents_and_not_within_a_second() -> None:
    assert build("b2", "/usr/bin/codex", agent="") == ""
    assert build("b2", "/usr/bin/codex", now_ns=SETTLED_NS + 1) == ""


def used(*uses: tuple[str, str, str]) -> list[bool]:
    mismatches = Mismatches(KNOWN)
    return [mismatches.session("s", *use) is not None for use in uses]


def test_a_session_of_another_program_or_user_is_told() -> None:
    assert used(("1", "codex", "uid:1"), ("2", "curl", "uid:1")) == [False, True]
    assert used(("1", "codex", "uid:1"), ("2", "codex", "uid:2")) == [False, True]


def test_a_session_that_goes_on_in_a_later_run_is_usual_and_one_used_in_turns_is_not() -> None:
    run = "codex", "uid:1"

    assert used(("1", *run), ("1", *run), ("2", *run), ("2", *run)) == [False] * 4
    assert used(("1", *run), ("2", *run), ("1", *run)) == [False, False, True]


def test_sessions_are_forgotten_when_there_are_too_many() -> None:
    mismatches = Mismatches(KNOWN, max_sessions=1)
    mismatches.session("s", "1", "codex", "uid:1")
    mismatches.session("t", "1", "codex", "uid:1")

    assert mismatches.session("s", "2", "curl", "uid:1") is None
    assert mismatches.session("", "2", "curl", "uid:1") is None
