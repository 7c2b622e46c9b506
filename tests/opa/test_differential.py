"""What decides must not depend on who reads it: we and OPA say the same of the same events.

OPA's answers are recorded (oracle.py); where OPA is installed, the record itself is checked, too.
"""

from __future__ import annotations

import json

import pytest

from busted.policy.compiled import Compiled
from busted.policy.sources import Source, Sources
from tests.opa import oracle
from tests.opa.cases import EVENTS, LIBRARY, RECORDED, STRICTER, data, modules

MODULES = modules()
ANSWERS: dict[str, dict[str, str]] = json.loads(RECORDED.read_text())["answers"]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_opa_and_we_decide_the_same(name: str) -> None:
    text, _ = MODULES[name]
    sources = [Source("policy.rego", text)]
    if "data.lib" in text:
        sources.append(Source("library.rego", LIBRARY))
    policy = Compiled(
        Sources(tuple(sources), (Source("data.json", json.dumps(data())),)), on_error="deny"
    )

    ours = {}
    for event, value in EVENTS.items():
        answer = policy.evaluate(json.dumps(value).encode())
        told = "undefined" if answer.undefined else json.dumps(answer.decision)
        ours[event] = "error" if answer.error else told
    theirs = {
        event: answer if answer in ('"allow"', '"audit"', '"deny"', "undefined") else "error"
        for event, answer in ANSWERS[name].items()
    }
    stricter = {event: "error" for event in EVENTS if (name, event) in STRICTER}
    assert ours == theirs | stricter

    # Without the rules that an event rules out it says the same, to the letter.
    answers = [policy.evaluate(json.dumps(value).encode()) for value in EVENTS.values()]
    for _ in EVENTS:
        policy.prepare(met=1)
    assert [policy.evaluate(json.dumps(value).encode()) for value in EVENTS.values()] == answers


def test_every_case_has_an_answer_and_there_are_enough() -> None:
    assert ANSWERS.keys() == MODULES.keys()
    assert sum(len(answers) for answers in ANSWERS.values()) >= 150


@pytest.mark.needs("opa")
def test_opa_still_says_what_was_recorded() -> None:
    assert oracle.answers(sorted(MODULES)) == ANSWERS
