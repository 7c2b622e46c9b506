"""What the reader can take: records taken from the ring and decoded, in order and complete.

The reader's capacity shows with a producer that it cannot outrun and that loses nothing: a BPF
program that refills the ring as it is emptied. What a real producer reaches shows live: a C
program in SSL_write under the real probes, read in the rhythm of the monitor. Both are repeated
beside a thread that only computes, as the monitor's own Python might: it competes for the GIL.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.plan import SIZES, Plan, Processors
from benchmarks.programs import BenchmarkError, Built, Library, SslCalls, bpf_producer
from benchmarks.table import Table, median
from busted.agent.config import MIB, Settings
from busted.kernel.features import probe
from busted.kernel.libbpf import BpfObject
from busted.kernel.programs import TlsPrograms, best_way
from busted.kernel.ring import Ring
from busted.records import LostPlace, TlsData, decode

RING_BYTES = Settings().ring_bytes
# As send_last() of tls.bpf.c reserves it.
ROOM = {200: 256, 4096: 4096, 16384: 16384}
# The goals of the design, records a second.
GOALS = {200: 300_000, 4096: 160_000, 16384: 70_000}
# A producer that fills nothing within this time is broken.
START_SECONDS = 10.0
# How long the ring is left alone once it was found empty.
PAUSE_SECONDS = 0.001


class Reading(msgspec.Struct, frozen=True):
    """What one measurement read, and what the reader's thread took for it."""

    records: int
    seconds: float
    cpu_seconds: float
    lost_bytes: int = 0

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


class Clock:
    """Elapsed time, and this thread's own."""

    def __init__(self) -> None:
        self._start, self._cpu_start = time.perf_counter(), time.thread_time()

    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._start

    def reading(self, records: int, lost_bytes: int = 0) -> Reading:
        """The measurement that ends now."""
        cpu_seconds = time.thread_time() - self._cpu_start
        return Reading(records, self.seconds(), cpu_seconds, lost_bytes)


class Capacity:
    """The BPF producer at one size, and the ring that it fills."""

    def __init__(self, object_file: Path, size: int) -> None:
        self._object = BpfObject(object_file)
        self._object.settings(struct.pack("<II", ROOM[size], size))
        self._object.max_entries("records", RING_BYTES)
        self._object.load()
        self._program_fd = self._object.program_fd("produce")
        self._ring = Ring(self._object.map("records").fd, self._object.map("reader").fd, RING_BYTES)
        self._position = 0

    def _take(self) -> int:
        batch = self._ring.read()
        position = self._position
        for raw in batch:
            record = decode(raw)
            if not isinstance(record, TlsData) or record.position != position:
                raise BenchmarkError(f"expected position {position}, got {record}"[:200])
            position += len(record.data)
        self._position = position
        return len(batch)

    def measure(self, seconds: float, processor: int) -> Reading:
        """Read for `seconds`. Raises BenchmarkError when a record is missing."""
        with bpf_producer(self._program_fd, processor):
            waiting = Clock()
            while not self._take():
                if waiting.seconds() > START_SECONDS:
                    raise BenchmarkError("the producer puts nothing into the ring")
            clock, records = Clock(), 0
            while clock.seconds() < seconds:
                records += self._take()
            reading = clock.reading(records)
        while self._take():
            pass
        return reading

    def close(self) -> None:
        """Unload."""
        self._ring.close()
        self._object.close()


class Live:
    """SSL_write under the real probes, which see every process that uses the library."""

    def __init__(self, library: Library) -> None:
        self._programs = TlsPrograms(
            best_way(probe()), ring_bytes=RING_BYTES, max_call_bytes=Settings().max_call_bytes
        )
        self._programs.attach(library.at(library.chosen), cookie=1)

    def measure(self, producer: SslCalls, calls: int) -> Reading:
        """Read what `calls` calls write. Raises BenchmarkError when bytes vanish uncounted."""
        lost_before = self._programs.lost().get(LostPlace.RING_FULL, 0)
        clock, delivered, finished = Clock(), 0, False
        producer.start(0, calls)
        while True:
            batch = self._programs.ring.read()
            for record in map(decode, batch):
                if isinstance(record, TlsData) and record.key.pid == producer.pid:
                    delivered += len(record.data)
            if not batch:
                if finished:
                    break
                finished = producer.finished(PAUSE_SECONDS)
        reading = clock.reading(delivered // producer.size, calls * producer.size - delivered)
        producer.nanoseconds()
        lost = self._programs.lost().get(LostPlace.RING_FULL, 0) - lost_before
        if not 0 <= reading.lost_bytes <= lost:
            raise BenchmarkError(f"{reading.lost_bytes} bytes are missing, {lost} counted as lost")
        return reading

    def close(self) -> None:
        """Detach and unload."""
        self._programs.close()


@contextlib.contextmanager
def beside_a_busy_thread(wanted: bool) -> Iterator[None]:
    """Where wanted, let a thread of this process compute while the block runs."""
    running = wanted

    def compute() -> None:
        while running:
            pass

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        running = False
        thread.join()


def tables(plan: Plan, built: Built, on: Processors) -> tuple[Table, Table]:
    """Measure, and return what the reader can take and what a real producer reaches."""
    capacity: dict[tuple[int, bool], list[Reading]] = defaultdict(list)
    live: dict[tuple[int, bool], list[Reading]] = defaultdict(list)
    with contextlib.ExitStack() as opened:
        capacities = {
            size: opened.enter_context(contextlib.closing(Capacity(built.producer, size)))
            for size in SIZES
        }
        producers = {
            size: opened.enter_context(
                contextlib.closing(SslCalls(built.ssl_calls, size, on.producer))
            )
            for size in SIZES
        }
        with contextlib.closing(producers[SIZES[0]].library()) as library:
            probes = opened.enter_context(contextlib.closing(Live(library)))
        for _, size, busy in itertools.product(range(plan.rounds), SIZES, (False, True)):
            calls = min(plan.max_live_calls, plan.live_megabytes * MIB // size)
            with beside_a_busy_thread(busy):
                measured = capacities[size].measure(plan.reading_seconds, on.producer)
                capacity[size, busy].append(measured)
                live[size, busy].append(probes.measure(producers[size], calls))
    return _capacity_table(capacity), _live_table(live)


def _rates(size: int, readings: list[Reading]) -> tuple[float, float]:
    rate = median(reading.rate for reading in readings)
    return rate, rate * size / 1e6


def _capacity_table(measured: dict[tuple[int, bool], list[Reading]]) -> Table:
    rows = tuple(
        (
            size,
            *_rates(size, measured[size, False]),
            median(r.cpu_seconds / r.records * 1e6 for r in measured[size, False]),
            *_rates(size, measured[size, True]),
            GOALS[size],
        )
        for size in SIZES
    )
    return Table(
        "What the reader can take, without loss",
        "Ring.read + records.decode, with positions checked, against a BPF producer that is never "
        "the limit. MB are 10^6 bytes of plaintext; CPU is the reader's thread.",
        (
            "payload B",
            "records/s",
            "MB/s",
            "CPU us/record",
            "beside a busy thread: records/s",
            "beside a busy thread: MB/s",
            "goal records/s",
        ),
        rows,
    )


def _live_table(measured: dict[tuple[int, bool], list[Reading]]) -> Table:
    rows = tuple(
        (
            size,
            *_rates(size, measured[size, False]),
            median(100 * r.cpu_seconds / r.seconds for r in measured[size, False]),
            sum(reading.lost_bytes for reading in measured[size, False]),
            *_rates(size, measured[size, True]),
            sum(reading.lost_bytes for reading in measured[size, True]),
        )
        for size in SIZES
    )
    return Table(
        "What one real producer reaches",
        "A C program that does nothing but SSL_write over memory BIOs, under the real probes; "
        "lost is the sum of all rounds, and every byte is either read or counted as lost.",
        (
            "payload B",
            "records/s",
            "MB/s",
            "reader's CPU %",
            "lost B",
            "beside a busy thread: records/s",
            "beside a busy thread: MB/s",
            "beside a busy thread: lost B",
        ),
        rows,
    )
