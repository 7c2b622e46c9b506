from busted.agent.tls_ends import TlsEnds
from busted.events import Connection
from busted.records import ProcessKey

ASKER, ANSWERER = ProcessKey(1, 10), ProcessKey(2, 20)
AT = Connection(id="c", src_ip="127.0.0.1")
RANDOM = b"r" * 32


def test_who_answers_is_told_whichever_end_is_seen_first() -> None:
    ends = TlsEnds()
    assert ends.holds(RANDOM, ANSWERER) is None
    assert ends.holds(RANDOM, ASKER) is None
    assert ends.asks(RANDOM, ASKER, AT) == ANSWERER

    ends = TlsEnds()
    assert ends.holds(RANDOM, ASKER) is None
    assert ends.asks(RANDOM, ASKER, AT) is None
    assert ends.holds(RANDOM, ANSWERER) == AT


def test_nobody_answers_himself_or_over_another_connection() -> None:
    ends = TlsEnds()
    ends.holds(b"o" * 32, ANSWERER)

    assert ends.asks(RANDOM, ASKER, AT) is None
    assert ends.holds(RANDOM, ASKER) is None


def test_the_oldest_make_room() -> None:
    ends = TlsEnds(max_randoms=1, max_asking=1)
    ends.holds(RANDOM, ANSWERER)
    ends.holds(b"o" * 32, ANSWERER)
    assert ends.asks(RANDOM, ASKER, AT) is None
    ends.asks(b"o" * 32, ASKER, AT)
    assert ends.holds(RANDOM, ANSWERER) is None
