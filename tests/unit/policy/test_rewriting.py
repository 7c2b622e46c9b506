import pytest

from busted.policy.rewriting import rewritten
from tests.unit.policy.test_syntax import module


def text_of(text: str) -> str:
    return rewritten(module(text)).text.removeprefix("package busted\n")


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

    assert text_of(library + text) == library + (expected or f"{text}\n")


def test_no_line_moves_where_braces_are_added() -> None:
    text = "a if not 1 in input.x # why\n\n# and more\nb := 1\n"

    assert text_of(text).split("\n")[3] == "} b := 1"


def test_a_byte_of_what_was_rewritten_is_found_in_the_original() -> None:
    read = module("a if { 1 == 1; not 1 in input.x; input.y }")
    given = rewritten(read)

    for word in (b"input.y", b"1 == 1", b"not 1"):
        at = given.text.encode().index(word)
        assert given.original(at) == read.text.index(word)
    assert given.original(given.text.index("_ = input.x")) == read.text.index(b"not 1")


def test_rules_that_are_left_out_leave_the_others_where_they_are() -> None:
    read = module('# é\ndecision := "deny" if {\n\tinput.x\n}\nhelper := "é"')

    given = rewritten(read, ("decision",)).text

    assert given.index('helper := "é"') == read.text.decode().index('helper := "é"') - 0
    assert "decision" not in given
    assert given.count("\n") == read.text.count(b"\n")


def test_patterns_are_ascii_as_in_opa_and_what_is_no_pattern_stays() -> None:
    text = r"""a if regex.match(`^\w+$`, `\w`); b := regex.replace(`\w`, "\\d", `\d`)"""
    text = text.replace("; b", "\nb")

    assert text_of(text).rstrip() == (
        r"""a if regex.match(`^[0-9A-Za-z_]+$`, `\w`)"""
        "\n"
        r"""b := regex.replace(`\w`, "[0-9]", `\d`)"""
    )


def test_a_byte_after_a_pattern_is_found_in_the_original() -> None:
    read = module(r"a if { regex.match(`\w\d`, input.x); input.y }")
    given = rewritten(read)

    for word in (b"input.x", b"input.y", b"regex"):
        assert given.original(given.text.encode().index(word)) == read.text.index(word)
