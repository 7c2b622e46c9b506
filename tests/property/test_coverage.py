"""Whatever is told of connections and plaintext: the ledger is bounded, and tells each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from busted import events
from busted.agent.coverage import Ledger, Limits
from busted.agent.names import Names
from busted.agent.told import Told
from busted.events import Coverage, Network
from busted.records import ClientHello, ConnectionKey, Direction, ProcessKey, TlsData
from tests import hello_wire

LIMITS = Limits(connections=3, ended=2, reads=3, hellos=2, processes=2)
HELLO = hello_wire.records(hello_wire.message(hello_wire.server_name(b"api.openai.com")))
SIZES = st.integers(0, 40) | st.integers(0, 2**64 - 1)
PIDS, COOKIES, TIMES = st.integers(7, 9), st.integers(0, 5), st.integers(0, 10**12)
KEYS = st.builds(ConnectionKey, PIDS, st.just(1), st.integers(0, 4), st.just(1))

Step = Callable[[Ledger, Names], list[Told] | None]


@st.composite
def network(draw: st.DrawFn) -> Step:
    action = Network(
        operation=draw(st.sampled_from(["connect", "accept", "close", "update"])),
        error=draw(st.none() | st.just("ECONNREFUSED")),
        provider=draw(st.none() | st.just("openai")),
        bytes_sent=draw(SIZES),
        bytes_received=draw(SIZES),
        joined_late=draw(st.booleans()),
    )
    process = ProcessKey(draw(PIDS), 1)
    who = events.Process(pid=process.pid, name="client")
    connection = events.Connection(id=str(draw(COOKIES)))
    told = Told(draw(TIMES), process, who, action, connection)
    agent = draw(st.none() | st.just("claude"))
    return lambda ledger, names: ledger.network(told, agent)


@st.composite
def plaintext(draw: st.DrawFn) -> Step:
    size = draw(st.integers(0, 40))
    record = TlsData(
        draw(KEYS), 1, draw(st.sampled_from(Direction)), 0, draw(SIZES), draw(SIZES), 1, bytes(size)
    )
    missing = draw(SIZES)
    return lambda ledger, names: ledger.read(record, missing, size)


@st.composite
def hello(draw: st.DrawFn) -> Step:
    record = ClientHello(ProcessKey(draw(PIDS), 1), 1, draw(COOKIES), 1, 0, len(HELLO), HELLO)

    def take(ledger: Ledger, names: Names) -> None:
        names.hello(record)
        ledger.hello(record)

    return take


@st.composite
def tie(draw: st.DrawFn) -> Step:
    key, cookie, by_random = draw(KEYS), draw(COOKIES), draw(st.booleans())
    return lambda ledger, names: ledger.tie(key, cookie, by_random=by_random)


@st.composite
def verdict(draw: st.DrawFn) -> Step:
    key, is_ai = draw(KEYS), draw(st.booleans())
    return lambda ledger, names: ledger.ai(key) if is_ai else ledger.muted(key)


@st.composite
def expiry(draw: st.DrawFn) -> Step:
    now_ns = draw(TIMES)
    return lambda ledger, names: ledger.expire(now_ns)


STEPS = st.lists(st.one_of(network(), plaintext(), hello(), tie(), verdict(), expiry()))


def forgets(ledger: Ledger, told: int) -> bool:
    return ledger.forgotten > 0 or told > LIMITS.ended


@given(STEPS)
def test_each_connection_is_told_once_at_most_and_all_is_bounded(steps: list[Step]) -> None:
    names = Names()
    ledger = Ledger(names, limits=LIMITS)
    told: list[Told] = []
    for step in steps:
        told += step(ledger, names) or []
        assert len(ledger.rows()) <= LIMITS.connections + LIMITS.ended
    told += ledger.close(10**12)
    assert ledger.close(10**12) == []
    # One that was forgotten, and is told of anew, is another.
    counted = Counter(one.connection.id for one in told if one.connection)
    assert max(counted.values(), default=1) == 1 or forgets(ledger, len(told))
    for one in told:
        assert isinstance(one.action, Coverage)
        assert one.action.connection is not None
        assert one.action.connection.state in ("partial", "opaque")
        assert one.action.connection.reason
