"""Both ways of reading the ring buffer take the same records from the running kernel."""

from __future__ import annotations

import platform
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from busted.kernel import programs, shared
from busted.records import TlsData, decode
from tests.kernel.harness import Watched, watched

pytestmark = pytest.mark.needs("kernel", "gcc")


@pytest.fixture(params=["x86_64", "aarch64"], ids=["own", "libbpf"])
def kernel(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    paths = {name: shared.object_path(name) for name in ("shared", "tls")}
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    for module in (shared, programs):
        monkeypatch.setattr(module, "object_path", paths.__getitem__)
    with watched("perf", tmp_path, ring_bytes=64 << 10) as kernel:
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
