from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from busted.events import Connection, Network
from busted.identity.callers import WHILE_ASKED, WHILE_CONNECTED, Callers

OUT = Connection(id="c", src_ip="::1", src_port=40_000, dst_ip="::1", dst_port=8080)
IN = Connection(id="d", src_ip="::1", src_port=8080, dst_ip="::1", dst_port=40_000)


def network(operation: Literal["connect", "accept", "close"], error: str | None = None) -> Network:
    return Network(operation=operation, error=error, bytes_sent=0, bytes_received=0)


def test_who_connects_calls_who_accepts_whichever_is_told_first() -> None:
    for order in (0, 1):
        callers = Callers()
        told = [(OUT, network("connect"), "1", "a"), (IN, network("accept"), "2", "")]
        for one in told[order:] + told[:order]:
            callers.take(*one)

        assert callers.of("2") == {"a": WHILE_CONNECTED}
        assert callers.of("1") == {}


def test_a_closed_connection_calls_nobody_whoever_closed_it() -> None:
    for end in (OUT, IN):
        callers = Callers()
        callers.take(OUT, network("connect"), "1", "a")
        callers.take(IN, network("accept"), "2", "")
        callers.take(end, network("close"), "1", "a")

        assert callers.of("2") == {}


def test_a_connect_that_failed_or_is_nobodys_calls_nobody() -> None:
    callers = Callers()
    callers.take(IN, network("accept"), "2", "")
    callers.take(OUT, network("connect", "ECONNREFUSED"), "1", "a")
    callers.take(OUT, network("connect"), "1", "")

    assert callers.of("2") == {}


def test_the_oldest_connections_make_room() -> None:
    callers = Callers(max_connections=1)
    callers.take(OUT, network("connect"), "1", "a")
    callers.take(IN, network("accept"), "2", "")
    callers.take(replace(OUT, src_port=1), network("connect"), "1", "a")

    assert callers.of("2") == {}


def test_where_requests_are_seen_who_awaits_an_answer_calls_and_nobody_else() -> None:
    callers = Callers()
    callers.take(IN, network("accept"), "2", "")
    callers.asked(OUT, "a")

    assert callers.of("2") == {"a": WHILE_ASKED}
    callers.answered(OUT)
    assert callers.of("2") == {}
    callers.asked(OUT, "a")
    assert callers.of("2") == {"a": WHILE_ASKED}


def test_a_request_whose_connection_is_not_known_on_the_wire_calls_nobody() -> None:
    callers = Callers()
    callers.asked(Connection(id="c"), "a")
    callers.asked(None, "a")
    callers.answered(None)
    callers.take(IN, network("accept"), "2", "")

    assert callers.of("2") == {}


def test_who_is_known_to_hold_the_other_end_is_called_without_its_accept() -> None:
    callers = Callers()
    callers.asked(OUT, "a")
    callers.accepted(OUT, "2")
    callers.accepted(Connection(id="c"), "3")

    assert callers.of("2") == {"a": WHILE_ASKED}
    assert callers.of("3") == {}


def test_a_connection_that_another_process_goes_on_with_is_no_longer_the_first_ones() -> None:
    callers = Callers()
    callers.take(OUT, network("connect"), "1", "a")
    callers.take(IN, network("accept"), "2", "")
    callers.accepted(OUT, "3")

    assert callers.of("2") == {}
    assert callers.of("3") == {"a": WHILE_CONNECTED}
    callers.take(OUT, network("close"), "1", "a")
    assert callers.of("3") == callers.of("2") == {}
