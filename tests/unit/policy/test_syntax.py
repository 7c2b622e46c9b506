from busted.policy import syntax
from busted.policy.compiled import parse
from busted.policy.sources import Source


def module(text: str, name: str = "a.rego") -> syntax.Module:
    (parsed,), problems = parse((Source(name, f"package busted\n{text}\n"),))
    assert problems == []
    return parsed


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
