from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from busted.identity.profile import Profile, Signals
from busted.identity.programs import Program
from busted.identity.resolver import SETTLED_NS, Resolver, keys_of
from busted.identity.similarity import prompt_print

SCRIPT = Signals(program=Program("python a.py", "a.py", False), model="m", sdk="s", signature="f")


def persona(which: object) -> Signals:
    prompt = prompt_print(f"You are agent {which}, and do what agents do, which is nearly nothing.")
    return replace(SCRIPT, prompt=prompt)


class Memory:
    """A shelf that keeps what it is given."""

    def __init__(self) -> None:
        self.profiles: dict[str, Profile] = {}

    def by_id(self, identity: str) -> Profile | None:
        return self.profiles.get(identity)

    def by_keys(self, keys: Sequence[str]) -> list[Profile]:
        return [one for one in self.profiles.values() if {*keys} & {*keys_of(one)}]

    def link(self, kind: str, source: str, target: str) -> None:
        return None


def test_a_new_identity_says_so_once() -> None:
    resolver = Resolver()

    first, second = (resolver.resolve(persona(1), now_ns) for now_ns in (1, 2))
    assert (first.level, second.level) == ("new", "configuration")
    assert first.profile is second.profile
    assert first.evidence


def test_an_id_is_the_same_wherever_and_in_whatever_order_it_is_founded() -> None:
    here, there = Resolver(), Resolver()
    ids = [here.resolve(persona(i), 0).profile.id for i in range(5)]

    assert [there.resolve(persona(i), 9).profile.id for i in reversed(range(5))] == ids[::-1]
    assert len(set(ids)) == 5


def test_the_quietest_makes_room_and_is_found_again_under_its_id() -> None:
    shelf = Memory()
    resolver = Resolver(shelf, max_identities=3)
    for i in range(5):
        profile = resolver.resolve(persona(i), i).profile
        profile.prompts = i + 100
        shelf.profiles[profile.id] = profile

    assert len(resolver) == 3
    assert len(resolver.evicted) == 2
    resolver.evicted.clear()
    again = resolver.resolve(persona(0), 9)
    assert (again.profile.prompts, again.level) == (100, "configuration")


def test_who_had_to_make_room_and_is_not_yet_on_the_shelf_is_still_the_same() -> None:
    resolver = Resolver(Memory(), max_identities=1)
    first = resolver.resolve(persona(0), 0).profile
    resolver.resolve(persona(1), 1)

    assert resolver.resolve(persona(0), 2).profile is first


def test_who_speaks_all_the_time_never_makes_room() -> None:
    resolver = Resolver(max_identities=2)
    busy = resolver.resolve(persona(0), 0).profile
    for i in range(1, 5):
        resolver.resolve(persona(i), i)
        assert resolver.get(busy.id) is busy


def test_without_a_shelf_who_comes_back_is_founded_again_with_the_same_id() -> None:
    resolver = Resolver(max_identities=1)
    first, _, again = (resolver.resolve(persona(i), 0) for i in (1, 2, 1))

    assert again.profile.id == first.profile.id
    assert len(resolver) == 1


def test_a_program_with_prompts_that_are_made_anew_stays_bounded() -> None:
    resolver = Resolver(max_of_program=4)
    found = [resolver.resolve(persona(i), i) for i in range(10)]

    assert len(resolver) == 4
    assert {one.level for one in found[4:]} == {"program"}
    assert max(one.confidence for one in found[4:]) < 0.5


def test_a_program_tells_an_identity_when_it_has_had_but_that_one_for_a_while() -> None:
    resolver = Resolver()
    resolver.resolve(persona(1), 0)

    assert resolver.of_program(SCRIPT, SETTLED_NS - 1) is None
    found = resolver.of_program(SCRIPT, SETTLED_NS)
    assert found is not None
    assert found.level == "program"
    resolver.resolve(persona(2), 1)
    assert resolver.of_program(SCRIPT, 2 * SETTLED_NS) is None
    assert resolver.of_program(Signals(), 2 * SETTLED_NS) is None


def test_what_an_identity_learns_it_is_found_by() -> None:
    resolver = Resolver()
    profile = resolver.resolve(SCRIPT, 0).profile
    signals = persona(1)
    resolver.learn(profile, signals, 1)

    assert keys_of(profile) != keys_of(Profile("x", "x", 0, 0, program=SCRIPT.program))
    assert resolver.resolve(replace(signals, tools=frozenset("abc")), 2).profile is profile


def test_a_known_agent_is_one_whatever_it_asks_with() -> None:
    resolver = Resolver()
    claude = replace(persona(1), agent="claude-code", verified=True)
    helper = Signals(agent="claude-code", prompt=persona(2).prompt)

    assert resolver.resolve(claude, 0).profile is resolver.resolve(helper, 1).profile
    assert resolver.resolve(claude, 2).level == "agent"
    assert resolver.resolve(helper, 3).level == "claimed"
    assert resolver.resolve(persona(1), 4).profile.agent == ""
