"""What the reader can take: records taken from the ring and decoded, in order and complete.

The reader's capacity shows with a producer that it cannot outrun and that loses nothing: a BPF
program that refills the ring as it is emptied. What a real producer reaches shows live: a C
program in SSL_write under the real probes, read in the rhythm of the monitor. Both are repeated
beside a thread that only computes, as the monitor's own Python might: it competes for the GIL.

Time is the processor time of this process, or of the producer: on a machine of one's own that
is the time on the wall, and what else runs on a shared one does not count. Two Python threads
take turns at the GIL, so their times add up to that of the wall, too.
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
from busted.kernel.shared import SharedMaps, open_ring
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
# With the processor to itself the reader gives away a hundredth at most; with one other busy
# program, half.
DISTURBED = 0.02


class Capacity:
    """The BPF producer at one size, and the ring that it fills."""

    def __init__(self, object_file: Path, size: int) -> None:
        self._object = BpfObject(object_file)
        self._object.settings(struct.pack("<II", ROOM[size], size))
        self._object.max_entries("records", RING_BYTES)
        self._object.load()
        self._program_fd = self._object.program_fd("produce")
        self._ring = open_ring(self._object.map("records"), self._object.map("reader"), RING_BYTES)
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

    def measure(self, seconds: float, processor: int) -> float:
        """Read for `seconds` of processor time; return the records of one second.

        Raises BenchmarkError when a record is missing.
        """
        with bpf_producer(self._program_fd, processor):
            deadline = time.monotonic() + START_SECONDS
            while not self._take():
                if time.monotonic() > deadline:
                    raise BenchmarkError("the producer puts nothing into the ring")
            records, start = 0, time.process_time()
            while (spent := time.process_time() - start) < seconds:
                records += self._take()
        while self._take():
            pass
        return records / spent

    def close(self) -> None:
        """Unload."""
        self._ring.close()
        self._object.close()


class Stopwatch:
    """Tells how much of the time since its start other programs had this thread's processor."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        # Ready to run and not running: Documentation/scheduler/sched-stats.rst of Linux.
        waited = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
        return time.perf_counter(), time.process_time(), waited

    def given_away(self) -> float:
        """From 0 to 1: this thread was ready to run, and no other of this process ran instead."""
        wall, used, waited = (b - a for a, b in zip(self._start, self._now(), strict=True))
        return max(0.0, min(waited, wall - used)) / wall


class Reached(msgspec.Struct, frozen=True):
    """What one producer did in one measurement, and how its reader fared."""

    nanoseconds: float
    reader_nanoseconds: float
    given_away: float
    """The part of the time in which other programs had the reader's processor, about."""
    lost_bytes: int

    @property
    def disturbed(self) -> bool:
        """Other programs had the reader's processor for so long that a loss tells nothing of it."""
        return self.given_away > DISTURBED


class Live:
    """SSL_write under the real probes, which see every process that uses the library."""

    def __init__(self, library: Library) -> None:
        self._programs = TlsPrograms(
            best_way(probe()), SharedMaps(RING_BYTES), max_call_bytes=Settings().max_call_bytes
        )
        self._programs.attach(library.at(library.chosen), cookie=1)

    def measure(self, producer: SslCalls, calls: int) -> Reached:
        """Read what `calls` calls write. Raises BenchmarkError when bytes vanish uncounted."""
        lost_before = self._programs.shared.lost().get(LostPlace.RING_FULL, 0)
        missing, finished = calls * producer.size, False
        start, watch = time.thread_time(), Stopwatch()
        producer.start(0, calls)
        while True:
            batch = self._programs.shared.ring.read()
            for record in map(decode, batch):
                if isinstance(record, TlsData) and record.key.pid == producer.pid:
                    missing -= len(record.data)
            if not batch:
                if finished:
                    break
                finished = producer.finished(PAUSE_SECONDS)
        spent = time.thread_time() - start
        given_away = watch.given_away()
        lost = self._programs.shared.lost().get(LostPlace.RING_FULL, 0) - lost_before
        if not 0 <= missing <= lost:
            raise BenchmarkError(f"{missing} bytes are missing, {lost} are counted as lost")
        return Reached(producer.nanoseconds(), spent / calls * 1e9, given_away, missing)

    def close(self) -> None:
        """Detach and unload."""
        self._programs.close()
        self._programs.shared.close()


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
    rates: dict[tuple[int, bool], list[float]] = defaultdict(list)
    reached: dict[tuple[int, bool], list[Reached]] = defaultdict(list)
    with contextlib.ExitStack() as opened:
        capacities = {
            size: opened.enter_context(contextlib.closing(Capacity(built.producer, size)))
            for size in SIZES
        }
        producers = {
            size: opened.enter_context(contextlib.closing(SslCalls(built, size, on.producer)))
            for size in SIZES
        }
        with contextlib.closing(producers[SIZES[0]].library()) as library:
            live = opened.enter_context(contextlib.closing(Live(library)))
        for _, size, busy in itertools.product(range(plan.rounds), SIZES, (False, True)):
            calls = min(plan.max_live_calls, plan.live_megabytes * MIB // size)
            with beside_a_busy_thread(busy):
                rate = capacities[size].measure(plan.reading_seconds, on.producer)
                rates[size, busy].append(rate)
                reached[size, busy].append(live.measure(producers[size], calls))
    return _capacity_table(rates), _live_table(reached)


def _capacity_table(rates: dict[tuple[int, bool], list[float]]) -> Table:
    rows = []
    for size in SIZES:
        alone, beside = median(rates[size, False]), median(rates[size, True])
        mb, beside_mb = alone * size / 1e6, beside * size / 1e6
        rows.append((size, alone, mb, 1e6 / alone, beside, beside_mb, GOALS[size]))
    return Table(
        "What the reader can take, without loss",
        "Ring.read + records.decode, positions checked, against a BPF producer that is never the "
        "limit. MB are 10^6 bytes of plaintext.",
        (
            "payload B",
            "records/s",
            "MB/s",
            "us/record",
            "beside a busy thread: records/s",
            "beside a busy thread: MB/s",
            "goal: records/s",
        ),
        tuple(rows),
    )


def _live_table(reached: dict[tuple[int, bool], list[Reached]]) -> Table:
    rows = []
    for size in SIZES:
        alone, beside = reached[size, False], reached[size, True]
        call = median(measured.nanoseconds for measured in alone)
        reader = median(measured.reader_nanoseconds for measured in alone)
        rows.append(
            (
                size,
                1e9 / call,
                size * 1e3 / call,
                reader / 1e3,
                100 * reader / call,
                *_losses(alone),
                *_losses(beside),
            )
        )
    return Table(
        "What one real producer reaches",
        "A C program that does nothing but SSL_write over memory BIOs, under the real probes. "
        "Every byte was read or counted as lost. Losses are the sum of the rounds in which nothing "
        "kept the reader from its processor; how many those were stands beside them.",
        (
            "payload B",
            "records/s",
            "MB/s",
            "reader us/record",
            "reader's processor %",
            "lost B",
            "rounds",
            "beside a busy thread: lost B",
            "rounds",
        ),
        tuple(rows),
    )


def _losses(reached: list[Reached]) -> tuple[int | None, int]:
    lost = [measured.lost_bytes for measured in reached if not measured.disturbed]
    return sum(lost) if lost else None, len(lost)
