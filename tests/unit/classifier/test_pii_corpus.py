import pytest

from busted.classifier.pii import Scanner
from tests.pii_corpus import EACH, negatives, positives
from tests.pii_report import Score, scores

GOAL = 0.99


@pytest.fixture(scope="module")
def scored() -> dict[str, Score]:
    return scores(Scanner())


def test_the_corpus_is_large_enough_to_say_something() -> None:
    assert len(list(positives())) >= 300
    assert len(list(negatives())) >= 1000
    assert EACH > 20


def test_the_corpus_is_the_same_each_time() -> None:
    assert list(positives()) == list(positives())
    assert list(negatives()) == list(negatives())


def test_nearly_all_of_each_kind_is_found(scored: dict[str, Score]) -> None:
    assert {kind: s for kind, s in scored.items() if s.recall < GOAL} == {}


def test_nearly_all_that_is_found_is_of_its_kind(scored: dict[str, Score]) -> None:
    assert {kind: s for kind, s in scored.items() if s.precision < GOAL} == {}


def test_nothing_is_found_where_there_is_nothing() -> None:
    scanner = Scanner()

    assert [text for text in negatives() if scanner.find(text.text).findings] == []
