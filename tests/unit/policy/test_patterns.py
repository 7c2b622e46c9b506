import pytest
import regorus

from busted.policy.patterns import as_re2

WORD, DIGIT = "0-9A-Za-z_", "0-9"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^\w+\d*$", f"^[{WORD}]+[{DIGIT}]*$"),
        (r"\W\D", f"[^{WORD}][^{DIGIT}]"),
        (r"[\w.-]\s", rf"[{WORD}.-][\t\n\f\r ]"),
        (r"[^\W\d]", f"[^[^{WORD}]{DIGIT}]"),
        (r"[]\d][\d]", f"[]{DIGIT}][{DIGIT}]"),
        (r"[^]\d]", f"[^]{DIGIT}]"),
        (r"[[:alpha:]\d]\d", f"[[:alpha:]{DIGIT}][{DIGIT}]"),
        (r"\bx\b", r"(?-u:\b)x(?-u:\b)"),
        (r"\\w\[\d\]", rf"\\w\[[{DIGIT}]\]"),
        (r"\pL.(?i)é\.", r"\pL.(?i)é\."),
        ("\\", "\\"),
        ("[", "["),
    ],
)
def test_perl_classes_are_ascii(pattern: str, expected: str) -> None:
    assert as_re2(pattern, raw=True) == expected
    in_quotes, out_quotes = (p.replace("\\", "\\\\") for p in (pattern, expected))
    assert as_re2(in_quotes, raw=False) == out_quotes


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^\w$", "é", False),
        (r"^\W$", "é", True),
        (r"^[^\W]$", "a", True),
        (r"^[^\W]$", "é", False),
        (r"^\d$", "\u0663", False),
        (r"^\s$", "\u00a0", False),
        (r"^\s$", "\t", True),
        (r"世\b", "世", False),
        (r"a\b", "a世", True),
    ],
)
def test_they_match_what_they_match_in_opa(pattern: str, text: str, matches: bool) -> None:
    engine = regorus.Engine()
    engine.add_policy(
        "a.rego", f"package a\nx := regex.match(`{as_re2(pattern, raw=True)}`, input)"
    )
    engine.set_input(text)

    assert engine.eval_rule("data.a.x") is matches
