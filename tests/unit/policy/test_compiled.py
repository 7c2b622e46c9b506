import json
from collections.abc import Sequence
from typing import Any

import pytest

from busted.policy.builtins import REFUSED, REFUSED_FORMS
from busted.policy.compiled import Compiled, problem
from busted.policy.guards import Guarded
from busted.policy.messages import Answer
from busted.policy.sources import PolicyError, Source, Sources

DENY_X = 'decision := "deny" if input.x'


def compiled(*texts: str, data: str = "", on_error: Any = "deny") -> Compiled:
    modules = tuple(
        Source(f"{n}.rego", text if text.startswith("package") else f"package busted\n{text}\n")
        for n, text in enumerate(texts)
    )
    return Compiled(Sources(modules, (Source("data.json", data),) if data else ()), on_error)


def answer(*texts: str, data: str = "", on_error: Any = "deny", **event: Any) -> Answer:
    return compiled(*texts, data=data, on_error=on_error).evaluate(json.dumps(event).encode())


def refusal(*texts: str, data: str = "") -> str:
    with pytest.raises(PolicyError) as raised:
        compiled(*texts, data=data)
    return str(raised.value)


def test_a_decision_tells_its_rule_its_file_and_its_line() -> None:
    policy = f'{DENY_X}\ndefault decision := "audit"\nreasons := ["b", "a"] if input.x'

    assert answer(policy, x=1) == Answer("deny", ("b", "a"), "busted.decision", "0.rego:2")
    assert answer(policy) == Answer("audit", (), "busted.decision", "0.rego:3")


def test_a_line_is_not_told_where_it_could_be_another() -> None:
    assert answer(f'{DENY_X}\ndecision := "deny" if input.y', x=1).file == "0.rego"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('reason := "one" if input', ("one",)),
        ('reasons contains "b" if input\nreasons contains "a" if input', ("a", "b")),
        ('reasons := ["x", {"a": 1}, 2]', ("x", '{"a":1}', "2")),
        ('reasons[r] { r := "v0" }', ("v0",)),
        ("reasons := [r | r := numbers.range(1, 100)[_]]", tuple(map(str, range(1, 17)))),
        ('reason := concat("", [c | some _ in numbers.range(1, 600); c := "y"])', ("y" * 500,)),
    ],
)
def test_reasons_may_have_any_shape_and_are_bounded(rule: str, expected: tuple[str, ...]) -> None:
    decision = 'decision = "deny" { input.x }' if "{ r :=" in rule else DENY_X

    assert answer(decision, x=1, data="{}").reasons == ()
    assert answer(f"{decision}\n{rule}", x=1).reasons == expected


def test_of_several_files_the_most_severe_counts_with_its_reasons_only() -> None:
    policies = (
        'decision := "audit"\nreasons := ["audited"]',
        f'{DENY_X}\nreasons := ["denied"] if input.x',
        'package busted.below\ndecision := "allow"\nreasons := ["allowed"]',
    )

    assert answer(*policies, x=1).reasons == ("denied",)
    assert answer(*policies).reasons == ("audited",)
    assert answer(*policies[2:]) == Answer("allow", (), "busted.below.decision", "0.rego:2")


def test_files_of_one_package_share_everything_but_what_they_decide() -> None:
    one = 'decision := "deny" if bad\nreason := "one"'
    two = 'decision := "audit" if decision_of_two\ndecision_of_two if true\nreason := "two"'

    assert answer(one, two, "bad if input.x", x=1).reasons == ("one",)
    assert answer(one, two, "bad if input.x").reasons == ("two",)


def test_v0_and_v1_work_together() -> None:
    policy = compiled('decision = "deny" { helper }', "helper if input.x")

    assert policy.versions == {"0.rego": "v0"}
    assert policy.evaluate(b'{"x": true}').decision == "deny"


def test_v1_with_a_slip_is_not_read_as_v0() -> None:
    assert "0.rego:3:" in refusal('decision := "allow" if input.x\nfoo { input.y }')


# What can go wrong on an event, and what it yields where errors deny: docs/policies.md has these.
OUTCOMES = [
    ("conflict", f'{DENY_X}\ndecision := "audit" if input.y'),
    ("failed", 'decision := "audit" if to_number(input.word) > 1'),
    ("unknown", 'decision := "Deny" if input.x'),
    ("wrong_type", "decision := input.x"),
    ("wrong_type", 'decision := {"deny": true}'),
]


@pytest.mark.parametrize(("kind", "policy"), OUTCOMES)
def test_what_goes_wrong_is_told_and_yields_the_decision_for_errors(kind: str, policy: str) -> None:
    for on_error in ("allow", "audit", "deny"):
        told = answer(policy, on_error=on_error, x=1, y=1, word="w")
        assert (told.decision, told.kind, told.error is None) == (on_error, kind, False)


def test_a_file_that_fails_does_not_silence_another() -> None:
    told = answer('decision := to_number("w")', DENY_X, on_error="audit", x=1)

    assert (told.decision, told.rule, told.kind) == ("deny", "busted.decision", "failed")


def test_a_decision_stands_where_only_its_reasons_fail() -> None:
    told = answer(f'{DENY_X}\nreason := to_number("w")', on_error="allow", x=1)

    assert (told.decision, told.kind) == ("deny", "failed")


def test_what_fails_elsewhere_changes_nothing() -> None:
    assert answer(f'{DENY_X}\nunused := to_number("w")', x=1).error is None


def test_when_no_file_says_anything_that_is_told() -> None:
    assert answer(DENY_X) == Answer("allow", undefined=True)
    assert not answer(DENY_X, 'decision := "allow"').undefined


@pytest.mark.parametrize("event", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": 1e999}'])
def test_an_event_that_is_no_json_yields_the_decision_for_errors(event: bytes) -> None:
    told = compiled('decision := "allow"').evaluate(event)

    assert (told.decision, told.kind) == ("deny", "input")


def test_an_error_tells_nothing_of_the_event() -> None:
    secret = "sk-" + "a" * 40
    policies = [
        "decision := count(input.number)",
        "decision := upper(input.number)",
        "decision := input.word + 1",
        "decision := to_number(input.word)",
        "decision := time.parse_rfc3339_ns(input.word)",
        "decision := json.unmarshal(input.word)",
        'decision := sprintf("%d", input.word)',
        "decision := glob.match(input.word, [], input.number)",
        'decision := regex.match(input.word, "a")',
        "decision := net.cidr_contains(input.word, input.word)",
        "decision := semver.compare(input.word, input.word)",
        "decision := {k: v | k := input.word; some v in [1, 2]}",
        "decision := base64.decode(input.word)",
        "decision := units.parse(input.word)",
        "decision := object.get(input.word, 1, 2)",
    ]
    for policy in policies:
        told = answer(policy, word=f"({secret}", number=724_519)
        assert told.error, policy
        assert secret not in told.error, policy
        assert "724519" not in told.error, policy


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("decision := foo", "0.rego:2:"),
        ("decision := ((", "0.rego:3:1: error: expecting expression"),
        ("decision := nosuch.fn(1)", "0.rego:2:13: error: there is no function nosuch.fn here"),
        ("decision := data.lib.fn(1)", "0.rego:2:13: error: there is no function data.lib.fn"),
        ('decision := "a" if {\n\t# é\n\tcrypto.md5("a")\n}', "0.rego:4:2: error: there is no"),
        ("a if not input.l[_] > 3\ndecision := a", "0.rego:2:6: error: _ is unsafe"),
        ("p[q] contains 1 if q := input.q\ndecision := p", "0.rego:2:1: error: a set below"),
        ("decision := walk(input)", "0.rego:2:13: error: walk is refused"),
        ("package busted_asked\nx := 1", "package busted_asked is ours"),
        ("package other\ndecision := 1", "no rule `decision` in package busted"),
        ("other := 1", "no rule `decision`"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(policy: str, expected: str) -> None:
    assert expected in refusal(policy)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_otherwise_in_opa_is_refused(name: str) -> None:
    assert f"0.rego:2:6: error: {name} is refused" in refusal(f"x := {name}(1)\n{DENY_X}")


def test_the_other_form_of_a_refused_one_is_not() -> None:
    assert ("walk", 1) in REFUSED_FORMS
    walks = 'decision := "deny" if { walk(input, [path, value]); value == "y"; count(path) == 2 }'

    assert answer(walks, x={"z": "y"}).decision == "deny"


def test_all_problems_are_told_at_once() -> None:
    told = refusal("decision := a.b(1)", "x := c.d(1)\ny := (")

    assert "0.rego:2:13" in told
    assert "1.rego:" in told


def test_data_of_several_files_is_one_and_must_not_contradict_itself() -> None:
    module = Source("a.rego", "package busted\ndecision := data.a.b")
    one = Source("x/data.yaml", "a: {b: audit}")
    two = Source("y/data.json", '{"a": {"c": 1}}')

    told = Compiled(Sources((module,), (one, two)), "deny").evaluate(b"{}")
    assert told.decision == "audit"

    for wrong, expected in (
        ('{"a": {"b": "deny"}}', "data.a.b is in another data file, too"),
        ("[1]", "data must be an object"),
        ("{", "no valid data"),
    ):
        with pytest.raises(PolicyError, match=expected):
            Compiled(Sources((module,), (one, Source("y/data.json", wrong))), "deny")


def test_the_place_of_an_error_counts_a_tab_as_one() -> None:
    text = "\n--> a.rego:1:5\n  |\n1 | \tdecision\n  | ^\nerror: odd thing\n\nStack backtrace:\n"

    told = problem(text, {"a.rego": "\tdecision := 1"})

    assert (told.message, told.line, told.column) == ("odd thing", 1, 2)


def test_an_error_beyond_a_negation_is_where_it_was_written() -> None:
    policy = 'decision := "deny" if { not startswith(input.w, "a"); to_number(input.w) > 1 }'

    # regorus names the dot of a reference.
    dot = policy.index(".w)") + 1
    expected = f"0.rego:2:{dot}: error: could not parse string as number"
    assert answer(policy, w="b").error == expected


GUARDED = """
default decision := "allow"

decision := "deny" if count(reasons) > 0

reasons contains "a prompt" if { input.action.type == "Prompt"; input.bad }

reasons contains "a call" if { input.action.type == "ToolCall"; input.bad }

reasons contains "to divide" if { input.action.type == "Network"; 1 / input.zero == 1 }
"""


def test_a_policy_says_the_same_without_what_an_event_rules_out() -> None:
    policy = compiled(GUARDED)
    events = [
        json.dumps({"action": {"type": type}, "bad": bad, "zero": 0}).encode()
        for type in ("Prompt", "ToolCall", "Network", "Other")
        for bad in (True, False)
    ]
    before = [policy.evaluate(event) for event in events]
    assert [a.decision for a in before] == [
        "deny",
        "allow",
        "deny",
        "allow",
        *["deny"] * 2,
        *["allow"] * 2,
    ]
    for _ in events:
        policy.prepare(met=1)
    assert [policy.evaluate(event) for event in events] == before


def test_kinds_of_events_have_to_come_often_and_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    policy = compiled(GUARDED)
    whole = policy._made

    def counted(without: Sequence[Guarded]) -> object:
        made.append(len(without))
        return whole(without)

    monkeypatch.setattr(policy, "_made", counted)
    prompt, other = (json.dumps({"action": {"type": t}}).encode() for t in ("Prompt", "Other"))

    for _ in range(7):
        policy.evaluate(prompt)
        policy.prepare()
    assert made == []
    policy.evaluate(prompt)
    policy.prepare()
    policy.prepare()
    assert made == [2]
    monkeypatch.setattr("busted.policy.compiled.MAX_SMALLER", 1)
    policy.evaluate(other)
    policy.prepare(met=1)
    assert made == [2]


def test_of_large_policies_nothing_is_made_since_that_takes_long() -> None:
    policy = compiled(GUARDED + "# " + "x" * (64 << 10))
    for _ in range(9):
        policy.evaluate(b'{"action": {"type": "Other"}}')
    policy.prepare(met=1)
    assert policy._smaller == {}
