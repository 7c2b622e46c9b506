"""What is held, allowed and denied, with a kernel side that writes down what it was told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from busted import events
from busted.agent.hold import Holds, Terms
from busted.events import Event, PolicyDecision
from busted.kernel.destroy import DONE, Outcome, TcpConnection
from busted.kernel.hold import Held
from busted.records import (
    ConnectionKey,
    Direction,
    ProcessExit,
    Record,
    TlsClose,
    TlsData,
    TlsHold,
)

KEY = ConnectionKey(pid=77, start_ns=5, connection=0xBEEF, since_ns=6)
COOKIE = 4711
HOLD = TlsHold(KEY, 1, COOKIE, bytes(16), 40000, bytes(15) + b"\x01", 443)
SECOND = 1_000_000_000
CLOSED, OPEN = Terms(seconds=2.0, bytes=1000), Terms(seconds=2.0, bytes=1000, fails_open=True)
DENIED = PolicyDecision(decision="deny", reasons=("no",))


def data(
    text: bytes,
    position: int = 0,
    *,
    direction: Direction = Direction.WRITE,
    call_bytes: int | None = None,
) -> TlsData:
    size = len(text) if call_bytes is None else call_bytes
    return TlsData(KEY, 10, direction, position, size, 0, 77, text)


def event(text: str) -> Event:
    prompt = events.Prompt(
        api="openai.chat", stream=False, bytes=1, truncated=False, user_message=text
    )
    process = events.Process(pid=77, name="agent")
    return Event(schema=1, id=text, time="", host="h", process=process, action=prompt)


class Host:
    """The kernel side and the sockets; a prompt of "deny" is denied."""

    def __init__(self, terms: Terms = CLOSED, outcome: Outcome = DONE) -> None:
        self.allowed: list[int | None] = []
        self.denied = self.ended = self.flushed = 0
        self.forgotten: list[int] = []
        self.room: list[int] = []
        self.held = Held(0, 0)
        self.outcome = outcome
        self.holds = Holds(self, self, self.decide, self.end, self.make_room, terms)
        self.follow(HOLD)

    def follow(
        self,
        record: Record,
        *made: Event,
        is_between: bool = True,
        now_ns: int = 20,
        ahead: tuple[Event, ...] = (),
    ) -> list[Event]:
        return list(self.holds.follow(record, made, is_between, now_ns, ahead))

    def decide(self, made: Iterable[Event]) -> Iterator[Event]:
        for one in made:
            is_denied = getattr(one.action, "user_message", None) == "deny"
            yield replace(one, policy=DENIED if is_denied else PolicyDecision(decision="allow"))

    def allow(self, cookie: int, position: int | None = None) -> None:
        assert cookie == COOKIE
        self.allowed.append(position)

    def deny(self, cookie: int) -> None:
        assert cookie == COOKIE
        self.denied += 1

    def look(self, cookie: int) -> Held:
        return self.held

    def forget(self, cookie: int) -> None:
        self.forgotten.append(cookie)

    def flush(self, pid: int, cookie: int) -> bool:
        assert (pid, cookie) == (77, COOKIE)
        self.flushed += 1
        return True

    def end(self, connection: TcpConnection, pid: int) -> Outcome:
        assert connection == TcpConnection(HOLD.local, 40000, HOLD.remote, 443, COOKIE)
        self.ended += 1
        return self.outcome

    def make_room(self, pid: int, cookie: int, size: int) -> bool:
        self.room.append(size)
        return True


def enforced(made: list[Event]) -> list[str | None]:
    return [one.policy.enforced if one.policy else None for one in made]


def test_a_whole_request_that_is_allowed_may_pass_up_to_its_end_and_no_further() -> None:
    host = Host()
    (told,) = host.follow(data(b"x" * 100), event("hello"))
    assert told.policy == PolicyDecision(decision="allow")
    assert (host.allowed, host.denied, host.flushed) == ([100], 0, 0)
    host.follow(data(b"x" * 50, 100), event("again"))
    assert host.allowed == [100, 150]
    assert not host.holds.is_waiting


def test_of_what_is_said_ahead_of_a_request_only_what_is_denied_is_told() -> None:
    host = Host()
    assert host.follow(data(b"x" * 100), ahead=(event("hello"),)) == []
    assert (host.allowed, host.denied) == ([100], 0)
    (told,) = host.follow(data(b"x", 100), ahead=(event("hello"), event("deny")))
    assert told.id == "deny"
    assert enforced([told]) == ["prevented"]
    assert (host.allowed, host.denied, host.ended) == ([100], 1, 1)


def test_a_request_in_pieces_waits_for_its_end() -> None:
    host = Host()
    host.follow(data(b"head"), is_between=False)
    assert host.holds.is_waiting
    assert host.allowed == []
    host.follow(data(b"body", 4), event("hello"))
    assert host.allowed == [8]


def test_what_was_kept_is_sent_at_once_where_something_was_dropped() -> None:
    host = Host()
    host.held = Held(dropped=3, passed=0)
    host.follow(data(b"request"), event("hello"))
    host.follow(data(b"request", 7), event("hello"))
    assert host.flushed == 1  # nothing more was dropped since


def test_a_denied_request_is_prevented_and_its_connection_ended_once() -> None:
    host = Host()
    told = host.follow(data(b"request"), event("hello"), event("deny"), event("deny"))
    assert enforced(told) == [None, "prevented", "prevented"]
    assert told[1].policy is not None
    assert told[1].policy.reasons == ("no",)
    assert (host.denied, host.ended, host.allowed) == (1, 1, [])
    host.follow(data(b"request", 7), event("hello"))
    host.follow(TlsClose(KEY, 30))
    assert host.allowed == []
    assert host.forgotten == [COOKIE]


def test_a_denied_connection_that_cannot_be_ended_stays_denied() -> None:
    host = Host(outcome=Outcome("not_possible", "too old a kernel"))
    host.follow(data(b"request"), event("deny"))
    host.follow(TlsClose(KEY, 30))
    assert host.forgotten == []
    assert host.holds.lost == {"hold_not_ended": 1}


def test_what_the_kernel_let_pass_undecided_is_told_as_interrupted() -> None:
    host = Host(OPEN)
    host.follow(data(b"head"), is_between=False)
    host.held = Held(dropped=1, passed=1)
    assert enforced(host.follow(data(b"body", 4), event("deny"))) == ["interrupted"]


def test_what_passed_with_an_earlier_request_does_not_count_for_a_later_one() -> None:
    host = Host(OPEN)
    host.held = Held(dropped=1, passed=1)
    host.follow(data(b"request"), event("hello"))
    assert enforced(host.follow(data(b"request", 7), event("deny"))) == ["prevented"]


def test_a_request_that_takes_too_long_is_denied_and_its_events_say_why() -> None:
    host = Host()
    host.follow(data(b"head"), is_between=False)
    host.holds.expire(10 + 2 * SECOND)
    assert host.denied == 0
    host.holds.expire(11 + 2 * SECOND)
    assert (host.denied, host.ended) == (1, 1)
    assert host.holds.lost == {"hold_timed_out": 1}
    (told,) = host.follow(TlsClose(KEY, 30), event("hello"))
    assert told.policy is not None
    assert (told.policy.decision, told.policy.enforced) == ("deny", "prevented")
    assert "time" in (told.policy.hindrance or "")


def test_it_is_sent_where_the_operator_chose_that_and_a_late_denial_interrupts() -> None:
    host = Host(OPEN)
    host.follow(data(b"head"), is_between=False)
    host.holds.expire(11 + 2 * SECOND)
    assert (host.allowed, host.denied) == ([4], 0)
    assert enforced(host.follow(data(b"body", 4), event("deny"))) == ["interrupted"]


def test_a_request_that_is_too_long_is_given_up() -> None:
    host = Host()
    host.follow(data(b"x" * 1000), is_between=False)
    assert host.denied == 0
    host.follow(data(b"x", 1000), is_between=False)
    assert host.denied == 1
    assert host.holds.lost == {"hold_over_limit": 1}


def test_a_request_of_which_a_part_was_lost_is_given_up_though_it_seems_whole() -> None:
    host = Host()
    host.follow(data(b"head"), is_between=False)
    host.follow(data(b"tail", 400), event("hello"))
    assert (host.denied, host.allowed) == (1, [])
    assert host.holds.lost == {"hold_unseen": 1}


def test_what_was_written_before_a_connection_was_held_is_no_gap() -> None:
    host = Host()
    host.follow(data(b"request", 5000), event("hello"))
    assert (host.denied, host.allowed) == (0, [5007])


def test_a_request_written_with_several_calls_gets_room_once_and_one_of_a_call_none() -> None:
    terms = Terms(bytes=1 << 20)
    host = Host(terms)
    host.follow(data(b"x" * 16384, call_bytes=65536), is_between=False)
    assert host.room == []  # the rest of the call is seen, whatever the socket takes
    host.follow(data(b"x" * 16384, 16384), is_between=False)
    host.follow(data(b"x" * 16384, 32768), is_between=False)
    assert host.room == [2 << 20]


def test_a_connection_that_is_muted_passes_for_good() -> None:
    host = Host()
    host.follow(data(b"head"), is_between=False)
    host.holds.muted(KEY)
    assert host.allowed == [None]
    assert not host.holds.is_waiting


def test_a_process_that_ends_leaves_nothing_held() -> None:
    host = Host()
    host.follow(data(b"head"), is_between=False)
    host.follow(ProcessExit(KEY.process, 30))
    assert host.allowed == [4]
    assert COOKIE in host.forgotten
    assert not host.holds.is_waiting


def test_what_still_waits_at_the_end_is_ended_or_sent() -> None:
    for terms, allowed, denied in ((CLOSED, [], 1), (OPEN, [4], 0)):
        host = Host(terms)
        host.follow(data(b"head"), is_between=False)
        host.holds.close()
        assert (host.allowed, host.denied) == (allowed, denied)


def test_what_is_read_and_what_is_not_held_is_left_for_the_queue() -> None:
    host = Host()
    read = event("deny")
    assert host.follow(data(b"answer", direction=Direction.READ), read) == [read]
    other = data(b"request")
    other = replace(other, key=KEY._replace(connection=1))
    assert host.follow(other, read) == [read]
    assert host.denied == 0


def test_what_was_held_is_counted() -> None:
    host = Host()
    assert host.holds.told is None
    host.follow(data(b"request"), event("hello"), now_ns=2_000_010)
    host.follow(data(b"request", 7), event("deny"))
    assert host.holds.told == events.Held(allowed=1, denied=1, median_milliseconds=2.0)
