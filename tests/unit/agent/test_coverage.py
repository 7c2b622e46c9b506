"""The coverage ledger: what is decoded, partial and opaque, why, when it is told, and how often."""

from __future__ import annotations

from typing import Literal

import pytest

from busted import events
from busted.agent.coverage import (
    HANDSHAKE_BYTES,
    RECORD_BYTES,
    Ledger,
    Limits,
    Reason,
    Stack,
    unexplained,
)
from busted.agent.names import Names
from busted.agent.told import Told
from busted.events import ConnectionCoverage, Coverage, Network
from busted.records import (
    ClientHello,
    ConnectionKey,
    Direction,
    ProcessKey,
    QuicInitial,
    TlsData,
)
from tests import hello_wire, quic_wire
from tests.unit.agent.test_flows import FLOW

SECOND = 1_000_000_000
PROCESS = ProcessKey(7, 70)
KEY = ConnectionKey(7, 70, 1, 700)
COOKIE = 5
HELLO = hello_wire.records(hello_wire.message(hello_wire.server_name(b"api.openai.com")))
BOTH = (Direction.WRITE, Direction.READ)


class Host:
    """A ledger, and what a made-up host tells it."""

    def __init__(self, stack: Stack | None = None, limits: Limits | None = None) -> None:
        self.names, self.stack = Names(), stack
        self.ledger = Ledger(self.names, lambda process: self.stack, limits or Limits())
        self._positions: dict[tuple[ConnectionKey, Direction], int] = {}

    def network(
        self,
        operation: Literal["connect", "accept", "close", "update"],
        sent: int = 0,
        received: int = 0,
        *,
        second: int = 0,
        cookie: int = COOKIE,
        agent: str | None = None,
        provider: str | None = "openai",
        joined_late: bool = False,
        process: ProcessKey = PROCESS,
        transport: str = "tcp",
    ) -> None:
        action = Network(
            operation=operation,
            name="api.openai.com",
            provider=provider,
            bytes_sent=sent,
            bytes_received=received,
            joined_late=joined_late,
        )
        connection = events.Connection(
            id=str(cookie), transport=transport, dst_ip="203.0.113.1", dst_port=443
        )
        who = events.Process(pid=process.pid, name="client")
        self.ledger.network(Told(second * SECOND, process, who, action, connection), agent)

    def hello(self, cookie: int = COOKIE, process: ProcessKey = PROCESS, ech: bool = False) -> None:
        data = HELLO
        if ech:
            outer = hello_wire.message(hello_wire.server_name(b"front.example"), (0xFE0D, b"\0"))
            data = hello_wire.records(outer)
        record = ClientHello(process, 1, cookie, 1, 0, len(data), data)
        self.names.hello(record)
        self.ledger.hello(record)

    def say(self, size: int, way: Direction, *, missing: int = 0, key: ConnectionKey = KEY) -> None:
        position = self._positions.get((key, way), 0) + missing
        self._positions[key, way] = position + size
        record = TlsData(key, 1, way, position, size, 0, 1, bytes(size))
        self.ledger.read(record, missing, size)

    def exchange(self, sent: int = 300, received: int = 5000, key: ConnectionKey = KEY) -> None:
        self.say(sent, Direction.WRITE, key=key)
        self.say(received, Direction.READ, key=key)

    def end(self, *, second: int = 2) -> list[Told]:
        return self.ledger.expire(second * SECOND)

    def coverage(self) -> ConnectionCoverage:
        (row,) = self.ledger.rows()
        return row.coverage


def stack(reason: Reason = "no_hook", name: str | None = "java_jsse") -> Stack:
    return Stack(PROCESS, reason, name, "/usr/lib/jvm/lib/server/libjvm.so")


def told_of(told: list[Told]) -> ConnectionCoverage:
    (one,) = told
    assert isinstance(one.action, Coverage)
    assert one.action.connection is not None
    return one.action.connection


def test_a_connection_that_nothing_was_read_of_is_told_opaque_with_its_stack_and_why() -> None:
    host = Host(stack())
    host.network("connect")
    host.hello()
    host.network("close", 900, 7000, second=1)
    assert host.end(second=1) == []  # a probe's record may still come
    (told,) = host.end()
    assert isinstance(told.action, Coverage)
    assert not told.action.of_busted
    assert told.action.connection == ConnectionCoverage(
        state="opaque",
        reason="no_hook",
        stack="java_jsse",
        library="/usr/lib/jvm/lib/server/libjvm.so",
        name="api.openai.com",
        provider="openai",
        wire_sent=900,
        wire_received=7000,
    )
    assert (told.key, told.time_ns) == (PROCESS, SECOND)
    assert told.connection is not None
    assert told.connection.id == str(COOKIE)


def test_it_is_told_once() -> None:
    host = Host(stack())
    host.network("connect")
    host.hello()
    host.network("update", 900, 7000, second=10)
    assert told_of(host.end(second=40)).state == "opaque"
    assert host.end(second=80) == []
    host.network("close", 1800, 9000, second=81)
    assert host.end(second=90) == []
    assert host.ledger.close(100 * SECOND) == []
    assert host.coverage().wire_sent == 1800


def test_one_that_is_open_is_told_when_the_monitor_stops() -> None:
    host = Host(stack())
    host.network("connect")
    host.hello()
    host.network("update", 900, 7000, second=1)
    assert told_of(host.ledger.close(2 * SECOND)).state == "opaque"


@pytest.mark.parametrize("tied_first", [True, False])
def test_a_connection_that_was_read_is_decoded_and_not_told(tied_first: bool) -> None:
    host = Host()
    if tied_first:  # as where only what is said makes it of interest
        host.ledger.tie(KEY, COOKIE)
    host.network("connect")
    host.hello()
    if not tied_first:
        host.ledger.tie(KEY, COOKIE, by_random=True)
    host.exchange()
    host.network("close", 300 + len(HELLO) + 150, 5000 + 4000, second=1)
    assert host.end() == []
    coverage = host.coverage()
    assert (coverage.state, coverage.reason) == ("decoded", None)
    assert (coverage.decoded_sent, coverage.decoded_received) == (300, 5000)


@pytest.mark.parametrize("way", BOTH)
def test_lost_records_make_it_partial_by_so_many_bytes(way: Direction) -> None:
    host = Host()
    host.network("connect")
    host.hello()
    host.ledger.tie(KEY, COOKIE)
    host.exchange()
    host.say(100, way, missing=40)
    host.network("close", 3000, 9000, second=1)
    coverage = told_of(host.end())
    assert (coverage.state, coverage.reason, coverage.missing) == ("partial", "lost_records", 40)


def test_the_middle_of_a_call_over_the_limit_is_told_as_left_out() -> None:
    host = Host()
    host.network("connect")
    host.hello()
    host.ledger.tie(KEY, COOKIE)
    host.ledger.read(TlsData(KEY, 1, Direction.WRITE, 0, 900, 0, 1, bytes(100)), 0, 100)
    host.ledger.read(TlsData(KEY, 1, Direction.WRITE, 800, 900, 800, 1, bytes(100)), 700, 100)
    host.network("close", 1500, 900, second=1)
    coverage = told_of(host.end())
    assert (coverage.state, coverage.reason, coverage.missing) == ("partial", "over_limit", 700)


def test_one_that_was_open_before_is_partial_however_much_was_read() -> None:
    host = Host()
    host.network("update", 5000, 90_000, joined_late=True)
    host.ledger.tie(KEY, COOKIE)
    host.exchange()
    host.network("close", 5400, 95_100, joined_late=True, second=1)
    coverage = told_of(host.end())
    assert (coverage.state, coverage.reason) == ("partial", "joined_late")
    assert (coverage.decoded_received, coverage.wire_received) == (5000, 95_100)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "joined_late"),
        (stack("hook_silent", None), "joined_late"),
        (stack("no_hook"), "no_hook"),
    ],
)
def test_one_that_was_open_before_and_never_read_is_opaque(
    found: Stack | None, reason: str
) -> None:
    host = Host(found)
    host.network("update", 5000, 90_000, joined_late=True)
    host.network("close", 5400, 95_100, joined_late=True, second=1)
    coverage = told_of(host.end())
    assert (coverage.state, coverage.reason) == ("opaque", reason)


def test_one_that_was_open_before_and_moves_nothing_is_not_told() -> None:
    host = Host()
    host.network("update", 5000, 90_000, joined_late=True)
    host.network("close", 5000, 90_000, joined_late=True, second=1)
    assert host.end() == []
    assert host.coverage().state == "opaque"


def test_more_on_the_wire_than_tls_adds_is_partial_when_it_ended() -> None:
    host = Host()
    host.network("connect")
    host.hello()
    host.ledger.tie(KEY, COOKIE)
    host.exchange()
    host.network("update", 900, 60_000, second=10)
    assert host.end(second=40) == []  # the process may be about to read it
    host.network("close", 900, 60_000, second=50)
    coverage = told_of(host.end(second=52))
    assert (coverage.state, coverage.reason) == ("partial", "unread")


@pytest.mark.parametrize("calls", [1, 10, 1000])
def test_what_tls_adds_is_explained_and_no_more_than_that(calls: int) -> None:
    plaintext = calls * 100
    # A record for each call, under the suite that adds most, behind the longest handshake.
    wire = plaintext + calls * RECORD_BYTES + HANDSHAKE_BYTES
    assert unexplained(wire, plaintext, calls) == 0
    assert unexplained(wire + 10_000, plaintext, calls) > 9_000


def test_one_large_call_is_many_records() -> None:
    plaintext = 10 << 20
    wire = plaintext + (plaintext // 16384) * RECORD_BYTES
    assert unexplained(wire, plaintext, 1) == 0


def test_a_request_that_was_not_read_does_not_hide_behind_a_handshake() -> None:
    host = Host()
    host.network("connect")
    host.hello()
    host.ledger.tie(KEY, COOKIE)
    host.exchange(sent=100)
    host.network("close", len(HELLO) + 3000, 9000, second=1)
    assert told_of(host.end()).reason == "unread"


def test_what_was_found_to_be_no_ai_is_decoded() -> None:
    host = Host()
    host.network("connect", agent="claude")
    host.hello()
    host.ledger.tie(KEY, COOKIE)
    host.exchange()
    host.ledger.muted(KEY)
    host.network("close", 1_000_000, 1_000_000, second=1, agent="claude")
    assert host.end() == []
    assert host.coverage().reason == "not_ai"


def test_a_handshake_that_came_to_nothing_is_not_told() -> None:
    host = Host(stack())
    host.network("connect")
    host.hello()
    host.network("close", len(HELLO) + 24, 4000, second=1)
    assert host.end() == []
    assert (host.coverage().state, host.coverage().reason) == ("decoded", "nothing_said")


def test_an_agents_connection_without_tls_is_opaque_and_others_are_not_told() -> None:
    host = Host()
    for cookie, agent in ((1, "claude"), (2, None)):
        host.network("connect", cookie=cookie, agent=agent, provider=None)
        host.network("close", 90, 90, cookie=cookie, provider=None, second=1)
    coverage = told_of(host.end())
    assert (coverage.state, coverage.reason) == ("opaque", "not_tls")
    assert len(host.ledger.rows()) == 2


def test_one_on_which_ai_was_seen_is_told_whatever_its_host() -> None:
    host = Host()
    host.network("update", 5000, 5000, provider=None, joined_late=True)
    host.ledger.tie(KEY, COOKIE)
    host.exchange()
    host.ledger.ai(KEY)
    host.network("close", 9000, 9000, provider=None, joined_late=True, second=1)
    assert told_of(host.end()).reason == "joined_late"


def test_connections_that_were_accepted_or_refused_are_not_in_it() -> None:
    host = Host()
    host.network("accept")
    host.network("close", 10, 10, second=1)
    assert host.end() == []
    refused = Network(operation="connect", error="ECONNREFUSED", bytes_sent=0, bytes_received=0)
    who = events.Process(pid=7, name="client")
    told = Told(1, PROCESS, who, refused, events.Connection(id="9"))
    host.ledger.network(told, "claude")
    assert host.ledger.rows() == []


def test_the_servers_end_of_a_connection_on_this_host_is_not_taken_for_the_clients() -> None:
    host, server = Host(stack()), KEY._replace(pid=8)
    host.network("connect")
    host.hello()
    host.ledger.tie(server, COOKIE, by_random=True)
    host.exchange(key=server)
    host.network("close", 900, 7000, second=1)
    assert told_of(host.end()).state == "opaque"


def test_connections_whose_library_tells_no_socket_are_found_by_their_bytes() -> None:
    host = Host()
    keys = KEY, KEY._replace(connection=2)
    for cookie, key, size in zip((1, 2), keys, (100_000, 400_000), strict=True):
        host.network("connect", cookie=cookie)
        host.hello(cookie)
        host.ledger.name(key, "api.openai.com")
        host.exchange(received=size, key=key)
        host.network("close", 300 + len(HELLO) + 120, size + 4000, cookie=cookie, second=1)
    assert host.end() == []
    told = [row.coverage for row in host.ledger.rows()]
    assert [coverage.state for coverage in told] == ["decoded", "decoded"]
    assert [coverage.decoded_received for coverage in told] == [100_000, 400_000]


def test_plaintext_that_cannot_be_told_to_be_this_connections_makes_it_partial() -> None:
    host = Host(stack())
    host.network("connect")
    host.hello()
    host.exchange(received=100)
    host.network("close", 50_000, 90_000, second=1)
    assert told_of(host.end()).reason == "not_tied"


def test_an_encrypted_hello_is_told() -> None:
    host = Host(stack())
    host.network("connect")
    host.hello(ech=True)
    host.network("close", 9000, 9000, second=1)
    assert told_of(host.end()).ech


def test_the_stack_is_told_of_a_process_that_is_gone() -> None:
    host = Host(stack())
    host.network("connect")
    host.stack = None
    host.hello()
    host.network("close", 900, 7000, second=1)
    assert told_of(host.end()).stack == "java_jsse"


def test_it_is_bounded_and_counts_what_it_forgot() -> None:
    limits = Limits(connections=2, ended=1, reads=2, hellos=2, processes=2)
    host = Host(stack(), limits)
    for number in range(5):
        host.network("connect", cookie=number, process=ProcessKey(number, 1))
        host.hello(number)
        host.exchange(key=KEY._replace(connection=number, pid=number))
        host.ledger.tie(KEY._replace(connection=number), number + 100)
    assert host.ledger.forgotten == 3
    assert len(host.ledger.rows()) == 2
    assert len(host.ledger.close(SECOND)) <= 2
    assert len(host.ledger.rows()) == 1


def test_connections_that_end_drop_none_that_is_open() -> None:
    host = Host(stack(), Limits(connections=2, ended=1))
    host.network("connect", cookie=1)
    for number in range(2, 6):
        host.network("connect", cookie=number)
        host.network("close", 900, 7000, cookie=number)
        host.end()
    assert [row.connection for row in host.ledger.rows()] == ["5", "1"]
    assert host.ledger.forgotten == 0


def test_rows_say_how_open_connections_stand_without_looking_at_processes() -> None:
    host = Host()
    host.network("connect", agent="claude")
    host.hello()
    host.stack = stack()
    host.network("update", 900, 7000, second=1)
    (row,) = host.ledger.rows()
    assert (row.pid, row.process, row.agent, row.open) == (7, "client", "claude", True)
    assert row.coverage.reason == "unknown_stack"


# QUIC


def quic(host: Host, *alpn: bytes, ech: bool = False) -> None:
    extensions = [hello_wire.server_name(b"api.openai.com"), hello_wire.protocols(*alpn)]
    extensions += [(0xFE0D, b"\0")] * ech
    for data in quic_wire.datagrams(hello_wire.message(*extensions)):
        assert host.names.quic_hello(QuicInitial(FLOW, len(data), data))


@pytest.mark.parametrize(("alpn", "stack"), [(b"h3", "http3"), (b"doq", None)])
def test_quic_is_opaque_whatever_the_process_has(alpn: bytes, stack: str | None) -> None:
    host = Host(Stack(PROCESS, "hook_silent", "openssl", "/usr/lib/libssl.so.3"))
    host.network("connect", transport="udp")
    quic(host, alpn)
    # What the library gives is no connection that is understood.
    host.ledger.tie(KEY, COOKIE)
    host.say(300, Direction.WRITE)
    host.network("close", 3000, 7000, second=1, transport="udp")
    told = told_of(host.end())
    assert (told.state, told.reason, told.stack) == ("opaque", "quic", stack)
    assert (told.library, told.ech) == (None, False)
    assert (told.name, told.provider) == ("api.openai.com", "openai")
    assert (told.wire_sent, told.wire_received) == (3000, 7000)


def test_quic_with_an_encrypted_hello_says_so() -> None:
    host = Host()
    host.network("connect", transport="udp", agent="Codex", provider=None)
    quic(host, b"h3", ech=True)
    host.network("update", 3000, 7000, second=1, transport="udp")
    assert told_of(host.end(second=31)).ech


def test_quic_that_nobody_answered_is_not_told() -> None:
    host = Host()
    host.network("connect", transport="udp")
    quic(host, b"h3")
    host.network("close", 3600, 0, second=1, transport="udp")
    assert host.end() == []
    assert host.coverage().reason == "quic"
