"""produced + found = delivered + lost + waiting, whatever the peer does."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from busted.sinks.channel import Refused, Sent, Unavailable
from busted.sinks.delivery import Delivery, Limits
from busted.sinks.spool import Spool
from tests.unit.sinks.peers import Scripted, balance, put, running, until

LIMITS = Limits(
    queue_events=40,
    batch_events=7,
    batch_seconds=0.001,
    retry_seconds=0.0001,
    most_retry_seconds=0.0001,
    spool_write_seconds=0.0005,
)
ANSWERS = st.one_of(
    st.just(Sent()),
    st.builds(Sent, refused=st.integers(0, 9)),
    st.builds(Sent, again=st.frozensets(st.integers(0, 8)), why=st.just("busy")),
    st.builds(Unavailable, st.just("away")),
    st.builds(Refused, st.just("no"), one_of_them=st.booleans()),
    st.builds(KeyError, st.just("bug")),
)


@settings(max_examples=60)
@given(
    answers=st.lists(ANSWERS, max_size=20),
    bursts=st.lists(st.integers(0, 60), max_size=4),
    spool_bytes=st.one_of(st.none(), st.integers(0, 4000)),
)
def test_every_event_is_delivered_lost_or_waiting(
    answers: list[Sent | Exception], bursts: list[int], spool_bytes: int | None
) -> None:
    channel = Scripted(answers)
    with tempfile.TemporaryDirectory() as directory:
        spool = None if spool_bytes is None else Spool(Path(directory) / "spool.db", spool_bytes)
        delivery = Delivery("test", channel, LIMITS, spool)

        async def run() -> None:
            async with running(delivery):
                for burst in bursts:
                    put(delivery, range(burst))
                    await asyncio.sleep(0)
                await until(lambda: not delivery.figures().waiting)

        asyncio.run(run())
    came, became = balance(delivery)
    assert came == became == sum(bursts)
    # What was delivered arrived, and what arrived twice was offered twice for a reason.
    assert delivery.figures().delivered <= len(channel.taken)
