from __future__ import annotations

from busted.ml.features import Context
from busted.ml.history import MINUTE_NS, History, HistoryLimits
from busted.records import ProcessKey

PROCESS = ProcessKey(1, 2)


def test_connections_of_the_last_minute_count_with_where_they_went() -> None:
    history = History()
    for at_ns, place in (
        (0, b"a"),
        (MINUTE_NS, b"b"),
        (MINUTE_NS + 5, b"b"),
        (MINUTE_NS + 6, b"c"),
    ):
        history.opened(PROCESS, place, at_ns)

    assert history.context(PROCESS, 4, MINUTE_NS + 10) == Context(4, 3, 2)


def test_a_process_nobody_saw_opened_this_one() -> None:
    assert History().context(PROCESS, 0, 0) == Context(0, 1, 1)


def test_memory_is_bounded_and_who_was_quiet_longest_goes_first() -> None:
    history = History(HistoryLimits(processes=2, connections=3))
    for number in (1, 2, 1, 3):
        for _ in range(9):
            history.opened(ProcessKey(number, 0), bytes([number]), 0)

    assert len(history) == 2
    assert history.context(ProcessKey(1, 0), 0, 0).connections == 3
    assert history.context(ProcessKey(2, 0), 0, 0).connections == 1
