from collections import Counter
from unittest.mock import patch

import phonenumbers
import pytest

from busted.classifier.pii import Scanner
from busted.classifier.pii_rules import CustomRule
from busted.classifier.pii_search import (
    BYTES_A_SIGN,
    COSTLY_CHECKS,
    MAX_DEPTH,
    SIGNS,
    _Reader,
    pattern_error,
)

SCANNER = Scanner()
SIZE = 1 << 16

# The slowest that `python -m benchmarks.pii --search 1000` found, before there was a limit.
WORST = [
    "password=",
    "token: abcdefghijkl1234XYZ ",
    "://user:pass1@h ",
    "\\u0040abc8Q~" + "a" * 34,
    "%41",
    "\\u0041",
    ":\\/\\/",
    "DE89370400440532013000 ",
    "4111 1111 1111 1111 ",
    "-----BEGIN PRIVATE KEY-----phone: 2025550143 eyJaaaaaaaask-ant-a ",
    "+12025550143 ",
    "a@b.cc ",
    "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh ",
]


@pytest.mark.parametrize("unit", WORST)
def test_the_work_for_a_hostile_text_is_bounded(unit: str) -> None:
    text = unit * (SIZE // len(unit))
    read: Counter[str] = Counter()
    once = _Reader.__call__

    def counted(self: _Reader, *arguments: object) -> object:
        read["signs"] += 1
        return once(self, *arguments)  # type: ignore[arg-type]

    with patch.object(_Reader, "__call__", counted):
        scan = SCANNER.find(text)

    # Searches behind gates have an eighth more each, of which few are behind one text.
    assert read["signs"] <= 2 * (SIGNS + SIZE // BYTES_A_SIGN) * MAX_DEPTH
    assert scan.unscanned > 0 or read["signs"] < SIGNS
    assert "example" not in SCANNER.redact(text + " bob@example.com", b"k")


def test_costly_checks_are_made_a_few_times_then_the_pattern_decides() -> None:
    numbers = [f"+1202555{number:04d}" for number in range(100, 200)]

    with patch.object(phonenumbers, "parse", wraps=phonenumbers.parse) as parse:
        scan = SCANNER.find("\n".join(numbers))

    assert parse.call_count <= COSTLY_CHECKS
    assert scan.counts == {"phone": 100}


def test_an_operators_rule_finds_the_longest_of_what_it_matches() -> None:
    rule = CustomRule(kind="employee_id", pattern="EMP-[0-9]{3,6}", confidence=1.0)
    (finding,) = Scanner(custom=[rule]).find("é EMP-12345, EMP-1").findings

    assert (finding.kind, finding.category) == ("employee_id", "custom")
    assert (finding.start, finding.end) == (2, 11)
    assert finding.sample == "***"


def test_a_rule_with_words_counts_only_beside_one_of_them() -> None:
    rule = CustomRule(kind="case_id", pattern="[0-9]{6}", context=("case", "matter"))
    scanner = Scanner(custom=[rule])

    assert scanner.find("in Matter 123456").counts == {"case_id": 1}
    assert scanner.find("in 123456").counts == {}
    assert scanner.find("the case" + " " * 100 + "123456").counts == {}


@pytest.mark.parametrize("check", ["luhn", "iban", "random"])
@pytest.mark.parametrize("text", ["P", "é", "7", "DE", "aaaaaaaaaaaaaaaaaaaaaaaa", "x" * 500])
def test_a_check_bears_whatever_an_operators_pattern_matches(check: str, text: str) -> None:
    rule = CustomRule(kind="any", pattern=".{1,30}", check=check)  # type: ignore[arg-type]

    assert "iban" not in Scanner(custom=[rule]).find(text).counts


@pytest.mark.parametrize("pattern", ["(", "a*", "(?<=x)a", "(a)\\1", "[z-a]"])
def test_a_pattern_that_cannot_be_searched_for_is_told(pattern: str) -> None:
    assert pattern_error(CustomRule(kind="x", pattern=pattern))


def test_a_pattern_that_can_be_is_fine() -> None:
    assert pattern_error(CustomRule(kind="x", pattern=r"\bEMP-\d{6}\b")) is None


def test_a_scanner_that_is_prepared_makes_nothing_when_it_is_asked_first() -> None:
    scanner = Scanner()
    scanner.prepare()

    with patch("busted.classifier.pii_search._database", side_effect=AssertionError):
        assert [one.kind for one in scanner.find("mail me: ann@example.com").findings] == ["email"]
