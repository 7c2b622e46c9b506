"""The whole way of an event, from recorded bytes to a file, a history and a collector, policy on.

What the monitor does between the ring and its outputs, with the same parts, in one process: decode,
pipeline, decisions, content filter, outputs, and the memory of its socket. The policy's worker and
the collector are processes of their own, as they are beside a monitor.

`python -m benchmarks.whole` measures how many events a second all of that takes without losing any:
so it feeds as fast as the slowest output goes on. `--soak SECONDS` feeds a steady rate while the
collector is away for a third of the time, and says whether every event is accounted for. Both print
one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import json
import os
import resource
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec

from busted.agent.clock import Clock
from busted.agent.config import DEFAULT_TABLES
from busted.agent.decisions import Decisions, Judge
from busted.agent.outputs import Outputs
from busted.agent.pipeline import Origin, Pipeline
from busted.agent.policies import open_policy
from busted.agent.recording import RawRecord, read
from busted.events import Event
from busted.records import TIME_OFFSET, decode
from busted.sinks.delivery import Figures
from busted.sinks.kinds import parse
from busted.sinks.recent import Recent

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT / "tests" / "golden"
POLICY = ROOT / "policies" / "default"
# Prompts, answers in one piece and as streams, tools and MCP, of several SDKs and providers.
NAMES = (
    *("openai_sync", "openai_stream", "openai_tools", "anthropic_stream", "anthropic_tools"),
    *("google_stream", "bedrock_converse_stream", "node_openai", "mcp_auto", "ollama_tools"),
)
# What may be under way between the pipeline and the outputs while as much as possible is fed.
MOST_WAITING = 2000
# From one round of all recordings to the next; an event's id has milliseconds.
ROUND_NS = 10**9
_TIME = struct.Struct("<Q")
DRAIN_SECONDS = 30.0


class Account(msgspec.Struct, frozen=True):
    """What became of all events; sizes are bytes."""

    events: int
    seconds: float
    cpu_seconds: float
    rss: int
    lost: dict[str, int]
    outputs: dict[str, Figures]
    kept: dict[str, int]
    sizes: tuple[int, ...]

    @property
    def faults(self) -> list[str]:
        """Return where an event is neither delivered nor counted."""
        unjudged = self.lost.get("policy_queue", 0)
        found = []
        for name, told in self.outputs.items():
            if told.produced != self.events - unjudged:
                found.append(f"{name} was given {told.produced} of {self.events - unjudged}")
            if told.produced != told.delivered + sum(told.lost.values()) + told.waiting:
                found.append(f"{name} does not account for all: {told}")
            if self.kept[name] != told.delivered:
                found.append(f"{name} has {self.kept[name]} of {told.delivered} delivered")
        return found


class Traffic:
    """Recorded records, round after round, each with times of its own."""

    def __init__(self, names: Sequence[str] = NAMES) -> None:
        """Read the recordings."""
        self._raw = [
            frame.raw
            for name in names
            for frame in read(RECORDINGS / f"{name}.rec")[1]
            if isinstance(frame, RawRecord)
        ]
        self._start_ns = _TIME.unpack_from(self._raw[0], TIME_OFFSET)[0]

    def __iter__(self) -> Iterator[bytes]:
        """Yield records without end."""
        for number in itertools.count():
            for position, raw in enumerate(self._raw):
                # As if all recordings had been made in one round, one record a microsecond.
                now = self._start_ns + number * ROUND_NS + position * 1000
                yield raw[:TIME_OFFSET] + _TIME.pack(now) + raw[TIME_OFFSET + _TIME.size :]


class Whole:
    """All parts, put together as the monitor does; a context."""

    def __init__(self, directory: Path, collector: str) -> None:
        """Outputs go below a directory, and to a collector's URL."""
        self.events = 0
        self._directory, self._collector = directory, collector
        clock = Clock(time.time_ns() - time.monotonic_ns(), 0)
        self._pipeline = Pipeline(
            Origin("host", clock, os.urandom(16)), {}, options=DEFAULT_TABLES.options
        )
        self._opened = ExitStack()

    def __enter__(self) -> Whole:
        """Open policy and outputs."""
        self._engine = open_policy(POLICY, "audit")
        self._opened.callback(self._engine.close)
        self._judge = Judge(self._engine, "audit")
        self.decisions = Decisions(self._judge, self._decided)
        spool = self._directory / "spool"
        self.outputs = Outputs(
            [
                parse(f"file:{self._directory}/events.jsonl"),
                parse(f"history:{self._directory}/history.db"),
                parse(f"otlp:{self._collector}?spool={spool}"),
            ],
            "redacted",
            recent=Recent(),
        )
        return self

    def __exit__(self, *failure: object) -> None:
        """End the policy's processes."""
        self._opened.close()

    def feed(self, raw: bytes) -> None:
        """Take a record, as the monitor's loop does."""
        for event in self._pipeline.feed(decode(raw)):
            self.events += 1
            self.decisions.take(event)

    def expire(self) -> None:
        """Do what the monitor does every second."""
        self._pipeline.expire(time.monotonic_ns())

    def close(self) -> None:
        """Have all judged and delivered that waits."""
        self.decisions.close()
        self.outputs.close(DRAIN_SECONDS)

    def waiting(self) -> int:
        """Return how many events the slowest output has still to deliver."""
        return max(told.waiting for told in self.outputs.figures().values())

    def lost(self) -> dict[str, int]:
        """Return what was lost, by place."""
        queue = {"policy_queue": self.decisions.lost} if self.decisions.lost else {}
        return queue | self._judge.failed | self._pipeline.lost | self.outputs.lost()

    def _decided(self, events: Sequence[Event]) -> None:
        for event in events:
            self.outputs.write(event)


async def as_fast_as_it_goes(whole: Whole, seconds: float, sizes: list[int]) -> None:
    """Feed for so long, waiting only for outputs and policy."""
    end = time.monotonic() + seconds
    for number, raw in enumerate(Traffic()):
        whole.feed(raw)
        if number % 64 == 0:
            await asyncio.sleep(0)
            while whole.events - delivered(whole) > MOST_WAITING:
                await asyncio.sleep(0.001)
            if number % 64_000 == 0:
                sizes.append(resident())
                whole.expire()
            if time.monotonic() > end:
                return


async def steadily(whole: Whole, seconds: float, rate: float, sizes: list[int]) -> None:
    """Feed so many events a second, whatever becomes of them."""
    start = time.monotonic()
    second = 0
    for raw in Traffic():
        whole.feed(raw)
        ahead = whole.events / rate - (time.monotonic() - start)
        if ahead > 0:
            await asyncio.sleep(ahead)
        if time.monotonic() - start > second:
            second += 1
            sizes.append(resident())
            whole.expire()
        if second > seconds:
            return


def delivered(whole: Whole) -> int:
    """Return how many events every output has settled."""
    figures = whole.outputs.figures().values()
    return min(told.produced - told.waiting for told in figures)


def resident() -> int:
    """Return how much memory this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Collector:
    """A collector of another process, which can be away for a while."""

    def __init__(self, directory: Path) -> None:
        """It keeps the ids that it got in a file there."""
        self._directory = directory
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, always at the same port."""
        command = [sys.executable, "-m", "benchmarks.collector", str(self.port)]
        self._process = subprocess.Popen(
            [*command, str(self._directory / "ids")], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def stop(self) -> None:
        """Be gone, in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def kept(self) -> int:
        """Return how many events it got, each once."""
        return len(set((self._directory / "ids").read_text().split()))


def run(seconds: float, rate: float | None) -> Account:
    """Feed for so long, as fast as it goes or at a rate with an outage, and account for it."""
    sizes: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        collector = Collector(directory)
        collector.start()
        try:
            with Whole(directory, collector.url) as whole:
                started, cpu = time.monotonic(), time.process_time()
                asyncio.run(_feed(whole, collector, seconds, rate, sizes))
                lasted, spent = time.monotonic() - started, time.process_time() - cpu
                return Account(
                    whole.events,
                    lasted,
                    spent,
                    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                    whole.lost(),
                    whole.outputs.figures(),
                    _kept(directory, collector),
                    tuple(sizes),
                )
        finally:
            collector.stop()


async def _feed(
    whole: Whole, collector: Collector, seconds: float, rate: float | None, sizes: list[int]
) -> None:
    loop = asyncio.get_running_loop()
    if rate is None:
        await as_fast_as_it_goes(whole, seconds, sizes)
    else:
        loop.call_later(seconds / 3, collector.stop)
        loop.call_later(seconds * 2 / 3, collector.start)
        await steadily(whole, seconds, rate, sizes)
    whole.close()


def _kept(directory: Path, collector: Collector) -> dict[str, int]:
    in_file = len({id for file in directory.glob("events.jsonl*") for id in _ids(file)})
    with closing(sqlite3.connect(directory / "history.db")) as history:
        (in_history,) = history.execute("SELECT count(*) FROM event").fetchone()
    return {"file": in_file, "history": in_history, "otlp": collector.kept()}


def _ids(file: Path) -> Iterator[str]:
    """Yield the ids in a file, also in one that was put aside and compressed."""
    if file.suffix == ".part":
        return  # what it is made of is still there
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line)["id"]


def told(account: Account) -> dict[str, Any]:
    """Return the account with what follows from it."""
    return {
        "events_per_second": round(account.events / account.seconds),
        "events_per_cpu_second": round(account.events / account.cpu_seconds),
        "rss_megabytes": round(account.rss / 1e6),
        "faults": account.faults,
        **msgspec.to_builtins(account),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second of a soak")
    options = parser.parse_args()
    account = run(options.soak or options.seconds, options.rate if options.soak else None)
    print(json.dumps(told(account)))
    return 1 if account.faults else 0


if __name__ == "__main__":
    sys.exit(main())
