"""`python -m tests.identity.report`: precision and recall by scenario, time and memory.

Time is this thread's processor time for `observe`, of all scenarios again and again with trackers
that have seen them and new ones. Memory is what 10,000 identities take, found from as many
configurations with five events each.
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

from busted.events import Event
from busted.identity.tracker import IdentityTracker
from tests.identity.measure import Score, matched, score, tiny_model, tracker
from tests.identity.scenarios import LIMITS, SCENARIOS, Labelled, Run, played

GOAL = 0.98
ROUNDS = 7
IDENTITIES = 10_000


def main() -> int:
    """Print the report; 1 where a goal for precision or recall is missed."""
    print(f"{'scenario':28} agents found events without precision recall")
    scores = _scores(SCENARIOS)
    both = sum(one.both for one in scores.values())
    precision = both / sum(one.together for one in scores.values())
    recall = both / sum(one.same for one in scores.values())
    print(f"{'all of these':28} {'':27} {precision:9.4f} {recall:6.4f}   (goal {GOAL})")
    print("beside them, what the rules get wrong:")
    _scores(LIMITS)
    print("with a model that was made for these, and knows which words mean the same:")
    with tempfile.TemporaryDirectory() as directory:
        embed = tiny_model(Path(directory))
        with_model = _scores(SCENARIOS, embed, shown=False) | _scores(LIMITS, embed)
    joined = sum(one.both for one in with_model.values())
    wrongly = sum(one.together for one in with_model.values()) - joined
    print(f"{'pairs that it joins wrongly, of all of these':60} {wrongly}")
    events = [event for scenario in SCENARIOS.values() for _, event in scenario()]
    new, seen = _microseconds(events)
    print(f"observe: {seen:.1f} us an event, {new:.1f} us where all is new (goal 30)")
    print(f"memory of {IDENTITIES:,} identities: {_megabytes():.1f} MB (goal 30)")
    return int(min(precision, recall) < GOAL)


def _scores(
    scenarios: Mapping[str, Callable[[], list[Labelled]]],
    embed: Callable[[str], bytes] | None = None,
    shown: bool = True,
) -> dict[str, Score]:
    scores = {}
    for name, scenario in scenarios.items():
        one = scores[name] = score(matched(scenario(), tracker(embed)))
        if not shown:
            continue
        print(
            f"{name:28} {one.agents:6} {one.identities:5} {one.events:6} {one.without:7} "
            f"{one.precision:9.4f} {one.recall:6.4f}"
        )
    return scores


def _microseconds(events: list[Event]) -> tuple[float, float]:
    rounds = []
    for _ in range(ROUNDS):
        known = tracker()
        rounds.append((_observed(known, events), _observed(known, events)))
    new, seen = zip(*rounds, strict=True)
    return statistics.median(new), statistics.median(seen)


def _observed(known: IdentityTracker, events: list[Event]) -> float:
    observe = known.observe
    start = time.thread_time_ns()
    for event in events:
        observe(event)
    return (time.thread_time_ns() - start) / len(events) / 1e3


def _megabytes() -> float:
    gc.collect()
    tracemalloc.start()
    known = tracker()
    for i in range(IDENTITIES):
        run = Run(
            label="",
            capture="openai_sync",
            argv=("python3", f"/srv/agents/{i % 1000:04}/run.py"),
            number=i,
            system_prompt=f"You are agent number {i}, and what you do is {i * 7919 % 10007}.",
        )
        for _, event in played(run, i * 0.1):
            known.observe(event)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(known) == IDENTITIES
    return held / 1e6


if __name__ == "__main__":
    sys.exit(main())
