"""The loop reads what the running kernel tells, and is woken for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from busted.agent.record_loop import RecordLoop
from busted.kernel.shared import Buffer, RingReader
from busted.records import TlsData, decode
from tests.kernel.harness import DEADLINE_SECONDS, watched
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "gcc")

SCRIPT = "then(1)\nfor i in range(5): step(); write(1, b'%d' % i)\nstep()"


class Read:
    """What the loop gave, and waiting for it."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.came = asyncio.Event()

    def take(self, batch: list[bytes]) -> int:
        """Keep the data of a batch."""
        self.data += [r.data for r in map(decode, batch) if isinstance(r, TlsData)]
        self.came.set()
        return sum(map(len, batch))

    async def until(self, data: bytes) -> None:
        """Wait for it, with a deadline."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while data not in self.data:
                self.came.clear()
                await self.came.wait()


@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_a_record_that_a_tick_took_leaves_the_next_one_to_wake_the_loop(
    buffer: Buffer, tmp_path: Path
) -> None:
    require(f"{buffer} buffer")

    async def follow(ring: RingReader, written: Callable[[], None]) -> list[bytes]:
        read = Read()
        # Without an interval it sleeps whenever it has read.
        loop = RecordLoop(ring, read.take, interval=0)
        loop.start()
        for data in expected:
            written()
            if data in (b"1", b"3"):
                # Before the loop had a chance to see that it was woken.
                loop.tick()
            # A turn of the loop, in which it finds that what woke it is gone.
            await asyncio.sleep(0)
            await read.until(data)
        loop.stop()
        return read.data

    expected = [b"0", b"1", b"2", b"3", b"4"]
    with watched("perf", tmp_path, buffer=buffer) as kernel, kernel.started(SCRIPT) as step:

        def written() -> None:
            step()
            step.reached()

        step.reached()
        assert asyncio.run(follow(kernel.programs.shared.ring, written)) == expected
        step()
