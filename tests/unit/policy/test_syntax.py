import pytest

from busted.policy import syntax
from busted.policy.compiled import parse
from busted.policy.sources import Source


def module(text: str, name: str = "a.rego") -> syntax.Module:
    (parsed,), problems = parse((Source(name, f"package busted\n{text}\n"),))
    assert problems == []
    return parsed


def rewritten(text: str) -> str:
    return syntax.as_opa_negates(module(text)).text.removeprefix("package busted\n")


def test_a_module_says_its_package_imports_and_rules() -> None:
    read = module(
        "import data.lib.names as n\nimport input.action\nf(x) := 1\np contains 1\nq := 2"
    )

    assert read.package == ("busted",)
    assert read.imports == {"n": ("data", "lib", "names"), "action": ("input", "action")}
    assert [(r.name, r.arguments, r.is_set) for r in read.rules] == [
        ("f", 1, False),
        ("p", None, True),
        ("q", None, False),
    ]


def test_what_a_rule_may_say_is_known_where_it_is_written_down() -> None:
    read = module('decision := "deny" if input.x else := "audit" if input.y else := input.z')

    assert read.rules[0].values == ("deny", "audit", None)


def test_a_place_counts_characters_and_not_bytes_or_tabs() -> None:
    read = module('\tx := "é世" if nosuch(1)')

    (call,) = syntax.calls(read)
    assert call == ("nosuch", 15 + len('\tx := "é世" if '.encode()), 1)
    assert read.place(call[1]) == (2, 15)


def test_references_are_told_as_long_as_they_are_written() -> None:
    read = module('x := input["a b"].c[input.i][_] if data.l[1].m')

    paths = [path for path, _ in syntax.references(read.rules[0].tree)]

    assert ("input", "a b", "c", None, None) in paths
    assert ("input", "i") in paths
    assert ("data", "l", None, "m") in paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a if { not f(input.x) }", "a if { _ = input.x; not f(input.x) }\n"),
        ("a if not 1 in input.x", "a if { _ = input.x; not 1 in input.x\n\n}"),
        ("a if not input.x == 1", None),
        ("a if not input.x", None),
        ("a if { not data.l[input.x] }", "a if { _ = input.x; not data.l[input.x] }\n"),
        ("a if { not count(input.x) == 1 }", None),
    ],
)
def test_what_opa_wants_defined_stands_before_a_negation(text: str, expected: str | None) -> None:
    library = "f(1) := 2\nl := {}\n"
    if text.endswith("== 1 }"):
        expected = "a if { _ = count(input.x); not count(input.x) == 1 }\n"

    assert rewritten(library + text) == library + (expected or f"{text}\n")


def test_no_line_moves_where_braces_are_added() -> None:
    text = "a if not 1 in input.x # why\n\n# and more\nb := 1\n"

    assert rewritten(text).split("\n")[3] == "} b := 1"


def test_a_byte_of_what_was_rewritten_is_found_in_the_original() -> None:
    read = module("a if { 1 == 1; not 1 in input.x; input.y }")
    given = syntax.as_opa_negates(read)

    for word in (b"input.y", b"1 == 1", b"not 1"):
        at = given.text.encode().index(word)
        assert given.original(at) == read.text.index(word)
    assert given.original(given.text.index("_ = input.x")) == read.text.index(b"not 1")


def test_rules_that_are_left_out_leave_the_others_where_they_are() -> None:
    read = module('# é\ndecision := "deny" if {\n\tinput.x\n}\nhelper := "é"')

    given = syntax.as_opa_negates(read, ("decision",)).text

    assert given.index('helper := "é"') == read.text.decode().index('helper := "é"') - 0
    assert "decision" not in given
    assert given.count("\n") == read.text.count(b"\n")
