from __future__ import annotations

import pytest

from busted.identity.similarity import MAX_CHARS, PromptPrint, prompt_print
from tests.identity.scenarios import POLICY, ROLES


def printed(text: str) -> PromptPrint:
    found = prompt_print(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "changed",
    [
        "2026-11-22",
        "2025-01-03T08:15:00Z",
        "November 3, 2025",
        "3 Nov 2025",
        "/home/ada/src/acme",
        "~/src/other",
        "1.2.3",
        "v20.11.1",
        "0123456",
        "5f1f2c1e9b7d4a63",
        "123e4567-e89b-12d3-a456-426614174000",
        "10:15",
    ],
)
def test_what_changes_by_itself_is_no_part_of_a_prompt(changed: str) -> None:
    text = "You are the release agent. It is now {} and you wait."

    assert printed(text.format(changed)) == printed(text.format("2024-02-29"))


@pytest.mark.parametrize("pair", [(1, 2), (11, 12), ("billing", "shipping"), ("a", "b")])
def test_agents_that_a_number_or_a_word_tells_apart_have_other_openings(
    pair: tuple[object, object],
) -> None:
    one, other = (printed(f"You are agent {which}. {POLICY}") for which in pair)

    assert one.opening != other.opening
    assert one.likeness(other) > 0.9  # which is why the opening is asked first


def test_prompts_that_differ_at_their_end_are_alike_and_others_are_not() -> None:
    known = printed(f"You are the billing agent. {POLICY}")

    assert known.likeness(printed(f"You are the billing agent. {POLICY} Be kind, too.")) > 0.9
    assert known.likeness(printed(" ".join(ROLES) + " zebra lion okapi gnu yak emu")) < 0.8


def test_a_prompt_without_words_has_no_fingerprint() -> None:
    assert [prompt_print(text) for text in (None, "", " \n", "!?...")] == [None] * 4


def test_what_follows_the_limit_is_not_looked_at() -> None:
    text = ("word " * MAX_CHARS)[:MAX_CHARS]

    assert printed(text + "and more") == printed(text)


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    # A store keeps it: what changes this number forgets all agents that are told by a prompt.
    assert printed("You ARE agent, 7") == PromptPrint(14442592314186746359, 7331900327214976542, 4)
