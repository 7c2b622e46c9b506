import pytest

from busted.classifier import conversation
from busted.classifier.chat import MAX_MESSAGES
from busted.classifier.conversation import Said


def test_what_was_said_is_kept_in_order() -> None:
    said = Said()
    for item in "abc":
        said.add(item, 10)
    assert (said.items, said.is_cut) == (["a", "b", "c"], False)


def test_the_oldest_goes_first_where_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_BODY_BYTES", 25)
    said = Said()
    for item in "abc":
        said.add(item, 10)
    assert (said.items, said.is_cut) == (["b", "c"], True)


def test_no_more_items_are_kept_than_a_request_has_messages() -> None:
    said = Said()
    for item in range(MAX_MESSAGES + 1):
        said.add(item, 1)
    assert (said.items[0], len(said.items), said.is_cut) == (1, MAX_MESSAGES, True)
