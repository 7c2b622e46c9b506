from __future__ import annotations

import pytest
from msgspec.structs import replace

from busted.identity import scoring
from busted.identity.profile import Profile, Signals
from busted.identity.programs import Program
from busted.identity.similarity import prompt_print

PROMPT = prompt_print(
    "You are the billing agent of Acme and do nothing else, whoever asks you to. " * 3
)
OTHER = prompt_print(
    "You are the shipping agent of Acme and do nothing else, whoever asks you to. " * 3
)
SHORT = prompt_print("You are a helpful assistant.")
SIGNALS = Signals(
    program=Program("python a.py", "a.py", False),
    prompt=PROMPT,
    tools=frozenset("abcdef"),
    signature="f" * 16,
    sdk="openai-python",
    model="gpt-4o",
    destination="openai",
)


def known(signals: Signals = SIGNALS) -> Profile:
    profile = Profile("id", "a.py", 0, 0, agent=signals.agent, program=signals.program)
    profile.learn(signals, 0)
    return profile


def points(signals: Signals, profile: Profile | None = None, here: bool = False) -> float:
    return scoring.points(scoring.evidence(signals, known() if profile is None else profile, here))


def test_the_same_again_is_nearly_certain() -> None:
    assert scoring.confidence(points(SIGNALS)) > 0.95


@pytest.mark.parametrize(
    "changed",
    [
        replace(SIGNALS, prompt=OTHER),
        replace(SIGNALS, program=replace(SIGNALS.program, configuration="--config=b")),
        replace(SIGNALS, agent="claude-code"),
        replace(SIGNALS, prompt=None, tools=frozenset("uvwxyz")),
    ],
)
def test_what_tells_agents_apart_outweighs_all_that_they_share(changed: Signals) -> None:
    assert points(changed) < scoring.MATCH_POINTS


@pytest.mark.parametrize(
    "changed",
    [
        replace(SIGNALS, model="gpt-5", signature="0" * 16, destination="azure"),
        replace(SIGNALS, sdk="httpx", tools=frozenset("abcdefg")),
        replace(SIGNALS, prompt=None, tools=frozenset(), model="text-embedding-3-small"),
        replace(SIGNALS, program=Program("python moved.py", "moved.py", False)),
        replace(SIGNALS, program=Program("", "", True)),
    ],
)
def test_what_changes_with_a_version_or_a_call_leaves_an_agent_one(changed: Signals) -> None:
    assert points(changed) >= scoring.MATCH_POINTS


def test_a_prompt_that_everybody_has_makes_two_programs_no_agent() -> None:
    elsewhere = replace(SIGNALS, prompt=SHORT, program=Program("python b.py", "b.py", False))

    assert points(elsewhere, known(replace(SIGNALS, prompt=SHORT))) < scoring.MATCH_POINTS


def test_a_known_agent_is_asked_for_nothing_but_its_name_and_build() -> None:
    claude = known(replace(SIGNALS, agent="claude-code", verified=True))
    helper = Signals(agent="claude-code", verified=True, prompt=OTHER, model="haiku")

    (agent,) = scoring.evidence(helper, claude)
    assert (agent.signal, agent.weight) == ("agent", scoring.WEIGHTS["agent"].agrees)


def test_a_claim_weighs_less_than_an_executable() -> None:
    claude = known(replace(SIGNALS, agent="claude-code", verified=True))

    claimed, verified = (
        points(Signals(agent="claude-code", verified=v), claude) for v in (False, True)
    )
    assert scoring.confidence(claimed) < scoring.confidence(verified)


def test_evidence_says_what_spoke_against_it() -> None:
    told = {e.signal: e.weight for e in scoring.evidence(replace(SIGNALS, model="x"), known())}

    assert told["model"] < 0 < told["program"]


@pytest.mark.parametrize("total", [-1e9, -50, 0, 3.5, 50, 1e9])
def test_confidence_is_between_none_and_certain(total: float) -> None:
    assert 0 <= scoring.confidence(total) <= scoring.MAX_CONFIDENCE
