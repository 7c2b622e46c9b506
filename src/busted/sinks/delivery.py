"""What all outputs but standard output share: queue, spool, batches, retries, and the counting.

Strategy: the monitor puts events into a bounded queue in memory and never waits. One thread with
an event loop of its own serves all outputs; for each it moves what came into the spool, if the
output has one, and offers batches to the channel, the oldest first, one at a time. What is taken
is removed; what is not stays at the head and is offered again, with exponential back-off and equal
jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). So an event is
delivered at least once; its id tells a second time.

A batch that is refused because of one event is offered in halves until that event is alone, so that
it costs no other.

produced + found in the spool at the start = delivered + lost + waiting, always. An event that a
full spool dropped while it was on its way counts as lost, though it may have arrived.

Left out: order between batches after a part of one is offered again; more than one batch at a
time, which no peer was seen to need.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from busted.sinks.channel import Channel, Item, Refused, Unavailable
from busted.sinks.memory_queue import MemoryQueue, Numbered
from busted.sinks.spool import Spool, SpoolError

log = logging.getLogger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one delivery; all times in seconds."""

    # A few hundred events a second on a busy host: half a minute of a peer that hangs.
    queue_events: int = 8192
    # Prompts can be megabytes at full content; the queue must not become the monitor's memory.
    queue_bytes: int = 32 << 20
    # What collectors usually take at once; an event alone may be larger.
    batch_events: int = 500
    batch_bytes: int = 1 << 20
    # How long an event waits for others.
    batch_seconds: float = 1.0
    # First and longest pause before another try.
    retry_seconds: float = 1.0
    most_retry_seconds: float = 60.0
    # What came in that time is one write to the spool, and may be lost by kill -9.
    spool_write_seconds: float = 0.05
    # What is older than a week is not worth an alarm any more.
    spool_age_seconds: float = 7 * 86400.0
    # A peer cannot have us wait longer than that.
    most_asked_seconds: float = 300.0


DEFAULT_LIMITS = Limits()
# docs/outputs.md says what each means.
REASONS = ("queue_full", "spool_full", "spool_age", "refused", "stopped")


class Figures(msgspec.Struct, frozen=True):
    """What an output did so far, in events; `lost` by reason.

    `lag` is how long the oldest that waits has waited, in seconds; `spooled` of those that wait are
    on disk.
    """

    found: int
    produced: int
    delivered: int
    waiting: int
    lost: dict[str, int]
    spooled: int = 0
    lag: float = 0.0


class Delivery:
    """Takes events to one channel; `put` may be called by any thread."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        limits: Limits = DEFAULT_LIMITS,
        spool: Spool | None = None,
        *,
        chance: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`chance` gives numbers from 0 to 1, `now` Unix seconds."""
        self.name = name
        self._channel, self._limits, self._spool = channel, limits, spool
        self._chance, self._now = chance, now
        self._memory = MemoryQueue(limits.queue_events, limits.queue_bytes)
        self._found = len(spool) if spool is not None else 0
        self._produced = self._delivered = 0
        # All keys from the start: other threads read it.
        self._lost = dict.fromkeys(REASONS, 0)
        self._spool_full = self._in_flight = self._ended = False
        self._failures = 0
        # When the oldest that is offered was queued.
        self._head_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._came, self._ready, self._stopping = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def put(self, id: str, event: bytes) -> None:
        """Queue the JSON of an event; never waits."""
        self._produced += 1
        count = self._memory.put(Item(id, self._now(), event))
        # Not at every event: waking a loop costs more than queueing.
        if (count == 1 or count % self._limits.batch_events == 0) and self._loop:
            with contextlib.suppress(RuntimeError):  # closed by now
                self._loop.call_soon_threadsafe(self._came.set)

    def figures(self) -> Figures:
        """Return the counts so far; exact once `run` has ended."""
        lost = {**self._lost, "queue_full": self._memory.dropped}
        spooled, in_memory = len(self._spool) if self._spool is not None else 0, len(self._memory)
        if self._ended:  # nobody takes it out any more
            lost["stopped"], in_memory = in_memory, 0
        return Figures(
            found=self._found,
            produced=self._produced,
            delivered=self._delivered,
            waiting=spooled + in_memory,
            lost={reason: count for reason, count in lost.items() if count},
            spooled=spooled,
            lag=self._lag(),
        )

    def _lag(self) -> float:
        queued = (at for at in (self._head_at, self._memory.oldest_at) if at is not None)
        # The clock may be set back.
        return max(0.0, self._now() - min(queued, default=self._now()))

    async def run(self) -> None:
        """Deliver until `stop`, then what is queued; may be cancelled."""
        self._loop = asyncio.get_running_loop()
        self._came.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                moving = tasks.create_task(self._move())
                await self._send()
                moving.cancel()
        finally:
            self._end()
            await self._channel.close()

    def stop(self) -> None:
        """End soon: offer what is queued once more, without waiting for batches to fill."""
        self._stopping.set()
        self._came.set()
        self._ready.set()

    def _end(self) -> None:
        self._in_flight = False
        if self._spool is not None:
            self._into_spool()
            self._spool.close()
        self._ended = True

    # Into the spool

    async def _move(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            if self._spool is not None and not self._stopping.is_set():
                await _pause(self._stopping, self._limits.spool_write_seconds)
                self._into_spool()
            self._ready.set()

    def _into_spool(self) -> None:
        """Move what waits in memory into the spool; where it has no room, leave it there."""
        assert self._spool is not None
        if self._in_flight:
            return  # from memory: what is on its way must not be in two places
        try:
            self._lost["spool_age"] += self._spool.drop_older(
                self._now() - self._limits.spool_age_seconds
            )
            while items := self._memory.head(self._limits.batch_events, self._limits.queue_bytes):
                self._lost["spool_full"] += self._spool.put([item for _, item in items])
                self._memory.remove(number for number, _ in items)
        except SpoolError as error:
            if not self._spool_full:
                log.warning("output %s: spool: %s; events wait in memory", self.name, error)
            self._spool_full = True
        else:
            self._spool_full = False

    # To the peer

    async def _send(self) -> None:
        while True:
            # Before the look: what comes after it sets this again.
            self._ready.clear()
            queue, batch = self._head()
            self._head_at = batch[0][1].queued_at if batch else None
            if not batch and self._stopping.is_set():
                return
            if rest := self._to_wait(batch):
                await _pause(self._ready, rest)
                continue
            pause = await self._offer_all(queue, batch)
            if pause is None:
                continue
            if self._stopping.is_set() and self._spool is not None:
                return  # it stays there
            await _pause(self._stopping, pause)
            if self._stopping.is_set():
                # Nothing else would keep it from trying as fast as it can.
                await asyncio.sleep(min(pause, self._limits.retry_seconds))

    def _head(self) -> tuple[MemoryQueue | Spool, list[Numbered]]:
        most = (self._limits.batch_events, self._limits.batch_bytes)
        if self._spool is not None:
            if self._stopping.is_set():
                self._into_spool()
            with contextlib.suppress(SpoolError):
                if batch := self._spool.head(*most):
                    return self._spool, batch
            if not self._spool_full:
                return self._spool, []
        return self._memory, self._memory.head(*most)

    def _to_wait(self, batch: list[Numbered]) -> float:
        """Return how long to wait for more events, in seconds."""
        if self._stopping.is_set():
            return 0
        if not batch:
            return float("inf")
        limits = self._limits
        size = sum(len(item.event) for _, item in batch)
        if len(batch) >= limits.batch_events or 2 * size >= limits.batch_bytes:
            return 0
        # The clock may be set back or forth.
        age = max(0.0, self._now() - batch[0][1].queued_at)
        return max(0.0, limits.batch_seconds - age)

    async def _offer_all(self, queue: MemoryQueue | Spool, batch: list[Numbered]) -> float | None:
        """Offer a batch; return how long to pause before the next, None when it was taken."""
        self._in_flight = queue is self._memory
        try:
            why = await self._offer(queue, batch)
            after = None
        except Unavailable as error:
            why, after = str(error), error.after
        except Exception as error:
            # A peer's odd answer may take a library by surprise; the others must go on. The
            # message is left out, since it may quote an event.
            why, after = type(error).__name__, None
        finally:
            self._in_flight = False
        if not why:
            if self._failures:
                log.warning("output %s: goes on", self.name)
            self._failures = 0
            return None
        if not self._failures:
            log.warning("output %s: %s; trying again", self.name, why)
        pause = backoff(self._failures, self._limits, self._chance())
        self._failures += 1
        return max(pause, min(after or 0.0, self._limits.most_asked_seconds))

    async def _offer(self, queue: MemoryQueue | Spool, batch: Sequence[Numbered]) -> str:
        """Offer a batch and settle it; return why some of it is to be offered again, or nothing."""
        try:
            sent = await self._channel.send([item for _, item in batch])
        except Refused as error:
            if error.one_of_them and len(batch) > 1:
                middle = len(batch) // 2
                return await self._offer(queue, batch[:middle]) or await self._offer(
                    queue, batch[middle:]
                )
            self._refuse(len(batch), str(error))
            self._settle(queue, batch, len(batch))
            return ""
        if sent.refused:
            self._refuse(sent.refused, sent.why)
        settled = [one for position, one in enumerate(batch) if position not in sent.again]
        self._settle(queue, settled, sent.refused)
        return (sent.why or "not all was taken") if sent.again else ""

    def _refuse(self, count: int, why: str) -> None:
        if not self._lost["refused"]:
            log.error(
                "output %s: refused %s: %s; more are counted, not logged", self.name, count, why
            )

    def _settle(self, queue: MemoryQueue | Spool, batch: Sequence[Numbered], refused: int) -> None:
        removed = queue.remove(number for number, _ in batch)
        refused = min(refused, removed)
        self._lost["refused"] += refused
        self._delivered += removed - refused


def backoff(failures: int, limits: Limits, chance: float) -> float:
    """Return the pause after so many failures in a row, in seconds; `chance` from 0 to 1."""
    # 2**30 seconds are more than any limit. Half of it is certain: no peer is hammered.
    longest = min(limits.most_retry_seconds, limits.retry_seconds * 2.0 ** min(failures, 30))
    return longest * (1 + chance) / 2


async def _pause(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if seconds == float("inf") else seconds):
            await event.wait()


class DeliveryThread:
    """The thread, and its event loop, that all deliveries share."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        """Start it; it ends with `close`."""
        self._deliveries = deliveries
        self._loop = asyncio.new_event_loop()
        self._delivering: asyncio.Task[None] | None = None
        # A daemon: a peer that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="busted-outputs", daemon=True)
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Deliver what is queued, for `timeout` seconds at most."""
        for delivery in self._deliveries:
            self._call(delivery.stop)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._call(self._cancel)
            # Long enough to move what is left into the spools.
            self._thread.join(5.0)

    def _cancel(self) -> None:
        if self._delivering:
            self._delivering.cancel()

    def _call(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call)

    def _run(self) -> None:
        with (
            asyncio.Runner(loop_factory=lambda: self._loop) as runner,
            contextlib.suppress(asyncio.CancelledError),
        ):
            runner.run(self._all())

    async def _all(self) -> None:
        self._delivering = asyncio.current_task()
        results = await asyncio.gather(
            *(delivery.run() for delivery in self._deliveries), return_exceptions=True
        )
        for delivery, result in zip(self._deliveries, results, strict=True):
            if isinstance(result, Exception):
                log.error("output %s ended: %s", delivery.name, type(result).__name__)
