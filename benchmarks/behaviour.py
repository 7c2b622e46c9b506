"""What it costs to know what connections behave like: a window, a connection, and 5,000 of them.

The connections are real ones of another process, on loopback; in one variant none of them moves
anything, in another a tenth does, in the last all do, ten times a second. The share of a processor
is the time that one look takes in the kernel and its records in user space, by the ten looks of a
second. Windows are those of a streamed answer.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing

from benchmarks.plan import Plan
from benchmarks.table import Table, median
from busted.agent.behaviour import Behaviour, shipped_model
from busted.kernel import features as kernel_features
from busted.kernel.network import FlowPrograms
from busted.kernel.shared import SharedMaps
from busted.ml.features import Context, features
from busted.records import ProcessKey, Traffic, TrafficSlice, decode

RING_BYTES = 32 << 20
LOOK_SECONDS = 0.1
# Two windows of all connections, so that both are among what is measured.
LOOKS = 40
SHARES = (0.0, 0.1, 1.0)

# Opens connections to itself, says so, and sends on some of them ten times a second.
SCRIPT = """
import resource, socket, sys, time
count, share = int(sys.argv[1]), float(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (3 * count + 100, 3 * count + 100))
server = socket.create_server(("127.0.0.1", 0), backlog=1024)
clients, peers = [], []
for _ in range(count):
    clients.append(socket.create_connection(server.getsockname()))
    peers.append(server.accept()[0])
print("ready", flush=True)
active = peers[: int(share * count)]
while True:
    due = time.monotonic() + 0.1
    for peer in active:
        peer.send(b"x" * 200)
    time.sleep(max(due - time.monotonic(), 0))
"""


def tables(plan: Plan) -> tuple[Table, ...]:
    """Measure, and return the tables."""
    return _window(plan), _connections(plan)


def _slices() -> tuple[TrafficSlice, ...]:
    answer = [TrafficSlice(900 + 100 * i, 0, 900 + i % 7 * 60, 0, 6) for i in range(30)]
    return (TrafficSlice(100, 700, 3000, 2, 3), TrafficSlice(200, 9000, 0, 7, 0), *answer)


def _traffic(cookie: int) -> Traffic:
    return Traffic(ProcessKey(cookie % 500, 1), 10**10, cookie, bytes(16), 443, 10**9, 0, _slices())


def _window(plan: Plan) -> Table:
    forest, context = shipped_model(), Context()
    row = features(_slices(), context)
    assert row is not None
    records = [_traffic(cookie) for cookie in range(plan.windows)]
    timings: dict[str, list[float]] = {}
    for _ in range(plan.rounds):
        steps: dict[str, Callable[[Traffic], object]] = {
            "features": lambda one: features(one.slices, context),
            "forest": lambda one: forest.score(row),
            "all of it, with what is remembered": Behaviour(forest).feed,
        }
        for name, step in steps.items():
            start = time.process_time_ns()
            for one in records:
                step(one)
            spent = (time.process_time_ns() - start) / len(records) / 1000
            timings.setdefault(name, []).append(spent)
    tracemalloc.start()
    kept = Behaviour(forest)
    for one in records:
        kept.feed(one)
    size = tracemalloc.get_traced_memory()[0] / len(records)
    tracemalloc.stop()
    rows = [(name, median(found), None) for name, found in timings.items()]
    return Table(
        "What a window of traffic costs",
        "Microseconds of processor time a window of 32 slices, and bytes that a connection is "
        "remembered by in user space. In the kernel it takes 650, of 8,192 connections at most.",
        ("step", "us a window", "bytes a connection"),
        (*rows, ("memory", None, size)),
    )


def _connections(plan: Plan) -> Table:
    rows = []
    for share in SHARES:
        look, read, windows = _looked(plan, share)
        spent = (look + read) / LOOKS / LOOK_SECONDS
        rows.append((f"{share:.0%}", look / LOOKS * 1e6, read / LOOKS * 1e6, windows, spent * 100))
    return Table(
        f"What {plan.connections:,} connections cost that are followed",
        "`moving`: how many of them send something in every slice. The first four windows of each "
        "are among this; later on they rest a minute between two. Goal: under 3 % of a processor.",
        ("moving", "us a look", "us for its records", "windows", "% of a processor"),
        tuple(rows),
    )


def _looked(plan: Plan, share: float) -> tuple[float, float, int]:
    """Return the seconds of all looks, those of their records, and the windows that came."""
    found = kernel_features.probe()
    behaviour = Behaviour(shipped_model())
    with closing(SharedMaps(RING_BYTES)) as shared:
        kinds = kernel_features.try_programs()
        with closing(FlowPrograms(shared, "ai", found, kinds, traffic=True)) as programs:
            command = [sys.executable, "-c", SCRIPT, str(plan.connections), str(share)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as connected:
                try:
                    assert connected.stdout is not None
                    assert connected.stdout.readline() == b"ready\n"
                    programs.look_at_traffic()
                    return _looks(shared, programs, behaviour)
                finally:
                    connected.kill()


def _looks(
    shared: SharedMaps, programs: FlowPrograms, behaviour: Behaviour
) -> tuple[float, float, int]:
    look = read = 0.0
    windows = sum(behaviour.windows.values())
    for _ in range(LOOKS):
        due = time.monotonic() + LOOK_SECONDS
        start = _spent()
        programs.look_at_traffic()
        looked = _spent()
        while batch := shared.ring.read():
            for raw in batch:
                record = decode(raw)
                if isinstance(record, Traffic):
                    behaviour.feed(record)
        look, read = look + looked - start, read + _spent() - looked
        time.sleep(max(due - time.monotonic(), 0))
    return look, read, sum(behaviour.windows.values()) - windows


def _spent() -> float:
    """Return the seconds of processor time of this process, in user space and in the kernel."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
