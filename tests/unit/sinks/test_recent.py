from __future__ import annotations

from busted.sinks.recent import MAX_BYTES, MAX_EVENTS, Recent


def filled(count: int, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> Recent:
    recent = Recent(max_events, max_bytes)
    for number in range(1, count + 1):
        recent.put(f"id{number}", b"x" * 10)
    return recent


def numbers(recent: Recent, after: int, max_bytes: int = 1000) -> list[int]:
    return [entry.number for entry in recent.after(after, max_bytes)[0]]


def test_events_come_in_order_after_the_number_that_was_read_last() -> None:
    recent = filled(4)
    assert numbers(recent, 0) == [1, 2, 3, 4]
    assert numbers(recent, 2) == [3, 4]
    assert numbers(recent, 4) == []


def test_the_oldest_make_room_and_a_follower_learns_how_many() -> None:
    recent = filled(10, max_events=3)
    assert numbers(recent, 5) == [8, 9, 10]
    assert recent.after(5, 1000)[1] == 2
    assert recent.after(7, 1000)[1] == 0
    assert len(recent.all()) == 3


def test_bytes_are_bounded_but_the_newest_is_always_there() -> None:
    recent = filled(10, max_bytes=25)
    assert [entry.number for entry in recent.all()] == [9, 10]
    recent.put("large", b"x" * 100)
    assert [entry.id for entry in recent.all()] == ["large"]


def test_a_piece_has_so_many_bytes_and_at_least_one_event() -> None:
    recent = filled(5)
    assert numbers(recent, 0, max_bytes=25) == [1, 2]
    assert numbers(recent, 2, max_bytes=1) == [3]


def test_an_event_is_found_by_its_id_while_it_is_there() -> None:
    recent = filled(5, max_events=2)
    assert recent.number_of("id4") == 4
    assert recent.number_of("id3") is None


def test_who_waits_is_called_once_and_at_once_where_there_is_more_already() -> None:
    recent, calls = filled(1), []
    recent.when_more(0, lambda: calls.append("there"))
    assert calls == ["there"]
    recent.when_more(1, lambda: calls.append("came"))
    assert calls == ["there"]
    recent.put("a", b"")
    recent.put("b", b"")
    assert calls == ["there", "came"]
