"""Windows of traffic as the kernel tells them, against what the script moved.

Each look of a test is one slice, so that no clock decides what a slice has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from busted.kernel import features
from busted.kernel.network import FlowPrograms
from busted.kernel.shared import Buffer, SharedMaps
from busted.records import Traffic, decode
from tests.kernel.namespace import DEADLINE_SECONDS, namespace, packed
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "unshare")

PAIR = """
client, accepted = pair()
told |= dict(client=cookie(client), accepted=cookie(accepted), port=accepted.getsockname()[1])
step()
"""
# What arrives is counted when it is acknowledged, which the reader's return does not wait for.
ROUND = """
{sender}.sendall(b"x" * {size})
got = 0
while got < {size}: got += len({receiver}.recv(1 << 16))
step()
"""
END = "client.close(), accepted.close()"


class Watched:
    def __init__(self, shared: SharedMaps, programs: FlowPrograms) -> None:
        self.shared, self.programs = shared, programs
        self.windows: list[Traffic] = []

    def read(self) -> list[Traffic]:
        for raw in self.shared.ring.read():
            record = decode(raw)
            if isinstance(record, Traffic):
                self.windows.append(record)
        return self.windows

    def wait(self, cookie: int) -> Traffic:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (found := [window for window in self.read() if window.cookie == cookie]):
            assert time.monotonic() < deadline, self.windows
            time.sleep(0.001)
        return found[0]


@contextmanager
def watching(traffic: bool = True, buffer: Buffer = "ring") -> Iterator[Watched]:
    found = features.probe()
    if not found.has("map iterator"):
        pytest.skip("this kernel has no iterators over maps (Linux 5.9)")
    with closing(SharedMaps(1 << 22, buffer)) as shared:
        programs = FlowPrograms(shared, "ai", found, features.try_programs(), traffic=traffic)
        with closing(programs):
            yield Watched(shared, programs)
            assert shared.lost() == {}


@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_a_connection_is_told_slice_by_slice_when_it_ends(buffer: Buffer) -> None:
    if buffer == "perf":
        require("perf buffer")
    rounds = [("client", "accepted", 700), ("accepted", "client", 9000), ("client", "accepted", 5)]
    script = PAIR + "".join(
        ROUND.format(sender=sender, receiver=receiver, size=size)
        for sender, receiver, size in rounds
    )
    with watching(buffer=buffer) as watched, namespace(script + END) as running:
        truth = running.told()
        for _ in rounds:
            running.go_on()
            running.told()
            watched.programs.look_at_traffic()
            watched.programs.look_at_traffic()  # nothing moved: no slice
        running.go_on()
        window = watched.wait(truth["client"])

    assert (window.key.pid, window.window) == (running.pid, 0)
    assert (window.remote, window.remote_port) == (packed("127.0.0.1"), truth["port"])
    moved = [(one.sent, one.received) for one in window.slices]
    assert moved[:3] == [(700, 0), (0, 9000), (5, 0)]
    assert all(one.segments_sent >= bool(one.sent) for one in window.slices[:3])
    assert window.slices[1].segments_received >= 1
    times = [one.at_ms for one in window.slices]
    assert times == sorted(times)
    # The end that accepted is its client's to tell, wherever that is.
    assert {other.cookie for other in watched.windows} == {truth["client"]}


def test_a_window_is_told_when_it_is_full_and_the_next_begins() -> None:
    rounds = 70
    script = (
        PAIR
        + f"for _ in range({rounds}):"
        + ROUND.format(sender="accepted", receiver="client", size=300).replace("\n", "\n    ")
    )
    with watching() as watched:
        with namespace(f"{script}\n{END}") as running:
            truth = running.told()
            for _ in range(rounds):
                running.go_on()
                running.told()
                watched.programs.look_at_traffic()
            running.go_on()
            watched.wait(truth["client"])
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(watched.read()) < 3:
            assert time.monotonic() < deadline, watched.windows
            time.sleep(0.001)

    assert [window.window for window in watched.windows] == [0, 1, 2]
    assert [len(window.slices) for window in watched.windows[:2]] == [32, 32]
    assert sum(one.received for window in watched.windows for one in window.slices) in (
        rounds * 300,
        rounds * 300 + 1,  # with the end of the stream
    )
    assert watched.windows[1].slices[0].at_ms == 0


def test_unwanted_nothing_is_told() -> None:
    script = PAIR + ROUND.format(sender="client", receiver="accepted", size=100) + END
    with watching(traffic=False) as watched:
        assert not watched.programs.follows_traffic
        with namespace(script) as running:
            running.told()
            running.go_on()
            running.told()
            watched.programs.look_at_traffic()
            running.go_on()
        assert watched.read() == []
