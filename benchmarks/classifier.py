"""What `classify` takes of one processor, by kind of payload, and the monitor's reader for one
exchange.

`python -m benchmarks.classifier` measures only this, and needs no root. Every payload is
classified with the search for personal data and secrets, in each round a few times in a row;
only this thread's processor time counts.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.payloads import Payload, mix
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.table import Cell, Table, median
from busted.classifier import Direction, classify
from busted.classifier.connection import ConnectionReader

_BY_KIND = {payload.kind: payload.data for payload in mix()}
EXCHANGE = (_BY_KIND["OpenAI chat, 1 KB"], _BY_KIND["20 SSE chunks with head"])


def table(plan: Plan) -> Table:
    """Measure, and return microseconds by kind, of the mix the mean and how many a second."""
    payloads = mix()
    for payload in payloads:
        _nanoseconds(payload, 1)  # what is made on first use is not the payload's cost
    rounds = [
        [_nanoseconds(payload, plan.classify_calls) / 1e3 for payload in payloads]
        for _ in range(plan.classify_rounds)
    ]
    rows: list[tuple[Cell, ...]] = [
        (payload.kind, len(payload.data), median(times), 1e6 / median(times))
        for payload, times in zip(payloads, zip(*rounds, strict=True), strict=True)
    ]
    exchanges = [_exchange_nanoseconds(plan.classify_calls) / 1e3 for _ in rounds]
    mean = median(sum(times) / len(payloads) for times in rounds)
    exchange = median(exchanges)
    size = sum(len(payload.data) for payload in payloads) / len(payloads)
    return Table(
        "Classifying one buffer, the search for personal data included",
        f"One thread's processor time, median of {plan.classify_rounds} rounds. Goals: 30,000 a "
        "second of the mix, and no kind above 150 us. The exchange is the chat of 1 KB and the 20 "
        "chunks on a connection of their own, each in one piece.",
        ("payload", "bytes", "us", "a second"),
        (
            *rows,
            ("the mix", size, mean, 1e6 / mean),
            (
                "an exchange, as the monitor reads it",
                sum(map(len, EXCHANGE)),
                exchange,
                1e6 / exchange,
            ),
        ),
    )


def _nanoseconds(payload: Payload, calls: int) -> float:
    """Return what one of `calls` takes on average."""
    start = time.thread_time_ns()
    for _ in range(calls):
        classify(payload.data, payload.direction, payload.sni)
    return (time.thread_time_ns() - start) / calls


def _exchange_nanoseconds(calls: int) -> float:
    """Return what a connection with one exchange takes on average, of `calls`."""
    asked, answered = EXCHANGE
    start = time.thread_time_ns()
    for _ in range(calls):
        reader = ConnectionReader("api.openai.com")
        reader.feed(Direction.WRITE, asked, 1)
        reader.feed(Direction.READ, answered, 2)
    return (time.thread_time_ns() - start) / calls


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifier", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    options = parser.parse_args()
    print(table(QUICK if options.quick else FULL).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
