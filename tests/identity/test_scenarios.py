"""Each scenario gives the identities that its agents are, whatever order a second's events have."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import groupby
from pathlib import Path

import pytest

from busted.events import Event, Network, Prompt
from busted.identity.profile import Profile
from busted.identity.resolver import MAX_IDENTITIES
from busted.identity.timeline import MAX_ALL_ENTRIES
from busted.identity.tracker import IdentityMatch, IdentityTracker
from tests.identity.measure import matched, score, tiny_model, tracker
from tests.identity.scenarios import LIMITS, SCENARIOS, Labelled, Run, claude, in_pod, played, pod

GOAL = 0.98


def identities(found: list[tuple[str, IdentityMatch | None]]) -> dict[str, set[str]]:
    """Return the ids that each agent's events were given."""
    ids: dict[str, set[str]] = defaultdict(set)
    for label, match in found:
        if match:
            ids[label].add(match.id)
    return ids


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_agent_of_a_scenario_is_one_identity_and_no_two_share_one(name: str) -> None:
    found = matched(SCENARIOS[name](), tracker())

    result = score(found)
    assert min(result.precision, result.recall) >= GOAL
    assert result.identities == result.agents
    assert result.without < result.events / 2
    # All that says who speaks has an identity at once: only what comes before it may wait.
    events = [event for _, event in SCENARIOS[name]()]
    waiting = Counter(
        type(event.action).__name__
        for event, (_, match) in zip(events, found, strict=True)
        if match is None
    )
    assert waiting.keys() <= {"Network"}


@pytest.mark.parametrize("name", LIMITS)
def test_what_the_rules_get_wrong_splits_agents_and_never_joins_them(name: str) -> None:
    assert score(matched(LIMITS[name](), tracker())).precision == 1.0


def test_a_model_tells_a_prompt_that_was_reworded_and_joins_nobody_else(tmp_path: Path) -> None:
    embed = tiny_model(tmp_path)

    joined = score(matched(LIMITS["reworded"](), tracker(embed)))
    assert score(matched(LIMITS["reworded"](), tracker())).identities == 3
    assert (joined.identities, joined.recall) == (1, 1.0)
    for name, scenario in SCENARIOS.items():
        result = score(matched(scenario(), tracker(embed)))
        assert (result.precision, result.identities) == (1.0, result.agents), name


def test_an_agent_has_the_same_id_in_another_run_of_the_monitor() -> None:
    for name in ("twelve_of_one_template", "twelve_configurations", "twenty_restarts"):
        events = SCENARIOS[name]()
        later = [one for one in events if one[1].time >= events[len(events) // 2][1].time]

        assert identities(matched(later, tracker())).items() <= (
            identities(matched(events, tracker())).items()
        )


def test_two_users_of_an_agent_are_one_agent_and_two_principals() -> None:
    found = matched(SCENARIOS["two_users"](), tracker())

    matches = [match for _, match in found if match]
    assert {match.id for match in matches} == {matches[0].id}
    assert {match.principal for match in matches} == {"uid:1000", "uid:1001"}
    assert {match.profile.agent for match in matches} == {"claude-code"}


def test_pods_of_a_deployment_are_one_agent_and_principal_and_three_instances() -> None:
    found = matched(SCENARIOS["pods_of_a_deployment"](), tracker())

    matches = [match for _, match in found if match]
    assert len({match.id for match in matches}) == 1
    assert len({match.instance for match in matches}) == matches[-1].profile.instances == 3
    assert {match.principal for match in matches} == {"system:serviceaccount:shop:web"}
    assert matches[-1].profile.workloads == ("shop/Deployment/web as web",)


def test_deployments_of_one_image_with_their_own_accounts_are_two_principals() -> None:
    found = matched(SCENARIOS["two_deployments"](), tracker())

    matches = [match for _, match in found if match]
    assert len({match.id for match in matches}) == 1
    accounts = {f"system:serviceaccount:shop:{name}" for name in ("web", "batch")}
    assert {match.principal for match in matches} == accounts
    assert set(matches[-1].profile.principals) == accounts


def test_a_container_that_is_made_anew_keeps_its_identity_and_an_image_has_its_own() -> None:
    known = tracker()
    found = matched(SCENARIOS["container_restarts"](), known)
    first = {match.id for _, match in found if match}

    other = pod("other", 50, container=in_pod(50) | {"image": "registry.example/acme/other:1"})
    elsewhere = {match.id for _, match in matched(played(other, 5000.0), known) if match}

    assert len(first) == len(elsewhere) == 1
    assert not first & elsewhere


def test_what_kubernetes_says_later_does_not_make_another_agent_of_it() -> None:
    known = tracker()
    early = pod("web", 0, container={"container_id": "0" * 64})
    unknown = {match.id for _, match in matched(played(early), known) if match}

    told = {match.id for _, match in matched(played(pod("web", 0, after=5.0)), known) if match}

    assert told == unknown


def test_a_spoofed_user_agent_is_told_and_makes_nobody_the_agent() -> None:
    found = matched(SCENARIOS["spoofed"](), tracker())

    for label, match in found:
        # Before it says anything, a process cannot contradict itself.
        if match is not None and match.level != "program":
            kinds = {finding.kind for finding in match.findings}
            assert kinds == (set() if label == "claude-code" else {"user_agent"})
            assert match.profile.agent == ("claude-code" if label == "claude-code" else "")


def test_an_update_is_told_as_a_build_that_was_never_seen_and_stays_the_agent() -> None:
    known = tracker()
    matched(played(claude()), known)

    (updated, *_) = [
        match
        for _, match in matched(played(claude(version="2.2.0", number=1), 60.0), known)
        if match
    ]
    (again, *_) = [
        match
        for _, match in matched(played(claude(version="2.2.0", number=2), 120.0), known)
        if match
    ]

    assert [finding.kind for finding in updated.findings] == ["build_id"]
    assert updated.profile.agent == "claude-code"
    assert again.findings == ()


def test_a_session_that_another_program_uses_is_told_and_one_that_goes_on_is_not() -> None:
    known = tracker()
    session = "5e55" * 4
    matched(played(claude(agent_session=session)), known)

    resumed = matched(played(claude(agent_session=session, number=1), 60.0), known)
    stolen = claude(
        agent_session=session, exe="/usr/bin/curl", argv=("curl", "x"), agent=None, number=2
    )
    reused = matched(played(stolen, 120.0), known)

    assert all(match is None or match.findings == () for _, match in resumed)
    assert {f.kind for _, match in reused if match for f in match.findings} == {"session"}


def shuffled(events: list[Labelled], chance: random.Random) -> list[Labelled]:
    """Return events in another order within each second."""
    mixed = []
    for _, second in groupby(events, key=lambda one: one[1].time[:19]):
        group = list(second)
        chance.shuffle(group)
        mixed += group
    return mixed


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_events_within_a_second_changes_nothing(name: str, seed: int) -> None:
    events = SCENARIOS[name]()
    ordered, mixed = tracker(), tracker()

    told = given(ordered, events)
    other = given(mixed, shuffled(events, random.Random(seed)))

    # What comes before its request is told without an identity, and never with another one.
    assert all(told[event] == other[event] for event in told.keys() & other.keys())
    prompts = {e.id for _, e in events if isinstance(e.action, Prompt)}
    assert prompts <= told.keys() & other.keys()
    for id in set(told.values()):
        assert mixed.timeline(id) == ordered.timeline(id)
        assert counts(mixed.identity(id)) == counts(ordered.identity(id))


def given(known: IdentityTracker, events: list[Labelled]) -> dict[str, str]:
    """Return the id that each event was given, by its own."""
    found = matched(events, known)
    return {
        event.id: match.id for (_, event), (_, match) in zip(events, found, strict=True) if match
    }


def counts(profile: Profile | None) -> tuple[object, ...]:
    """Return what is known of an identity in all orders alike."""
    assert profile is not None
    return (
        *(profile.name, profile.first_ns, profile.last_ns, profile.events, profile.instances),
        *(sorted(profile.models), sorted(profile.principals), profile.program),
    )


def test_ten_thousand_identities_and_more_take_no_more_room_than_the_limit() -> None:
    known = tracker()
    ids = set()
    for i in range(MAX_IDENTITIES + 500):
        run = Run(
            label="",
            capture="openai_sync",
            argv=("python3", f"/srv/{i % 500}/run.py"),
            number=i,
            system_prompt=f"You are agent {i}.",
            connects=False,
        )
        ids |= {match.id for _, match in matched(played(run, i * 0.1), known) if match}

    assert len(ids) == MAX_IDENTITIES + 500
    assert len(known) == MAX_IDENTITIES
    assert len(known._timelines) <= MAX_ALL_ENTRIES
    assert len(known._resolver._keys) == MAX_IDENTITIES
    assert sum(map(len, known._resolver._by_key.values())) <= 3 * MAX_IDENTITIES


def test_connections_that_came_before_the_first_prompt_stand_in_the_timeline() -> None:
    known = tracker()
    events: list[Event] = [event for _, event in SCENARIOS["twelve_of_one_template"]()]
    matches = [known.observe(event) for event in events]

    connects = sum(isinstance(event.action, Network) for event in events)
    ids = {match.id for match in matches if match}
    entered = [entry for id in ids for entry in known.timeline(id)]
    assert len(entered) == len(events)
    assert sum(entry.kind == "Network" for entry in entered) == connects
