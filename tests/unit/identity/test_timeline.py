from __future__ import annotations

from busted.identity.timeline import Entry, Timelines, digest, in_order, summary


def entry(time_ns: int, kind: str = "Prompt", what: str = "m") -> Entry:
    return Entry(time_ns, kind, what, "1-a")


def test_entries_stand_in_the_order_of_their_times_however_they_came() -> None:
    timelines = Timelines()
    for time_ns in (3, 1, 2):
        timelines.add("a", entry(time_ns))

    assert [one.time_ns for one in timelines.of("a")] == [1, 2, 3]


def test_an_identity_keeps_its_last_entries() -> None:
    timelines = Timelines(max_entries=2)
    for time_ns in (1, 2, 3):
        timelines.add("a", entry(time_ns))

    assert [one.time_ns for one in timelines.of("a")] == [2, 3]
    assert len(timelines) == 2


def test_over_the_limit_of_all_the_quietest_loses_its_entries_first() -> None:
    timelines = Timelines(max_all=4)
    for identity in ("quiet", "busy", "quiet", "busy", "busy", "busy"):
        timelines.add(identity, entry(1))

    assert len(timelines) == 4
    assert timelines.of("quiet") == ()
    timelines.forget("busy")
    assert len(timelines) == 0


def test_a_summary_has_the_most_frequent_first() -> None:
    entries = [entry(1), entry(2, "ToolCall"), entry(3)]

    assert summary(entries) == "Prompt x2, ToolCall x1"
    assert summary([]) == ""


def test_a_digest_tells_ways_of_working_apart_and_not_what_models_are_asked() -> None:
    def worked(model: str, tool: str) -> str:
        kinds = [("Prompt", model), ("ToolCall", tool), ("Response", model)] * 3
        return digest([entry(i, *kind) for i, kind in enumerate(kinds)])

    assert worked("a", "read") == worked("b", "read") != worked("a", "write")
    assert digest([entry(1), entry(2)]) == ""


def test_entries_of_one_moment_have_an_order_of_their_own() -> None:
    entries = [entry(1, "Prompt", "b"), entry(1, "Prompt", "a")]

    assert in_order(entries) == in_order(reversed(entries))
