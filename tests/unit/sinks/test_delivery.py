import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from busted.sinks.channel import Item, Refused, Sent, Unavailable
from busted.sinks.delivery import Delivery, DeliveryThread, Limits, backoff
from busted.sinks.spool import Spool
from tests.unit.sinks.peers import (
    QUICK,
    Scripted,
    balance,
    fill,
    put,
    running,
    spool_file,
    until,
)

AWAY = Unavailable("away")


def ids(*numbers: int) -> list[str]:
    return [f"event-{n}" for n in numbers]


def replaced(**limits: float) -> Limits:
    return msgspec.structs.replace(QUICK, **limits)


class Stuck(Scripted):
    """Takes nothing and does not answer."""

    async def send(self, batch: Sequence[Item]) -> Sent:
        self.batches.append([item.id for item in batch])
        await asyncio.Event().wait()
        raise AssertionError


def delivered(delivery: Delivery) -> int:
    return delivery.figures().delivered


def deliver(answers: list[Sent | Exception], count: int = 4) -> tuple[Delivery, Scripted]:
    """Deliver so many events to a peer that answers so at first."""
    channel = Scripted(answers)
    delivery = Delivery("test", channel, QUICK)

    async def run() -> None:
        put(delivery, range(count))
        async with running(delivery):
            await until(lambda: not delivery.figures().waiting)

    asyncio.run(run())
    assert channel.closed
    assert balance(delivery) == (count, count)
    return delivery, channel


def test_events_are_delivered_in_order_and_in_batches() -> None:
    delivery, channel = deliver([], 1200)

    assert channel.taken == ids(*range(1200))
    assert max(map(len, channel.batches)) == 500
    assert delivered(delivery) == 1200


def test_an_outage_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    delivery, channel = deliver([AWAY, AWAY, AWAY])

    assert (channel.taken, delivered(delivery)) == (ids(0, 1, 2, 3), 4)
    assert [r.message for r in caplog.records] == [
        "output test: away; trying again",
        "output test: goes on",
    ]


def test_a_library_that_fails_costs_nothing() -> None:
    delivery, channel = deliver([KeyError("garbage")])

    assert (channel.taken, delivered(delivery)) == (ids(0, 1, 2, 3), 4)


def test_what_was_not_taken_is_offered_again_and_nothing_else() -> None:
    delivery, channel = deliver([Sent(again=frozenset({1, 3}), why="busy")])

    assert channel.batches == [ids(0, 1, 2, 3), ids(1, 3)]
    assert delivered(delivery) == 4


def test_refused_events_are_counted_told_and_not_offered_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    delivery, channel = deliver([Refused("HTTP 403")])

    assert channel.batches == [ids(0, 1, 2, 3)]
    assert delivery.figures().lost == {"refused": 4}
    assert "refused 4: HTTP 403" in caplog.text


def test_one_bad_event_costs_no_other() -> None:
    bad = Refused("HTTP 400", one_of_them=True)
    # 0123 bad, 01 taken, 23 bad, 2 bad, 3 taken
    delivery, channel = deliver([bad, Sent(), bad, bad])

    assert channel.taken == ids(0, 1, 3)
    assert delivery.figures().lost == {"refused": 1}


def test_a_full_queue_drops_and_counts_and_a_slow_peer_delays_nobody() -> None:
    channel, other = Stuck(), Scripted()
    slow = Delivery("slow", channel, replaced(queue_events=100, batch_events=10))
    quick = Delivery("quick", other, QUICK)
    thread = DeliveryThread([slow, quick])
    for start in range(0, 1000, 100):
        put(slow, range(start, start + 100))
        put(quick, range(start, start + 100))
    thread.close(0.2)

    # What the peer had when it was given up is unknown, so it is lost.
    assert slow.figures().lost == {"queue_full": 900, "stopped": 100}
    assert (balance(slow), balance(quick)) == ((1000, 1000), (1000, 1000))
    assert other.taken == ids(*range(1000))


def test_put_after_the_end_is_lost_and_counted() -> None:
    delivery, _ = deliver([])
    put(delivery, [9])

    assert delivery.figures().lost == {"stopped": 1}


def test_what_a_peer_did_not_take_before_the_end_is_taken_after_a_restart(tmp_path: Path) -> None:
    def make(channel: Scripted) -> Delivery:
        return Delivery("test", channel, QUICK, Spool(spool_file(tmp_path), 1 << 20))

    first = make(Stuck())
    thread = DeliveryThread([first])
    put(first, range(1000))
    thread.close(0.2)
    assert (first.figures().waiting, first.figures().lost) == (1000, {})

    channel = Scripted([AWAY])
    second = make(channel)

    async def run() -> None:
        async with running(second):
            put(second, range(1000, 1100))
            await until(lambda: delivered(second) == 1100)

    asyncio.run(run())
    assert channel.taken == ids(*range(1100))
    assert (second.figures().found, balance(second)) == (1000, (1100, 1100))


def test_a_full_spool_drops_the_oldest_and_counts(tmp_path: Path) -> None:
    delivery = Delivery("test", Stuck(), QUICK, Spool(spool_file(tmp_path), 10_000))

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(delivery.run())
            put(delivery, range(100), size=1000)
            await until(lambda: delivery.figures().lost)
            task.cancel()

    asyncio.run(run())
    assert delivery.figures().lost == {"spool_full": 91}
    assert balance(delivery) == (100, 100)


def test_a_full_disk_costs_nothing_that_fits_into_memory(
    make_disk: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    disk = make_disk("2m")
    channel = Scripted([AWAY])
    delivery = Delivery("test", channel, QUICK, Spool(disk / "test.db", 64 << 20))
    ballast = fill(disk)

    async def run() -> None:
        async with running(delivery):
            put(delivery, range(400), size=10_000)
            await until(lambda: delivered(delivery) == 400)
            assert "spool: database or disk is full; events wait in memory" in caplog.text
            ballast.unlink()
            put(delivery, range(400, 500))
            await until(lambda: delivered(delivery) == 500)

    asyncio.run(run())
    assert sorted(set(channel.taken)) == sorted(ids(*range(500)))
    assert (balance(delivery), delivery.figures().lost) == ((500, 500), {})


def test_events_too_old_for_the_spool_are_dropped_and_counted(tmp_path: Path) -> None:
    spool = Spool(spool_file(tmp_path), 1 << 20)
    clock = [1.7e9]
    limits = replaced(spool_age_seconds=60)
    delivery = Delivery("test", Scripted([AWAY] * 1000), limits, spool, now=lambda: clock[0])

    async def run() -> None:
        async with running(delivery):
            put(delivery, range(3))
            await until(lambda: len(spool) == 3)
            clock[0] += 61
            put(delivery, range(3, 5))
            await until(lambda: delivery.figures().lost)

    asyncio.run(run())
    assert (delivery.figures().lost, balance(delivery)) == ({"spool_age": 3}, (5, 5))


def test_a_peer_says_how_long_to_wait_within_bounds() -> None:
    channel = Scripted([Unavailable("later", after=1e9)])
    delivery = Delivery("test", channel, replaced(most_asked_seconds=0.01))

    async def run() -> None:
        async with running(delivery):
            put(delivery, range(2))
            await until(lambda: delivered(delivery) == 2)

    asyncio.run(run())


def test_pauses_double_up_to_the_longest_and_are_scattered() -> None:
    limits = Limits(retry_seconds=1, most_retry_seconds=60)

    assert [backoff(n, limits, 1.0) for n in (0, 1, 2, 5, 6, 10**9)] == [1, 2, 4, 32, 60, 60]
    assert [backoff(n, limits, 0.0) for n in (0, 1, 2, 6)] == [0.5, 1, 2, 30]
