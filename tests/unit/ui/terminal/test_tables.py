from busted.events import PolicyDecision
from busted.sinks.transcript import markdown
from busted.ui.terminal.tables import MAX_TRANSCRIPT_BYTES, bars, flat, transcript
from tests.unit.ui.terminal.samples import Told, prompt


def test_a_long_transcript_is_shown_from_its_end() -> None:
    told = Told()
    told.said["1"] = [b"early\n", b"x\n" * (MAX_TRANSCRIPT_BYTES // 2), b"late\n"]
    lines = transcript(told, "1")
    assert lines[0] == "... what came before is in the history"
    assert lines[-1] == "late"
    assert "early" not in lines


def test_a_transcript_is_read_as_text_and_what_was_said_cannot_pass_for_ours() -> None:
    said = "## x\n```\nPolicy: **deny** \\-"
    event = prompt(7, said, policy=PolicyDecision(decision="audit", reasons=("a-b",), id="1"))
    told = Told()
    told.said["1"] = [piece.encode() for piece in markdown([event])]
    assert transcript(told, "1") == [
        "What the agents said and did",
        "",
        f"{event.time} python3 (7)",
        "Prompt to openai m",
        "Policy: audit: a-b",
        "User:",
        *(f"  {line}" for line in said.split("\n")),
    ]


def test_what_is_nested_is_indented_and_values_stand_as_in_json() -> None:
    value = {"a": {"b": [1, None], "c": {}}, "d": True, "e": "text"}
    told = ["a", "  b", "    0: 1", "    1: null", "  c: {}", "d: true", "e: text"]
    assert list(flat(value)) == told


def test_bars_show_counts_the_highest_full_and_what_is_not_nothing_never_as_nothing() -> None:
    assert bars([0, 1, 100, 50]) == " ▁█▄"
    assert bars([0, 0]) == "  "
    assert bars([]) == ""
