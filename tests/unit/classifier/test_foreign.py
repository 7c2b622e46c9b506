import pytest

from busted.classifier.foreign import integer, items, mapping, string, to_json


@pytest.mark.parametrize("value", [None, 3, 2.5, True, "a", [1], {"a": 1}])
def test_a_look_up_gives_what_it_names_or_nothing(value: object) -> None:
    assert mapping(value) == (value if isinstance(value, dict) else {})
    assert list(items(value)) == (value if isinstance(value, list) else [])
    assert string(value) == (value if isinstance(value, str) else None)
    assert integer(value) == (3 if value == 3 else None)


def test_a_number_too_large_for_a_field_is_none() -> None:
    assert integer(2**63) is None
    assert integer(-(2**63)) == -(2**63)


def test_json_text_is_cut_and_what_cannot_be_written_is_nothing() -> None:
    assert to_json({"a": 1}, 100) == ('{"a":1}', False)
    assert to_json({"a": 1}, 3) == ('{"a', True)
    assert to_json("\ud800", 100) == ("", True)
