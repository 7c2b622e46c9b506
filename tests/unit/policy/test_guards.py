"""Rules are ruled out where that is proven, and nowhere else."""

import json
from typing import Any

import pytest

from busted.policy.compiled import parse
from busted.policy.guards import Index, guarded
from busted.policy.sources import Source
from busted.policy.syntax import Module

FIRST = 'r contains "first" if input.always\n'


def modules(*texts: str) -> list[Module]:
    parsed, problems = parse(
        tuple(Source(f"{n}.rego", f"package busted\n{text}\n") for n, text in enumerate(texts))
    )
    assert problems == []
    return parsed


def guards(rule: str, more: str = "") -> list[tuple[tuple[tuple[str, ...], str], ...]]:
    """Return the guards that are found for a rule, which is not the first of its name."""
    return [g.guards for g in guarded(modules(FIRST + rule + more))]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('input.a.b == "x"', ((("a", "b"), "x"),)),
        ('"x" == input["a-b"].c', ((("a-b", "c"), "x"),)),
        ("input.a == `x`", ((("a",), "x"),)),
        ('input.a == "\\u0041\\n"', ((("a",), "A\n"),)),
        ('input.a == "x"; input.b == "y"; input.c > 1', ((("a",), "x"), (("b",), "y"))),
    ],
)
def test_what_a_body_begins_with_is_its_guard(body: str, expected: Any) -> None:
    assert guards(f'r contains "it" if {{ {body} }}') == [expected]


@pytest.mark.parametrize(
    "rule",
    [
        'r contains "it" if { input.c > 1; input.a == "x" }',
        'r contains "it" if not input.a == "x"',
        'r contains "it" if input.a != "x"',
        'r contains "it" if input.a == 1',
        'r contains "it" if input.a == input.b',
        'r contains "it" if input.a[_] == "x"',
        'r contains "it" if input.a[input.b] == "x"',
        'r contains "it" if input.a[0] == "x"',
        'r contains "it" if input == "x"',
        'r contains "it" if data.a == "x"',
        'r contains "it" if { some input in [{"a": "x"}]; input.a == "x" }',
        'r contains "it"',
    ],
)
def test_anything_else_is_no_guard(rule: str) -> None:
    assert guards(rule) == []


@pytest.mark.parametrize(
    "text",
    [
        'f(x) := 1 if { input.a == "x"; x }\nf(x) := 1 if { input.a == "x"; not x }',
        'd := 1 if input.b\nd := 1 if { input.a == "x" } else := 2',
        'o[k] := 1 if { input.a == "x"; some k in [1] }\no[k] := 1 if { input.a == "x"; k := 2 }',
        'default d := 1\nd := 2 if input.a == "x"',
    ],
)
def test_functions_chains_variable_names_and_the_first_of_a_name_stay(text: str) -> None:
    assert guarded(modules(text)) == ()


def test_with_a_with_anywhere_nothing_is_proven() -> None:
    rule = 'r contains "it" if input.a == "x"\n'
    assert len(guards(rule)) == 1
    assert guards(rule, 's if { some x in [y | y := 1; r with input as {"a": "x"}] }') == []
    other = 'package busted.other\ns if { data.busted.r with input.a as "x" }'
    assert guarded(parse_all(FIRST + rule, other)) == ()


def parse_all(first: str, second: str) -> list[Module]:
    sources = (Source("0.rego", f"package busted\n{first}"), Source("1.rego", second))
    return parse(sources)[0]


def left(rules: str, event: Any) -> list[int]:
    """Return which of some rules an event leaves, by their numbers."""
    found = guarded(modules(FIRST + rules))
    text = event if isinstance(event, bytes) else json.dumps(event).encode()
    bits = Index(found).left(text)
    return [number for number in range(len(found)) if bits >> number & 1]


RULES = """
r contains "0" if input.a.b == "x"
r contains "1" if { input.a.b == "y"; input.c == "z" }
r contains "2" if { input.c == "z"; input.a.b == "x" }
r contains "3" if { input.c == "z"; input.c == "other" }
"""


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"a": {"b": "x"}}, [0]),
        ({"a": {"b": "y"}, "c": "z"}, [1]),
        ({"a": {"b": "x"}, "c": "z", "d": [1]}, [0, 2]),
        ({"a": {"b": 1}, "c": None}, []),
        ({"a": None}, []),
        ({}, []),
        # What is not as events are is left to Rego.
        ({"a": "text"}, [0, 1, 2, 3]),
        ({"a": ["x"]}, [0, 1, 2, 3]),
        ([], [0, 1, 2, 3]),
        (b"no JSON", [0, 1, 2, 3]),
        (b"\xff", [0, 1, 2, 3]),
    ],
)
def test_an_event_leaves_the_rules_whose_guards_hold(event: Any, expected: list[int]) -> None:
    assert left(RULES, event) == expected


def test_of_a_place_inside_of_a_text_nothing_is_proven() -> None:
    rules = 'r contains "0" if input.a == "x"\nr contains "1" if input.a.b == "y"\n'
    assert left(rules, {"a": {"b": "y"}}) == [1]
    assert left(rules, {"a": "x"}) == [0, 1]


def test_names_of_python_are_names_like_others() -> None:
    rules = 'r contains "0" if input["__class__"]["if"] == "x"\n'
    assert left(rules, {"__class__": {"if": "x"}}) == [0]
    assert left(rules, {"__class__": {"if": "y"}}) == []
