"""From records to events: with the real classifier, and with one that misbehaves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar

import msgspec
import pytest

from busted import events
from busted.agent import pipeline as pipeline_module
from busted.agent.behaviour import Behaviour
from busted.agent.clock import Clock
from busted.agent.coverage import Stack
from busted.agent.flows import Asks, Network
from busted.agent.loops import Loops, LoopTerms
from busted.agent.pipeline import Origin, Outside, Pipeline, event_id
from busted.agent.replay import connection_events
from busted.classifier.canaries import Canary
from busted.classifier.connection import ConnectionReader, Observed
from busted.classifier.direction import Direction as ClassifierDirection
from busted.classifier.options import with_rows
from busted.classifier.pii import Scanner
from busted.classifier.providers import Provider
from busted.enrich.agents import Agent, Agents
from busted.enrich.sensitive import Sensitive, SensitiveFiles
from busted.events import Coverage, Credential, Event, Library, Process, Prompt, Response
from busted.records import (
    PLAIN_SOCKET,
    ClientHello,
    ConnectionKey,
    Direction,
    DnsMessage,
    FileAccess,
    FileData,
    FileKey,
    FileOperation,
    Flow,
    FlowOperation,
    ProcessExec,
    ProcessExit,
    ProcessFork,
    ProcessKey,
    QuicInitial,
    Record,
    TlsClose,
    TlsData,
    TlsName,
    TlsOpen,
    TlsRandom,
    TlsSocket,
)
from busted.streams import Connections
from tests import hello_wire, quic_wire
from tests.dns_wire import address, message, question
from tests.ml.models import forest
from tests.ml.windows import downloaded, streamed, traffic
from tests.unit.agent.test_flows import FLOW

SECOND = 1_000_000_000
CLOCK = Clock(monotonic_offset_ns=1_700_000_000 * SECOND, boot_offset_ns=1_600_000_000 * SECOND)
ORIGIN = Origin("host", CLOCK, b"seed")
ASK = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Name a colour."}]}'
ANSWER = (
    b'{"id":"1","model":"gpt-4o","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Blue."}}]}'
)
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ASK)
) + ASK
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER


class Host:
    """A pipeline, what it asked for outside, and the connections of a made-up host."""

    def __init__(
        self,
        enrichers: dict[str, Callable[[Event], Event]] | None = None,
        wanted: Callable[[TlsOpen | ProcessExec | Flow | FileAccess], bool] = lambda record: True,
        max_connections: int = 100,
    ) -> None:
        self.muted: list[ConnectionKey] = []
        self.started: list[tuple[ProcessKey, str]] = []
        self.wanted: list[ConnectionKey] = []
        self.ended: list[tuple[ProcessKey, str]] = []
        self.agents: list[ProcessKey] = []
        self.no_agents: list[tuple[ProcessKey, int]] = []
        outside = Outside(
            self.muted.append,
            wanted,
            lambda *process: self.started.append(process),
            "lib{}".format,
            self.wanted.append,
            ended=lambda *process: self.ended.append(process),
            agent=self.agents.append,
            no_agent=lambda *said: self.no_agents.append(said),
        )
        self.pipeline = Pipeline(ORIGIN, enrichers or {}, outside, Connections(max_connections))
        self._positions: dict[tuple[ConnectionKey, Direction], int] = {}
        self._time = 0

    def key(self, connection: int = 1, pid: int = 7) -> ConnectionKey:
        return ConnectionKey(pid, 70, connection, 700)

    def feed(self, record: Record) -> list[Event]:
        return list(self.pipeline.feed(record))

    def now(self) -> int:
        self._time += SECOND
        return self._time

    def open(self, key: ConnectionKey) -> list[Event]:
        return self.feed(TlsOpen(key, self.now(), 8, 1, 1000, 100, 44, 3, b"python3"))

    def name(self, key: ConnectionKey, name: str) -> list[Event]:
        return self.feed(TlsName(key, self.now(), name))

    def data(
        self, key: ConnectionKey, direction: Direction, data: bytes, lost: int = 0
    ) -> list[Event]:
        position = self._positions.get((key, direction), 0) + lost
        self._positions[key, direction] = position + len(data)
        return self.feed(TlsData(key, self.now(), direction, position, len(data), 0, key.pid, data))

    def write(self, key: ConnectionKey, data: bytes, lost: int = 0) -> list[Event]:
        return self.data(key, Direction.WRITE, data, lost)

    def read(self, key: ConnectionKey, data: bytes, lost: int = 0) -> list[Event]:
        return self.data(key, Direction.READ, data, lost)

    def read_early(self, key: ConnectionKey, data: bytes) -> list[Event]:
        self._positions[key, Direction.READ] = len(data)
        now = self.now()
        return self.feed(TlsData(key, now, Direction.READ, 0, len(data), 0, key.pid, data, True))

    def close(self, key: ConnectionKey) -> list[Event]:
        return self.feed(TlsClose(key, self.now()))

    def exit(self, pid: int) -> list[Event]:
        return self.feed(ProcessExit(ProcessKey(pid, 70), self.now()))

    def exchange(self, key: ConnectionKey) -> list[Event]:
        opened = self.open(key) + self.name(key, "api.openai.com")
        return opened + self.write(key, REQUEST) + self.read(key, RESPONSE)


class Reader(ConnectionReader):
    """A reader whose methods raise when the test says so."""

    broken: ClassVar[str] = ""

    def _break(self, method: str) -> None:
        if method == Reader.broken:
            raise RuntimeError(f"{method} is broken")

    def name(self, sni: str) -> None:
        self._break("name")
        super().name(sni)

    def feed(self, direction: ClassifierDirection, data: bytes, time_ns: int) -> list[Observed]:
        self._break("feed")
        return super().feed(direction, data, time_ns)

    def gap(self, direction: ClassifierDirection, missing: int, time_ns: int) -> list[Observed]:
        self._break("gap")
        return super().gap(direction, missing, time_ns)

    def expire(self, now_ns: int) -> list[Observed]:
        self._break("expire")
        return super().expire(now_ns)

    def close(self, time_ns: int) -> list[Observed]:
        self._break("close")
        return super().close(time_ns)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.setattr(pipeline_module, "ConnectionReader", Reader)
    monkeypatch.setattr(Reader, "broken", "")
    return lambda method: monkeypatch.setattr(Reader, "broken", method)


def names(events: list[Event]) -> list[str]:
    return [type(event.action).__name__ for event in events]


# What an event says


def test_what_is_said_without_tls_is_told_with_the_socket_that_carries_it() -> None:
    host = Host()
    key = host.key(connection=4711)
    host.feed(TlsOpen(key, host.now(), 8, 1, 1000, 100, 44, PLAIN_SOCKET, b"curl"))
    asked = REQUEST.replace(b"api.openai.com", b"localhost:11434")
    prompt, response = host.write(key, asked) + host.read(key, RESPONSE)
    for event in (prompt, response):
        assert event.connection is not None
        assert (event.connection.source, event.connection.tls_library) == ("plain", None)
    assert isinstance(prompt.action, Prompt)
    assert prompt.action.provider == "ollama"


def test_a_request_and_its_answer_are_two_events_of_one_exchange() -> None:
    host = Host()
    prompt, response = host.exchange(host.key())
    assert isinstance(prompt.action, Prompt)
    assert prompt.action.user_message == "Name a colour."
    assert isinstance(response.action, Response)
    assert response.action.text == "Blue."
    assert prompt.exchange_id == response.exchange_id
    assert host.pipeline.lost == {}


def test_an_event_says_who_when_and_over_what() -> None:
    host = Host()
    prompt, response = host.exchange(host.key())
    assert prompt.process == Process(
        pid=7, name="python3", tid=8, ppid=1, uid=1000, gid=100, cgroup_id="44",
        start_time="2020-09-13T12:26:40.000000070Z",
    )  # fmt: skip
    assert prompt.connection is not None
    assert (prompt.connection.sni, prompt.connection.tls_library) == ("api.openai.com", "lib3")
    assert prompt.connection.http_version == "1.1"
    assert (prompt.host, prompt.session_id) == ("host", "7-46")
    # The times of the write and of the read, not those of the records before them.
    assert prompt.time == "2023-11-14T22:13:23.000000000Z"
    assert response.time == "2023-11-14T22:13:24.000000000Z"


def test_a_connection_whose_opening_was_lost_is_reported_with_what_is_known() -> None:
    host = Host()
    host.name(host.key(), "api.openai.com")
    (prompt,) = host.write(host.key(), REQUEST)
    assert (prompt.process.pid, prompt.process.name, prompt.process.uid) == (7, "", None)
    assert prompt.process.start_time == "2020-09-13T12:26:40.000000070Z"


def test_the_hash_of_a_credential_is_of_one_run() -> None:
    def credential(origin: Origin) -> Credential | None:
        asked = REQUEST.replace(b"\r\n", b"\r\nX-Api-Key: abc\r\n", 1)
        told = list(connection_events([asked], [], "api.openai.com", origin))
        assert isinstance(told[0].action, Prompt)
        return told[0].action.credential

    one = credential(ORIGIN)
    assert one is not None
    assert one.scheme == "x-api-key"
    assert one == credential(ORIGIN)
    assert one != credential(msgspec.structs.replace(ORIGIN, seed=b"another run"))


def test_connections_of_different_processes_at_one_address_are_apart() -> None:
    host = Host()
    first, second = host.key(1, pid=7), host.key(1, pid=8)
    events = host.write(first, REQUEST) + host.write(second, REQUEST)
    assert [event.process.pid for event in events] == [7, 8]
    assert len({event.exchange_id for event in events}) == 2
    assert len({event.session_id for event in events}) == 2


def test_bytes_that_were_lost_are_told_in_the_event() -> None:
    host = Host()
    head, body = REQUEST.split(b"\r\n\r\n")
    host.write(host.key(), head + b"\r\n\r\n")
    (prompt,) = host.write(host.key(), body[30:], lost=30)
    assert isinstance(prompt.action, Prompt)
    assert prompt.action.truncated
    assert prompt.action.missing_bytes == 30


def test_each_process_that_opens_a_connection_is_told_outside() -> None:
    host = Host()
    host.open(host.key())
    assert host.started == [(ProcessKey(7, 70), "2020-09-13T12:26:40.000000070Z")]


# Event ids


def test_event_ids_are_ulids_distinct_and_sorted_by_time() -> None:
    host = Host()
    events = [event for n in range(20) for event in host.exchange(host.key(n))]
    ids = [event.id for event in events]
    assert all(len(i) == 26 and set(i) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for i in ids)
    assert all(i[0] <= "7" for i in ids)
    assert len(set(ids)) == len(ids) == 40
    assert sorted(ids) == ids


def test_an_event_id_holds_the_millisecond_as_the_ulid_specification_says() -> None:
    # The example of github.com/ulid/spec: 01ARZ3NDEK is 1469922850259.
    key = ConnectionKey(1, 2, 3, 4)
    assert event_id(1469922850259 * 1_000_000, b"", key, 1)[:10] == "01ARZ3NDEK"


def test_ids_of_one_moment_differ_by_run_connection_and_number() -> None:
    key = ConnectionKey(1, 2, 3, 4)
    others = [key._replace(pid=2), key._replace(start_ns=3), key._replace(since_ns=5)]
    ids = [event_id(0, b"a", key, 1), event_id(0, b"a", key, 2), event_id(0, b"b", key, 1)]
    ids += [event_id(0, b"a", other, 1) for other in others]
    assert len(set(ids)) == len(ids)


def test_a_seed_too_long_to_make_ids_of_is_refused_when_it_is_read() -> None:
    for length in (0, 64):
        origin = Origin("host", CLOCK, b"s" * length)
        assert msgspec.json.decode(msgspec.json.encode(origin), type=Origin) == origin
        assert event_id(0, origin.seed, ConnectionKey(1, 2, 3, 4), 1)
    too_long = Origin("host", CLOCK, b"s" * 65)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(too_long), type=Origin)


def test_a_replay_gives_equal_events() -> None:
    first, second = Host(), Host()
    assert first.exchange(first.key()) == second.exchange(second.key()) != []


# Muting


def test_a_connection_that_is_not_ai_is_muted_once_and_stays_silent() -> None:
    host = Host()
    host.open(host.key())
    events: list[Event] = []
    for _ in range(20):
        events += host.write(host.key(), b"\0\1\2\3" * 4096)
    assert events == []
    assert host.muted == [host.key()]
    assert host.name(host.key(), "api.openai.com") + host.write(host.key(), REQUEST) == []


def test_an_ai_connection_is_never_muted() -> None:
    host = Host()
    host.exchange(host.key())
    assert host.muted == []


def test_a_process_that_was_not_asked_for_is_muted_at_its_first_record() -> None:
    host = Host(wanted=lambda opened: opened.key.pid == 8)
    assert host.exchange(host.key(1, pid=7)) == []
    assert host.muted == [host.key(1, pid=7)]
    assert names(host.exchange(host.key(1, pid=8))) == ["Prompt", "Response"]


def test_a_recycled_address_of_a_muted_connection_is_heard() -> None:
    host = Host(wanted=lambda opened: isinstance(opened, TlsOpen) and opened.key.since_ns != 700)
    host.open(host.key())
    later = host.key()._replace(since_ns=800)
    assert names(host.exchange(later)) == ["Prompt", "Response"]


def test_the_server_side_of_a_connection_is_not_reported() -> None:
    host = Host()
    key = host.key()
    assert host.open(key) + host.read(key, REQUEST) + host.write(key, RESPONSE) == []
    assert host.close(key) == []
    assert host.muted == [key]


# Ends


def cut_answer(host: Host, key: ConnectionKey) -> None:
    host.open(key)
    host.write(key, REQUEST)
    assert host.read(key, RESPONSE[:-20]) == []


@pytest.mark.parametrize("end", ["close", "exit", "stop"])
def test_an_answer_cut_short_is_reported_as_truncated(end: str) -> None:
    host = Host()
    cut_answer(host, host.key())
    ends: dict[str, Callable[[], list[Event]]] = {
        "close": lambda: host.close(host.key()),
        "exit": lambda: host.exit(7),
        "stop": lambda: list(host.pipeline.close(host.now())),
    }
    (response,) = ends[end]()
    assert isinstance(response.action, Response)
    assert response.action.truncated
    assert response.process.name == "python3"
    assert ends[end]() == []


def test_the_end_of_a_process_ends_its_connections_and_no_others() -> None:
    host = Host()
    for key in (host.key(1, pid=7), host.key(2, pid=7), host.key(1, pid=8)):
        cut_answer(host, key)
    assert [event.process.pid for event in host.exit(7)] == [7, 7]
    assert [event.process.pid for event in host.exit(8)] == [8]


def test_what_has_been_idle_for_long_is_reported_as_truncated() -> None:
    host = Host()
    cut_answer(host, host.key())
    assert list(host.pipeline.expire(host.now())) == []
    (response,) = host.pipeline.expire(host.now() + 3600 * SECOND)
    assert isinstance(response.action, Response)
    assert response.action.truncated


def test_an_answer_that_was_read_before_its_request_is_told_comes_after_it() -> None:
    host = Host()
    key = host.key()
    assert host.open(key) + host.name(key, "api.openai.com") + host.read_early(key, RESPONSE) == []
    prompt, response = host.write(key, REQUEST)
    assert isinstance(prompt.action, Prompt)
    assert isinstance(response.action, Response)
    assert response.exchange_id == prompt.exchange_id


@pytest.mark.parametrize("end", ["expire", "close", "exit"])
def test_an_answer_to_a_request_that_is_never_told_is_told_all_the_same(end: str) -> None:
    host = Host()
    key = host.key()
    assert host.open(key) + host.name(key, "api.openai.com") + host.read_early(key, RESPONSE) == []
    if end == "expire":
        assert list(host.pipeline.expire(host.now() - SECOND)) == []
        told = list(host.pipeline.expire(host.now()))
    else:
        told = host.close(key) if end == "close" else host.exit(key.pid)
    assert [type(event.action) for event in told] == [Response]


def test_only_connections_with_something_unfinished_are_asked_what_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[ConnectionReader] = []

    class Asked(ConnectionReader):
        def expire(self, now_ns: int) -> list[Observed]:
            asked.append(self)
            return super().expire(now_ns)

    monkeypatch.setattr(pipeline_module, "ConnectionReader", Asked)
    host = Host()
    host.exchange(host.key(1))
    cut_answer(host, host.key(2))
    cut_answer(host, host.key(3))
    host.close(host.key(3))

    assert list(host.pipeline.expire(host.now())) == []
    assert len(asked) == 1
    assert names(host.read(host.key(2), RESPONSE[-20:])) == ["Response"]
    assert list(host.pipeline.expire(host.now() + 3600 * SECOND)) == []
    assert len(asked) == 1


def test_a_connection_that_must_make_room_is_reported_and_counted() -> None:
    host = Host(max_connections=1)
    cut_answer(host, host.key(1))
    (response,) = host.open(host.key(2))
    assert isinstance(response.action, Response)
    assert response.action.truncated
    assert host.pipeline.lost == {"connections_forgotten": 1}


# Failures


def test_a_failing_enricher_is_counted_logged_once_and_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: Event) -> Event:
        raise LookupError("gone")

    def mark(event: Event) -> Event:
        return msgspec.structs.replace(event, host="marked")

    host = Host({"containers": fail, "marks": mark})
    with caplog.at_level(logging.ERROR):
        events = host.exchange(host.key())
    assert [event.host for event in events] == ["marked", "marked"]
    assert host.pipeline.failures == {"containers": 2}
    assert host.pipeline.lost == {"failed_containers": 2}
    assert len(caplog.records) == 1
    assert "containers" in caplog.text


@pytest.mark.parametrize("method", ["name", "feed", "gap", "expire", "close"])
def test_a_reader_that_raises_gives_up_its_connection_and_no_other(
    broken: Callable[[str], None], method: str
) -> None:
    host = Host()
    good, bad = host.key(1), host.key(2)
    cut_answer(host, good)
    cut_answer(host, bad)
    broken(method)
    provoked: dict[str, Callable[[], list[Event]]] = {
        "name": lambda: host.name(bad, "api.openai.com"),
        "feed": lambda: host.read(bad, RESPONSE[-20:]),
        "gap": lambda: host.read(bad, RESPONSE[-10:], lost=10),
        "expire": lambda: list(host.pipeline.expire(host.now())),
        "close": lambda: host.close(bad),
    }
    assert provoked[method]() == []
    broken("")
    assert host.pipeline.failures["classifier"] >= 1
    assert bad in host.muted
    assert host.write(bad, REQUEST) == [] or method == "close"
    if method != "expire":  # that asks every reader
        assert names(host.read(good, RESPONSE[-20:])) == ["Response"]
    assert names(host.exchange(host.key(3))) == ["Prompt", "Response"]


def test_stopping_reports_the_connections_beside_a_broken_one(
    broken: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host()
    for connection in (1, 2, 3):
        cut_answer(host, host.key(connection))
    outcomes = iter([False, True, False])

    def fail_at_the_second(self: Reader, method: str) -> None:
        if next(outcomes):
            raise RuntimeError("broken")

    monkeypatch.setattr(Reader, "_break", fail_at_the_second)
    assert names(list(host.pipeline.close(host.now()))) == ["Response", "Response"]
    assert host.pipeline.lost == {"failed_classifier": 1}


# The monitor itself


def test_coverage_is_an_event_of_the_monitor() -> None:
    coverage = Coverage(libraries=(Library(path="/lib", kind="openssl", processes=2),))
    own = Process(pid=99, name="busted")
    event = Host().pipeline.coverage(coverage, own, 1_700_000_000 * SECOND)
    assert (event.action, event.process) == (coverage, own)
    assert event.time == "2023-11-14T22:13:20.000000000Z"
    assert event.connection is None


# What the kernel is told of connections that are AI


def test_a_connection_is_wanted_once_and_as_soon_as_it_is_known_to_be_ai() -> None:
    host = Host()
    host.open(host.key())
    assert host.wanted == []
    host.name(host.key(), "api.openai.com")
    assert host.wanted == [host.key()]
    host.write(host.key(), REQUEST)
    host.read(host.key(), RESPONSE)
    assert host.wanted == [host.key()]


def test_a_connection_without_a_name_is_wanted_from_the_head_of_its_request() -> None:
    host = Host()
    host.open(host.key())
    host.write(host.key(), REQUEST[:-1])
    assert host.wanted == [host.key()]


def test_a_connection_that_is_not_ai_is_never_wanted() -> None:
    host = Host()
    host.open(host.key())
    host.write(host.key(), b"\x00\x01" * 40_000)
    assert (host.muted, host.wanted) == ([host.key()], [])


def test_a_random_gives_no_event_and_is_kept_with_its_connection() -> None:
    host = Host()
    connections = Connections()
    host.pipeline = Pipeline(ORIGIN, {}, connections=connections)
    assert host.feed(TlsRandom(host.key(), 5, bytes(32))) == []
    (connection,) = connections
    assert connection.random == bytes(32)


def with_flow(order: str, network: Network = "ai") -> list[Event]:
    """The events of an exchange whose hello was on the wire; `order` says what the kernel tells.

    In a recording the answer (a) stands before the record whose event (e) made somebody ask.
    """
    host, key = Host(), ConnectionKey(7, 70, 1, 700)
    answer = msgspec.structs.replace(FLOW, operation=FlowOperation.LOOK, bytes_sent=99)
    known = {} if order == "ae" else {FLOW.cookie: answer}
    outside = Outside(network=network, flows=Asks(look=known.get))
    host.pipeline = Pipeline(ORIGIN, {}, outside)
    hello = hello_wire.records(hello_wire.message(hello_wire.server_name(b"gateway.example")))
    events = host.feed(ClientHello(key.process, 1, FLOW.cookie, 1, 0, len(hello), hello))
    events += host.open(key)
    events += host.feed(TlsRandom(key, host.now(), hello_wire.RANDOM))
    if order == "ae":
        events += host.feed(answer)
    return events + host.write(key, REQUEST)


def test_what_is_said_carries_the_socket_that_its_hello_was_seen_on() -> None:
    prompt, network = with_flow("e")
    assert isinstance(prompt.action, Prompt)
    assert prompt.connection is not None
    assert (prompt.connection.dst_ip, prompt.connection.dst_port) == ("203.0.113.1", 443)
    assert (prompt.connection.socket, prompt.connection.bytes_sent) == ("5", 99)
    # The library's name was not seen; the wire's stands for it.
    assert prompt.connection.sni == "gateway.example"
    assert isinstance(network.action, events.Network)
    assert network.connection is not None
    assert network.connection.socket == prompt.connection.socket


def test_a_server_on_this_host_does_not_get_the_name_that_its_client_asked_for() -> None:
    wanted: list[ConnectionKey] = []
    host, client = Host(), ConnectionKey(7, 70, 1, 700)
    host.pipeline = Pipeline(ORIGIN, {}, Outside(want=wanted.append))
    hello = hello_wire.records(hello_wire.message(hello_wire.server_name(b"api.openai.com")))
    host.feed(ClientHello(client.process, 1, FLOW.cookie, 1, 0, len(hello), hello))
    for key in (client._replace(pid=8), client):
        host.open(key)
        host.feed(TlsRandom(key, host.now(), hello_wire.RANDOM))
        host.write(key, b"PRI * HTTP/2.0\r\n")
    # What is wanted is held: a server's end would be taken for its client's.
    assert wanted == [client]


def test_what_is_said_carries_the_socket_that_its_library_reads_from() -> None:
    host, key = Host(), ConnectionKey(7, 70, 1, 700)
    late = msgspec.structs.replace(FLOW, operation=FlowOperation.LOOK, opened_ns=0)
    host.pipeline = Pipeline(ORIGIN, {}, Outside(network="ai", flows=Asks(look=lambda _: late)))
    told = host.open(key)
    told += host.feed(TlsRandom(key, host.now(), hello_wire.RANDOM))
    told += host.feed(TlsSocket(key, host.now(), FLOW.cookie))
    prompt, network = told + host.write(key, REQUEST)
    assert isinstance(prompt.action, Prompt)
    assert prompt.connection is not None
    assert (prompt.connection.dst_ip, prompt.connection.dst_port) == ("203.0.113.1", 443)
    assert isinstance(network.action, events.Network)
    assert network.action.joined_late


@pytest.mark.parametrize("is_read", [True, False])
def test_a_connection_to_a_model_that_was_not_read_is_told_a_second_after_its_end(
    is_read: bool,
) -> None:
    host, key = Host(), ConnectionKey(7, 70, 1, 700)
    stack = Stack(key.process, "no_hook", "java_jsse", "/libjvm.so")
    asks = Asks(look=lambda _: FLOW)
    host.pipeline = Pipeline(ORIGIN, {}, Outside(network="ai", flows=asks, stack=lambda _: stack))
    hello = hello_wire.records(hello_wire.message(hello_wire.server_name(b"api.openai.com")))
    host.feed(ClientHello(key.process, 1, FLOW.cookie, 1, 0, len(hello), hello))
    if is_read:
        host.open(key)
        host.feed(TlsRandom(key, host.now(), hello_wire.RANDOM))
        host.write(key, REQUEST)
        host.read(key, RESPONSE)
    sizes = {"bytes_sent": len(hello) + 200 + len(REQUEST), "bytes_received": 4000 + len(RESPONSE)}
    ended = msgspec.structs.replace(FLOW, operation=FlowOperation.CLOSE, **sizes)
    (closed,) = host.feed(ended)
    assert isinstance(closed.action, events.Network)
    assert list(host.pipeline.expire(FLOW.time_ns)) == []
    told = list(host.pipeline.expire(FLOW.time_ns + SECOND))
    (row,) = host.pipeline.ledger()
    if is_read:
        assert (told, row.coverage.state) == ([], "decoded")
        assert row.coverage.decoded_received == len(RESPONSE)
        return
    (event,) = told
    assert isinstance(event.action, Coverage)
    assert event.action.connection == row.coverage
    assert (row.coverage.state, row.coverage.stack) == ("opaque", "java_jsse")
    assert event.connection == closed.connection
    assert event.process == closed.process
    assert event.session_id == closed.session_id


@pytest.mark.parametrize(
    ("host_name", "provider"), [("api.openai.com", "openai"), ("www.example.com", None)]
)
def test_quic_to_a_model_is_told_and_that_nothing_of_it_was_read(
    host_name: str, provider: str | None
) -> None:
    host = Host()
    opened = msgspec.structs.replace(FLOW, transport=17, established_ns=0)
    moved = msgspec.structs.replace(
        opened, operation=FlowOperation.LOOK, bytes_sent=3000, bytes_received=5000
    )
    asks = Asks(look_quic=lambda flow: moved)
    host.pipeline = Pipeline(ORIGIN, {}, Outside(network="ai", flows=asks))
    name = hello_wire.server_name(host_name.encode())
    hello = hello_wire.message(name, hello_wire.protocols(b"h3"))
    (data,) = quic_wire.datagrams(hello)
    told = host.feed(QuicInitial(opened, len(data), data))
    told += host.feed(msgspec.structs.replace(moved, operation=FlowOperation.CLOSE))
    told += host.pipeline.expire(FLOW.time_ns + SECOND)
    if provider is None:
        assert told == []
        return
    connect, close, coverage = told
    assert isinstance(connect.action, events.Network)
    assert (connect.action.operation, connect.action.provider) == ("connect", provider)
    assert connect.connection is not None
    assert (connect.connection.transport, connect.connection.sni) == ("udp", host_name)
    assert isinstance(close.action, events.Network)
    assert (close.action.bytes_sent, close.action.bytes_received) == (3000, 5000)
    assert isinstance(coverage.action, Coverage)
    assert coverage.action.connection is not None
    assert (coverage.action.connection.reason, coverage.action.name) == ("quic", host_name)


def test_what_looks_like_quic_and_is_none_is_not_told() -> None:
    host = Host()
    host.pipeline = Pipeline(ORIGIN, {}, Outside(network="all"))
    opened = msgspec.structs.replace(FLOW, transport=17, established_ns=0)
    data = quic_wire.EXAMPLE_SERVER
    told = host.feed(QuicInitial(opened, len(data), data))
    told += host.feed(msgspec.structs.replace(opened, operation=FlowOperation.CLOSE))
    assert told == []


def test_both_ends_of_a_connection_on_this_host_have_addresses_of_their_own() -> None:
    host, client = Host(), ConnectionKey(7, 70, 1, 700)
    server = client._replace(pid=8)
    accepted = msgspec.structs.replace(
        FLOW, cookie=FLOW.cookie + 1, local_port=FLOW.remote_port, remote_port=FLOW.local_port
    )
    flows = {flow.cookie: flow for flow in (FLOW, accepted)}
    host.pipeline = Pipeline(ORIGIN, {}, Outside(network="ai", flows=Asks(look=flows.get)))
    for key, flow in ((client, FLOW), (server, accepted)):
        host.open(key)
        host.feed(TlsRandom(key, host.now(), hello_wire.RANDOM))
        host.feed(TlsSocket(key, host.now(), flow.cookie))
    (prompt, *_) = host.write(client, REQUEST)
    assert prompt.connection is not None
    assert prompt.connection.src_port == FLOW.local_port
    assert prompt.connection.dst_port == FLOW.remote_port


def test_a_replay_where_nobody_can_be_asked_gives_the_same_events() -> None:
    assert with_flow("ae") == with_flow("e") != []


def test_without_flows_what_is_said_is_told_all_the_same() -> None:
    (prompt,) = with_flow("", network="none")
    assert prompt.connection is not None
    assert prompt.connection.sni == "gateway.example"


# Processes


AGENT, CHILD = ProcessKey(20, 200), ProcessKey(30, 300)


def executed(
    key: ProcessKey, command: str, parent: ProcessKey = AGENT, marked: int = 0, time_ns: int = 9
) -> ProcessExec:
    argv = tuple(command.encode().split())
    comm = argv[0].rpartition(b"/")[2]
    return ProcessExec(
        key, time_ns, parent, 44, 4711, marked, 1000, 100, comm, argv[0], argv, False
    )


def test_what_an_agent_runs_is_told_with_who_and_for_whom() -> None:
    host = Host()
    assert host.feed(executed(AGENT, "/usr/bin/claude -p hi", marked=20)) == []
    host.feed(ProcessFork(CHILD, 8, AGENT, 20))
    (event,) = host.feed(executed(CHILD, "/bin/ls -l", marked=20))

    assert event.action == events.ProcessExec(
        exe="/bin/ls",
        argv=("/bin/ls", "-l"),
        agent="claude-code",
        agent_pid=20,
        parents=("claude",),
        truncated=False,
    )
    process = event.process
    assert (process.pid, process.ppid, process.uid, process.gid) == (30, 20, 1000, 100)
    assert (process.name, process.agent, process.cgroup_id) == ("ls", "claude-code", "44")
    assert process.start_time == CLOCK.start_time(300)
    assert event.time == CLOCK.time(9)


def test_the_kernel_is_told_who_is_an_agent_and_who_only_looks_like_one() -> None:
    host = Host()
    host.feed(executed(AGENT, "/usr/bin/claude", marked=20))
    host.feed(executed(CHILD, "/usr/bin/vim claude", ProcessKey(1, 1), marked=30))
    host.feed(ProcessFork(ProcessKey(31, 310), 8, CHILD, 30))
    # Told for its TLS connections, not marked.
    host.feed(executed(ProcessKey(40, 400), "/usr/bin/curl", ProcessKey(1, 1)))

    assert host.agents == [AGENT]
    assert host.no_agents == [(CHILD, 9), (ProcessKey(31, 310), 0)]


def test_requests_of_an_agent_make_their_process_one() -> None:
    host = Host()
    key = host.key(pid=7)
    host.open(key)
    request = REQUEST.replace(b"\r\nHost", b"\r\nUser-Agent: codex_cli_rs/0.1\r\nHost")
    (prompt,) = host.write(key, request)

    assert prompt.process.agent == "codex"
    assert host.agents == [key.process]
    (event,) = host.feed(executed(CHILD, "/bin/ls", key.process))
    assert isinstance(event.action, events.ProcessExec)
    assert event.action.agent == "codex"
    assert event.action.parents == ("python3",)
    (response,) = host.read(key, RESPONSE)
    assert response.process.agent == "codex"
    assert host.agents == [key.process]


def test_processes_that_were_not_asked_for_run_untold() -> None:
    host = Host(wanted=lambda record: record.key.pid == 31)
    host.feed(executed(AGENT, "/usr/bin/claude"))
    assert host.feed(executed(CHILD, "/bin/ls")) == []
    assert names(host.feed(executed(ProcessKey(31, 310), "/bin/ls"))) == ["ProcessExec"]


def test_the_end_of_a_process_is_passed_on() -> None:
    host = Host()
    host.exit(7)
    assert host.ended == [(ProcessKey(7, 70), CLOCK.start_time(70))]


def test_two_commands_of_one_moment_have_ids_of_their_own() -> None:
    host = Host()
    host.feed(executed(AGENT, "/usr/bin/claude"))
    first = host.feed(executed(CHILD, "/bin/ls"))
    second = host.feed(executed(CHILD, "/bin/ls"))
    assert first[0].id != second[0].id


# Files


def accessed(key: ProcessKey, path: str) -> FileAccess:
    return FileAccess(
        key, 9, FileKey(1, 2), FileOperation.OPEN, path.encode(), False, 0, 0, False,
        key.pid, 1, 1000, 100, 44, b"cat",
    )  # fmt: skip


def test_sensitive_files_are_told_with_the_agent_that_uses_them() -> None:
    host = Host()
    host.feed(executed(AGENT, "/usr/bin/claude"))
    host.feed(ProcessFork(CHILD, 8, AGENT, 20))
    (opened,) = host.feed(accessed(CHILD, "/srv/.env"))
    host.feed(FileData(CHILD, 10, FileKey(1, 2), Direction.READ, 0, 2, b"cat", b"A="))
    # What it read is told before it is forgotten that it was an agent's.
    (content,) = host.feed(ProcessExit(CHILD, 11))

    assert isinstance(opened.action, events.FileAccess)
    assert isinstance(content.action, events.FileData)
    assert opened.process.agent == content.process.agent == "claude-code"
    assert (content.action.content, content.time) == ("A=", CLOCK.time(11))
    assert host.started == [(CHILD, CLOCK.start_time(300))]


def test_files_of_processes_that_were_not_asked_for_are_not_told() -> None:
    host = Host(wanted=lambda record: record.key.pid == 31)
    assert host.feed(accessed(CHILD, "/srv/.env")) == []
    assert host.started == []
    assert names(host.feed(accessed(ProcessKey(31, 310), "/srv/.env"))) == ["FileAccess"]


def test_content_that_was_read_is_told_when_the_monitor_stops() -> None:
    host = Host()
    host.feed(executed(AGENT, "/usr/bin/claude"))
    host.feed(accessed(AGENT, "/srv/.env"))
    host.feed(FileData(AGENT, 10, FileKey(1, 2), Direction.READ, 0, 2, b"cat", b"A="))
    assert names(list(host.pipeline.close(12))) == ["FileData"]


def test_what_files_hold_is_searched_and_followed_by_what_it_reveals() -> None:
    host = Host()
    host.feed(executed(AGENT, "/usr/bin/claude"))
    host.feed(accessed(AGENT, "/srv/.env"))
    content = b"KEY=sk-" + b"a1B2c3" * 8
    host.feed(FileData(AGENT, 10, FileKey(1, 2), Direction.READ, 0, len(content), b"cat", content))

    data, detected = host.pipeline.close(12)

    assert isinstance(data.action, events.FileData)
    assert [finding.kind for finding in data.action.pii] == ["openai_key"]
    assert isinstance(detected.action, events.PiiDetected)
    assert (detected.action.where, detected.action.direction) == ("FileData", "read")


def test_what_is_learned_holds_for_what_begins_then() -> None:
    host = Host()
    # With a scanner of its own: what it learns all know who have that one.
    host.pipeline = Pipeline(ORIGIN, {}, options=with_rows([], [], Scanner()))
    before = host.key(1)
    opened = host.open(before) + host.name(before, "api.openai.com")
    provider = Provider(id="mine", name="Mine", hosts=("api.openai.com",))
    options = with_rows(
        [provider], [], Scanner(canaries=[Canary(name="x", value="Name a colour.")])
    )

    host.pipeline.learn(
        options,
        Agents([Agent("my-agent", executables=("mine",))]),
        SensitiveFiles([Sensitive("vault", ("vault.txt",))]),
    )

    (asked,) = (opened + host.write(before, REQUEST))[:1]
    assert isinstance(asked.action, Prompt)
    assert asked.action.provider == "openai"
    prompt, canary, *_ = host.exchange(host.key(2))
    assert isinstance(prompt.action, Prompt)
    assert prompt.action.provider == "mine"
    assert isinstance(canary.action, events.CanaryDetected)
    host.feed(executed(AGENT, "/usr/bin/mine"))
    (opened_file,) = host.feed(accessed(AGENT, "/srv/vault.txt"))
    assert isinstance(opened_file.action, events.FileAccess)
    assert opened_file.action.category == "vault"
    assert opened_file.process.agent == "my-agent"


def behaving() -> Host:
    """A host with a small model, whose kernel side knows one flow."""
    host = Host()
    flow = msgspec.structs.replace(FLOW, operation=FlowOperation.LOOK)
    outside = Outside(network="ai", flows=Asks(look={FLOW.cookie: flow}.get))
    host.pipeline = Pipeline(ORIGIN, {}, outside, behaviour=Behaviour(forest()))
    return host


def test_what_behaves_like_an_llm_and_cannot_be_read_is_an_event_of_its_own() -> None:
    host = behaving()

    told = host.feed(traffic(streamed(), FLOW.cookie))

    assert [e.action.operation for e in told if isinstance(e.action, events.Network)] == [
        "connect",
        "novel",
    ]
    assert told[-1].behavior is not None
    assert (told[-1].behavior.kind, told[-1].behavior.provider) == ("llm_api", None)
    (row,) = host.pipeline.ledger()
    assert (row.coverage.state, row.behavior) == ("opaque", told[-1].behavior)
    assert host.feed(traffic(streamed(), FLOW.cookie, window=1)) == []


def test_other_traffic_is_no_event() -> None:
    assert behaving().feed(traffic(downloaded(), FLOW.cookie)) == []


def test_what_is_said_carries_what_its_connection_behaves_like() -> None:
    host, key = behaving(), ConnectionKey(7, 70, 1, 700)
    host.open(key)
    host.feed(TlsSocket(key, host.now(), FLOW.cookie))
    host.name(key, "api.openai.com")
    prompt, *_ = host.write(key, REQUEST)
    assert prompt.behavior is None
    host.read(key, RESPONSE)
    host.feed(traffic(downloaded(), FLOW.cookie))

    prompt, *_ = host.write(key, REQUEST)

    assert prompt.behavior is not None
    assert prompt.behavior.kind == "generic"


def taught(written: list[bytes], read: list[bytes]) -> bool | None:
    """What behaviour learns of a connection on which this was said."""
    behaviour, host, key = Behaviour(forest()), Host(), ConnectionKey(7, 70, 1, 700)
    host.pipeline = Pipeline(ORIGIN, {}, behaviour=behaviour)
    host.open(key)
    host.feed(TlsSocket(key, host.now(), FLOW.cookie))
    for data in written:
        host.write(key, data)
    for data in read:
        host.read(key, data)
    return behaviour.labelled(FLOW.cookie)


def test_connections_that_were_read_teach_what_they_are() -> None:
    asked = ASK.replace(b'"gpt-4o",', b'"gpt-4o","stream":true,')
    request = REQUEST[: -len(ASK)].replace(b": %d" % len(ASK), b": %d" % len(asked)) + asked
    event = b'data: {"id":"1","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"B"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    body = event + b"data: [DONE]\n\n"
    stream = head + b"Content-Length: %d\r\n\r\n" % len(body) + body

    assert taught([request], [stream]) is True
    assert taught([b"\0\1\2\3" * 4096] * 20, []) is False
    # An answer in one piece looks like any other: it teaches nothing.
    assert taught([REQUEST], [RESPONSE]) is None


def test_prompts_and_responses_tell_what_their_identity_spent() -> None:
    host = Host()
    told = [e for n in (1, 2) for e in host.exchange(host.key(n)) if e.budget is not None]
    assert [type(e.action) for e in told] == [Prompt, Response] * 2
    assert [e.budget and e.budget.requests_hour for e in told] == [1, 1, 2, 2]


def test_a_part_that_fails_leaves_the_events_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a fault of ours")

    host = Host()
    monkeypatch.setattr(host.pipeline.budgets, "count", fail)
    monkeypatch.setattr(Loops, "follow", fail)
    told = host.exchange(host.key(1))
    assert [type(e.action) for e in told[:2]] == [Prompt, Response]
    assert host.pipeline.failures == {"budgets": len(told), "loops": len(told)}


def test_a_loop_is_told_right_behind_the_call_and_belongs_to_its_exchange() -> None:
    host = Host()
    host.pipeline = Pipeline(ORIGIN, {}, loops=LoopTerms(calls=2))
    call = (
        b'{"id":"1","model":"gpt-4o","choices":[{"index":0,"finish_reason":"tool_calls","message":'
        b'{"role":"assistant","tool_calls":[{"id":"c","type":"function",'
        b'"function":{"name":"search","arguments":"{\\"q\\":1}"}}]}}]}'
    )
    key = host.key(1)
    told = host.open(key)
    for _ in range(2):
        told += host.write(key, REQUEST)
        told += host.read(
            key,
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(call)
            + call,
        )
    kinds = [type(e.action).__name__ for e in told]
    place = kinds.index("LoopDetected")
    assert kinds.count("LoopDetected") == 1
    before, loop = told[place - 1], told[place]
    assert isinstance(before.action, events.ToolCall)
    assert isinstance(loop.action, events.LoopDetected)
    assert (loop.action.tool, loop.action.count) == ("search", 2)
    assert (loop.exchange_id, loop.identity) == (before.exchange_id, before.identity)
    assert len({e.id for e in told}) == len(told)


OPENAI_ADDRESS = "192.0.2.1"


def resolved(cookie: int = 1) -> list[DnsMessage]:
    """Somebody asks where OpenAI is, and is told."""
    asked = [question("api.openai.com")]
    return [
        DnsMessage(CHILD, 9, cookie, 5, direction, False, 0, len(data), data)
        for direction, data in (
            (Direction.WRITE, message(asked)),
            (Direction.READ, message(asked, [address(OPENAI_ADDRESS)])),
        )
    ]


def foreseeing(foresees: bool = True, network: Network = "ai") -> Pipeline:
    agents = Agents([Agent("my-agent", executables=("mine",))])
    return Pipeline(ORIGIN, {}, Outside(foresees=foresees, network=network), agents=agents)


@pytest.mark.parametrize("agent_first", [True, False])
def test_where_an_agent_may_connect_is_told_before_it_does_and_with_whose_it_would_be(
    agent_first: bool,
) -> None:
    pipeline = foreseeing()
    began: list[Record] = [executed(AGENT, "/usr/bin/mine")]
    records = [*began, *resolved()] if agent_first else [*resolved(), *began]
    assert [e for record in records for e in pipeline.feed(record)] == []

    ((event, netns),) = pipeline.take_foreseen()
    assert netns == 5
    assert isinstance(event.action, events.Network)
    assert (event.action.provider, event.action.name) == ("openai", "api.openai.com")
    assert event.connection is not None
    assert event.connection.dst_ip == OPENAI_ADDRESS
    assert (event.process.agent, event.process.uid) == ("my-agent", 1000)
    assert event.identity is not None
    assert event.identity.agent == "my-agent"
    # It did not happen.
    assert pipeline.identities.timeline(event.identity.id) == ()
    assert pipeline.take_foreseen() == []
    pipeline.foresee(9)
    ((again, _),) = pipeline.take_foreseen()
    assert again.action == event.action
    list(pipeline.feed(ProcessExit(AGENT, 10)))
    pipeline.foresee(11)
    assert pipeline.take_foreseen() == []


def test_nothing_is_foreseen_that_nobody_asks_for() -> None:
    for pipeline in (foreseeing(foresees=False), foreseeing(network="none")):
        records: list[Record] = [executed(AGENT, "/usr/bin/mine"), *resolved()]
        assert [e for record in records for e in pipeline.feed(record)] == []
        assert pipeline.take_foreseen() == []
