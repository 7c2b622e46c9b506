"""The records of several CPUs come as one, in an order that keeps each thread's."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busted.kernel.perf_events import PerfBuffer
from busted.kernel.perf_ring import MIN_BYTES_EACH, MergedBuffers, bytes_each
from tests.unit.kernel.perf_bytes import SIZE, Buffer

LOST, SAMPLE = 2, 9
CPUS = 3


class Host:
    """CPUs whose programs submit records, and whoever reads them; the clock ticks at each step."""

    def __init__(self) -> None:
        self._images = [Buffer() for _ in range(CPUS)]
        self._buffers = [Hooked(image.fd, self) for image in self._images]
        self.merged = MergedBuffers(self._buffers, self.tick)
        self.now = 0
        self.meanwhile: list[tuple[int, int]] = []
        self._told = [0] * 4

    def tick(self) -> int:
        self.now += 1
        return self.now

    def submit(self, cpu: int, thread: int, room: int = 0) -> None:
        """A thread that happens to be on this CPU stamps a record and submits it."""
        raw = struct.pack("<QQBI", 0, self.tick(), thread, self._told[thread]) + bytes(room)
        self.tick()
        sample = struct.pack("<I", len(raw)) + raw
        self._images[cpu].add(SAMPLE, sample + bytes(-len(sample) % 8))
        self._told[thread] += 1

    def lose(self, cpu: int) -> None:
        self._images[cpu].add(LOST, bytes(16))

    def close(self) -> None:
        for buffer, image in zip(self._buffers, self._images, strict=True):
            buffer.close()
            os.close(image.fd)


class Hooked(PerfBuffer):
    """A buffer; what happens meanwhile happens after it was read."""

    def __init__(self, fd: int, host: Host) -> None:
        super().__init__(fd, SIZE)
        self._host = host

    def read(self, max_bytes: int | None = None) -> list[tuple[int, bytes]]:
        records = super().read(max_bytes)
        while self._host.meanwhile:
            self._host.submit(*self._host.meanwhile.pop(0))
        return records


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


def told(batch: list[bytes]) -> list[tuple[int, int]]:
    """The threads and the numbers of their records."""
    return [struct.unpack_from("<BI", raw, 16) for raw in batch]


def test_records_of_all_processors_come_by_time(host: Host) -> None:
    for cpu in (2, 0, 1, 0, 2):
        host.submit(cpu, thread=1)
    assert told(host.merged.read(1 << 20)) == [(1, n) for n in range(5)]
    assert host.merged.empty


def test_what_overtakes_a_read_under_way_is_held_back(host: Host) -> None:
    host.submit(0, thread=1)
    host.submit(1, thread=2)
    # After the first buffer was read, the thread writes there, moves on, and writes again.
    host.meanwhile = [(0, 1), (1, 1)]
    assert told(host.merged.read(1 << 20)) == [(1, 0), (2, 0)]
    assert not host.merged.empty
    assert told(host.merged.read(1 << 20)) == [(1, 1), (1, 2)]


def test_a_buffer_that_is_not_read_to_its_end_holds_back_the_others(host: Host) -> None:
    for _ in range(4):
        host.submit(0, thread=1, room=200)
    host.submit(1, thread=1)
    assert told(host.merged.read(600)) == [(1, 0)]
    seen = []
    while not host.merged.empty:
        seen += told(host.merged.read(600))
    assert seen == [(1, n) for n in range(1, 5)]


def test_it_tells_how_full_the_fullest_buffer_was(host: Host) -> None:
    assert (host.merged.read(100), host.merged.quarters) == ([], 0)
    host.submit(0, thread=1)
    host.submit(1, thread=1, room=SIZE // 2)
    host.merged.read(100)
    assert host.merged.quarters == 2
    host.merged.read(100)
    assert host.merged.quarters == 0


def test_what_is_no_record_is_passed_over(host: Host) -> None:
    host.lose(0)
    host.submit(0, thread=1)
    seen = host.merged.read(8)
    while not host.merged.empty:
        seen += host.merged.read(8)
    assert told(seen) == [(1, 0)]


steps = st.one_of(
    st.tuples(st.integers(0, CPUS - 1), st.integers(0, 3)),
    st.tuples(
        st.just("read"),
        st.integers(0, 400),
        st.lists(st.tuples(st.integers(0, CPUS - 1), st.integers(0, 3)), max_size=4),
    ),
)


@given(st.lists(steps, max_size=60))
@example([(0, 1), (1, 2), ("read", 400, [(0, 1), (1, 1)])])
def test_each_threads_records_come_once_and_in_order_wherever_it_ran(
    script: list[tuple[int, int] | tuple[str, int, list[tuple[int, int]]]],
) -> None:
    host = Host()
    try:
        seen: list[tuple[int, int]] = []
        for step in script:
            if len(step) == 2:
                host.submit(*step)
            else:
                _, limit, host.meanwhile = step
                seen += told(host.merged.read(limit))
                for cpu, thread in host.meanwhile:
                    host.submit(cpu, thread)
                host.meanwhile = []
        while not host.merged.empty:
            seen += told(host.merged.read(100))
        for thread in range(4):
            numbers = [number for of, number in seen if of == thread]
            assert numbers == list(range(len(numbers)))
        assert len(seen) == sum(host._told)
    finally:
        host.close()


@pytest.mark.parametrize(
    ("size", "cpus", "each"),
    [
        (16 << 20, 2, 8 << 20),
        (16 << 20, 3, 4 << 20),
        (16 << 20, 1, 16 << 20),
        (64 << 10, 64, MIN_BYTES_EACH),
    ],
)
def test_the_size_is_shared_out_in_powers_of_two(size: int, cpus: int, each: int) -> None:
    assert bytes_each(size, cpus) == each
