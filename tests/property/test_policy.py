"""Whatever an event or a policy is, there is an answer, or an error that says where."""

import json

from hypothesis import given
from hypothesis import strategies as st

from busted.policy.compiled import SEVERITY, Compiled
from busted.policy.messages import Frames, GarbageError
from busted.policy.sources import PolicyError, Source, Sources, read
from tests.requirements import ROOT

POLICY = Compiled(read(ROOT / "policies"), on_error="deny")
TEXTS = [file.read_text() for file in sorted((ROOT / "policies").glob("*/*.rego"))]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FIELDS = ("type", "pii", "kinds", "provider", "model", "bytes", "params", "tool", "tools", "usage")
actions = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(FIELDS, values), "type": values | st.just("Prompt")}
)
happenings = st.fixed_dictionaries(
    {},
    optional={"action": actions | values, "process": values, "connection": values, "time": values},
)


@given(st.binary() | happenings.map(lambda event: json.dumps(event).encode()))
def test_every_event_gets_a_decision(event: bytes) -> None:
    answer = POLICY.evaluate(event)

    assert answer.decision in SEVERITY
    if answer.error:
        assert answer.decision == "deny"


TYPES = ["A", "B", "C"]
guards = st.builds(
    'input.{} == "{}"'.format, st.sampled_from(["a", "b", "a.b"]), st.sampled_from(TYPES)
)
others = st.sampled_from(["input.c", "not input.a", "t", "1 / input.c == 1"])
heads = st.sampled_from(['decision := "deny"', 'reasons contains "{}"', "t", "u := {}"])
rules = st.tuples(heads, st.lists(guards | others, min_size=1, max_size=3))
texts = st.sampled_from([*TYPES, "D"])
looked_at = st.fixed_dictionaries(
    {},
    optional={
        "a": texts | st.fixed_dictionaries({"b": texts}),
        "b": texts,
        "c": st.integers(0, 1),
    },
)


@given(st.lists(rules, max_size=8), st.lists(looked_at, min_size=1, max_size=5))
def test_without_what_an_event_rules_out_a_policy_says_the_same(
    drawn: list[tuple[str, list[str]]], events: list[dict[str, object]]
) -> None:
    """Its errors and conflicts included."""
    lines = [
        "package busted",
        "t if input.d",
        'default decision := "audit"',
        "reasons contains u",
        "u := 0 if input.d",
    ]
    for number, (head, body) in enumerate(drawn):
        body = [part for part in body if part != head]
        lines.append(f"{head.format(number)} if {{ {'; '.join(body or ['input.b'])} }}")
    policy = Compiled(Sources((Source("a.rego", "\n".join(lines)),)), on_error="deny")
    asked = [json.dumps(event).encode() for event in events]
    answers = [policy.evaluate(event) for event in asked]
    for _ in asked:
        policy.prepare(met=1)
    assert [policy.evaluate(event) for event in asked] == answers


@given(st.sampled_from(TEXTS), st.data())
def test_a_policy_with_a_piece_missing_is_loaded_or_refused_with_its_file(
    text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    broken = text[:start] + text[end:]

    try:
        Compiled(Sources((Source("a.rego", broken),)), on_error="deny").evaluate(b"{}")
    except PolicyError as failure:
        assert failure.problems
        assert all(problem.file in ("a.rego", "") for problem in failure.problems)


@given(st.binary())
def test_frames_are_messages_or_garbage(wire: bytes) -> None:
    frames = Frames()
    frames.feed(wire)
    try:
        while frames.next():
            pass
    except GarbageError:
        pass
