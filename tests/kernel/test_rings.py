"""Every way of reading takes the same records from the running kernel, whole and in order."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from busted.kernel import shared
from busted.kernel.libbpf_ring import LibbpfRing
from busted.kernel.shared import Buffer
from busted.records import Direction, TlsData, decode
from tests.kernel.harness import Watched, watched
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "gcc")


@pytest.fixture(params=["own", "libbpf", "perf"])
def kernel(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    buffer: Buffer = "perf" if request.param == "perf" else "ring"
    require(f"{buffer} buffer")
    if request.param == "libbpf":
        monkeypatch.setattr(
            shared, "open_ring", lambda ring, reader, _: LibbpfRing(ring.fd, reader.fd)
        )
    with watched("perf", tmp_path, buffer=buffer, ring_bytes=64 << 10) as kernel:
        yield kernel


def pieces(batch: list[bytes]) -> list[bytes]:
    return [r.data for r in map(decode, batch) if isinstance(r, TlsData)]


def test_records_are_read_in_order_across_the_end_of_the_ring(kernel: Watched) -> None:
    script = "then(9000)\nfor i in range(40): write(1, b'%d' % i * 9000, 9000); step()"
    seen: list[bytes] = []
    with kernel.started(script) as step:
        for i in range(40):
            while len(seen) == i:
                seen += pieces(kernel.programs.shared.ring.read())
            step()
    assert seen == [(b"%d" % i * 9000)[:9000] for i in range(40)]
    assert kernel.programs.shared.lost() == {}


def test_a_batch_is_bounded_and_leaves_the_rest(kernel: Watched) -> None:
    kernel.run("then(1000)\nfor i in range(20): write(1, b'%02d' % i * 500)")
    ring = kernel.programs.shared.ring
    seen, batches = [], 0
    while batch := ring.read(max_bytes=4000):
        seen += pieces(batch)
        batches += 1
    assert batches > 3
    assert seen == [b"%02d" % i * 500 for i in range(20)]


def test_an_armed_ring_wakes_the_reader_once(kernel: Watched) -> None:
    ring = kernel.programs.shared.ring
    assert ring.arm()
    poll = select.poll()
    poll.register(ring.fd, select.POLLIN)
    kernel.run("then(1); write(1, b'a'); write(1, b'b')")
    assert poll.poll(1000)
    assert not ring.arm()
    assert pieces(ring.read()) == [b"a", b"b"]
    assert ring.read() == []


# Four threads, each with a connection of its own and words that tell which; after each write
# the thread goes to another processor.
MIGRATING = """
import threading
cpus = sorted(os.sched_getaffinity(0))
then(WORDS * 8)
def work(n):
    for i in range(ROUNDS):
        write(n, b''.join(b'%2d%6d' % (n, i * WORDS + j) for j in range(WORDS)))
        os.sched_setaffinity(0, {cpus[(i + n) % len(cpus)]})
threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_bytes_are_whole_and_in_order_while_threads_move_between_processors(
    buffer: Buffer, tmp_path: Path
) -> None:
    require(f"{buffer} buffer")
    words, rounds = 300, 300
    script = f"WORDS, ROUNDS = {words}, {rounds}\n{MIGRATING}"
    with watched("perf", tmp_path, buffer=buffer, ring_bytes=16 << 20) as kernel:
        with kernel.started(script):
            whole = 4 * words * rounds * 8
            records = kernel.wait(
                lambda records: sum(len(r.data) for r in records if isinstance(r, TlsData)) == whole
            )
        assert kernel.programs.shared.lost() == {}
    for number in range(1, 5):
        told = b"%2d" % number
        data = [r for r in records if isinstance(r, TlsData) and r.data.startswith(told)]
        assert [r.position for r in data] == list(range(0, words * rounds * 8, words * 8))
        assert all(r.direction == Direction.WRITE for r in data)
        assert b"".join(r.data for r in data) == b"".join(
            b"%s%6d" % (told, i) for i in range(words * rounds)
        )
