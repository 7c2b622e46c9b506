"""What judging an event takes: there and back to the policy's worker, alone and in batches.

`python -m benchmarks.policy` measures only this, and needs no root. The clock on the wall counts,
since a held request waits by it. Each policy is asked about recorded prompts; one event in ten is
denied.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.table import Cell, Table, median
from busted.policy.engine import MAX_BATCH_EVENTS, PolicyEngine

RULES = (10, 100)
_ROUNDS = 5
# What is denied must be found among the rules, wherever it stands.
_DENIED_MODEL = "model-7"


def rules(count: int) -> str:
    """Return a policy of so many rules, each of which looks at two fields."""
    reasons = "\n".join(
        f'reasons contains "rule {n}" if {{\n'
        f'\tinput.action.type == "Prompt"\n'
        f'\tinput.action.model == "model-{n}"\n}}'
        for n in range(count)
    )
    return (
        'package busted\n\ndefault decision := "audit"\n\n'
        f'decision := "deny" if count(reasons) > 0\n\n{reasons}\n'
    )


def event(model: str, size: int) -> bytes:
    """Return a prompt of a usual shape; `size` is the length of its text."""
    text = "x" * size
    return (
        '{"schema":1,"id":"01","time":"2026-11-23T10:00:00Z","host":"host","process":{"pid":7,'
        '"name":"codex","uid":1000,"exe":"/usr/bin/codex","agent":"codex"},"connection":{"id":"1",'
        '"sni":"api.openai.com"},"action":{"type":"Prompt","api":"openai.chat","provider":"openai",'
        f'"model":"{model}","messages":[{{"role":"user","content":"{text}"}}],"user_message":"'
        f'{text}","stream":true,"params":{{"max_tokens":1000}},"bytes":{size},"truncated":false}}}}'
    ).encode()


def table(plan: Plan) -> Table:
    """Measure, and return a row for each policy, size of a prompt and of a batch."""
    shipped = Path(__file__).parents[1] / "policies"
    policies: list[tuple[str, Path | str]] = [(f"{count} rules", rules(count)) for count in RULES]
    rows: list[tuple[Cell, ...]] = []
    for name, source in [*policies, ("all that are shipped", shipped)]:
        # The deadline is not what is measured.
        with PolicyEngine(source, deadline_seconds=10.0) as engine:
            for size in (400, 16_384):
                models = [_DENIED_MODEL if n % 10 == 0 else "gpt-4o-mini" for n in range(10)]
                events = [event(model, size) for model in models]
                rows += _rows(engine, plan, name, size, events)
    return Table(
        "Judging one event",
        f"Milliseconds from asking to the answer, and decisions a second when {MAX_BATCH_EVENTS} "
        f"are asked for at once: the median of {_ROUNDS} rounds, worker process included. Goals: "
        "p50 under 0.4 ms and p99 under 3 ms for 10 and for 100 rules; 8,000 decisions a second.",
        ("policy", "text B", "p50 ms", "p99 ms", "alone: a second", "batched: a second"),
        tuple(rows),
    )


def _rows(
    engine: PolicyEngine, plan: Plan, name: str, size: int, events: list[bytes]
) -> list[tuple[Cell, ...]]:
    alone, batched = [], []
    batch = [events[n % len(events)] for n in range(MAX_BATCH_EVENTS)]
    for _ in range(_ROUNDS):
        times = []
        for number in range(plan.policy_events):
            started = time.perf_counter()
            engine.evaluate(events[number % len(events)])
            times.append((time.perf_counter() - started) * 1e3)
        alone.append((statistics.median(times), _percentile(times, 99)))
        started = time.perf_counter()
        batches = max(plan.policy_events // len(batch), 1)
        for _ in range(batches):
            engine.evaluate_batch(batch)
        batched.append(batches * len(batch) / (time.perf_counter() - started))
    p50 = median(pair[0] for pair in alone)
    p99 = median(pair[1] for pair in alone)
    return [(name, size, p50, p99, 1e3 / p50, median(batched))]


def _percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    options = parser.parse_args()
    print(table(QUICK if options.quick else FULL).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
