from pathlib import Path

import msgspec
import pytest

from busted.events import Event
from busted.policy.check import check
from tests.requirements import ROOT

SCHEMA = msgspec.json.schema(Event)


def told(directory: Path, *rules: str, **files: str) -> list[str]:
    body = "\n".join(rules)
    (directory / "a.rego").write_text(f"package busted\n{body}\n")
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return [str(p) for p in check(directory, SCHEMA)]


def deny(*statements: str) -> str:
    return 'decision := "deny" if {\n' + "\n".join(statements) + "\n}"


def test_what_is_right_is_not_complained_of(tmp_path: Path) -> None:
    right = deny(
        "input.action.provider",
        "input.action.params.anything > 1",
        "input.action.params[name] > 1",
        "input.action[field] == 1",
        "input.action.messages[0].role",
        "some finding in input.action.pii",
        "finding.kind == data.kinds[_]",
        "every turn in input.action.messages { turn.role }",
        'input.action.type in {"Prompt", "McpRequest"}',
        "input.policy.decision",
        "helper(input.process)",
        "action := input.action",
        "action.usage.output > 5",
        "other := data.lib.names",
        "other[action.model]",
    )

    assert (
        told(
            tmp_path,
            "import data.lib",
            right,
            "helper(x) if x.pid > lib.number",
            lib__rego="package lib\nnames := {}\nnumber := 2\n",
            data__json='{"kinds": []}',
        )
        == []
    )


@pytest.mark.parametrize("policy", sorted(p.name for p in (ROOT / "policies").iterdir()))
def test_nothing_is_wrong_with_what_is_shipped(policy: str) -> None:
    assert check(ROOT / "policies" / policy, SCHEMA) == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("input.llm_provider", "no event has input.llm_provider"),
        ("input.action.provder", "no event has input.action.provder"),
        ("input.process.name.length", "no event has input.process.name.length"),
        ("some f in input.action.pii; f.kin", "no event has f.kin"),
        ("a := input.action; a.usage.outputs > 1", "no event has a.usage.outputs"),
        ("every m in input.action.messages { m.text }", "no event has m.text"),
        ('input.action.type == "Promt"', 'input.action.type is never "Promt"'),
        ('"Denied" != input.policy.decision', 'input.policy.decision is never "Denied"'),
        ('input.action.type in {"Prompt", "X"}', 'input.action.type is never "X"'),
        ("input.host in data.hosts", "there is no data.hosts"),
    ],
)
def test_what_would_never_fire_is_a_warning_with_its_place(
    tmp_path: Path, statement: str, expected: str
) -> None:
    (problem,) = told(tmp_path, deny("\t" + statement))

    place, _, message = problem.partition(": ")
    assert message == f"warning: {expected}"
    assert place.startswith("a.rego:3:")


def test_fields_are_followed_through_imports(tmp_path: Path) -> None:
    problems = told(tmp_path, "import input.action as act", deny("act.provider", "act.provder"))

    assert problems == ["a.rego:5:1: warning: no event has act.provder"]


def test_what_nothing_uses_and_nobody_asks_for_is_told(tmp_path: Path) -> None:
    problems = told(
        tmp_path,
        'decision := "audit" if used',
        "used if true",
        "unused if unused_too",
        "unused_too if true",
        other__rego='package other\ndecision := "deny"\n',
    )

    assert problems == [
        "a.rego:4:1: warning: nothing uses unused",
        "other.rego:2:1: warning: nobody asks for the decision of package other, only of busted",
    ]


def test_errors_are_what_keeps_it_from_being_loaded(tmp_path: Path) -> None:
    assert told(tmp_path, "decision := nosuch(1)") == [
        "a.rego:2:13: error: there is no function nosuch here"
    ]
    assert told(tmp_path, "decision := ((", b__rego="package b\nx := )\n")[0].startswith(
        "a.rego:3:1"
    )
    (tmp_path / "a.rego").unlink()
    (tmp_path / "b.rego").unlink()
    assert "no policy here" in str(check(tmp_path, SCHEMA)[0])


def test_tests_are_parsed_but_not_judged(tmp_path: Path) -> None:
    test = "package busted_test\ntest_it if { data.busted.decision with input as {} }\n"
    assert told(tmp_path, 'decision := "deny"', a_test__rego=test) == []
    assert (
        "a_test.rego:" in told(tmp_path, 'decision := "deny"', a_test__rego="package x\ny := (")[0]
    )
