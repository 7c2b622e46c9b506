from busted.ui.terminal.tables import MAX_TRANSCRIPT_BYTES, bars, flat, transcript
from tests.unit.ui.terminal.samples import Told


def test_a_long_transcript_is_shown_from_its_end() -> None:
    told = Told()
    told.said["1"] = [b"early\n", b"x\n" * (MAX_TRANSCRIPT_BYTES // 2), b"late\n"]
    lines = transcript(told, "1")
    assert lines[0] == "... what came before is in the history"
    assert lines[-2:] == ["late", ""]
    assert "early" not in lines


def test_what_is_nested_is_indented_and_values_stand_as_in_json() -> None:
    value = {"a": {"b": [1, None], "c": {}}, "d": True, "e": "text"}
    told = ["a", "  b", "    0: 1", "    1: null", "  c: {}", "d: true", "e: text"]
    assert list(flat(value)) == told


def test_bars_show_counts_the_highest_full_and_what_is_not_nothing_never_as_nothing() -> None:
    assert bars([0, 1, 100, 50]) == " ▁█▄"
    assert bars([0, 0]) == "  "
    assert bars([]) == ""
