"""How long questions to a history of a million events take.

`python -m benchmarks.history` measures only this, and needs no root; filling the history takes a
minute or two, and a gigabyte in the directory for temporary files.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.table import Cell, Table, median
from busted.agent.clock import rfc3339
from busted.events import Action, Event, PolicyDecision, Process, Prompt, Response, ToolCall
from busted.sinks.history import DAY_NS, History, Limits
from busted.sinks.history_query import Filter, HistoryReader

ASKED_FOR = 200
AGENTS = ("Claude Code", "Codex", "aider", None)
MODELS = ("claude-sonnet-4-5", "gpt-5", "gemini-2.5-pro")
# Made words, so that the text index has as many as one of a natural language.
WORDS = 20_000
WORDS_A_TEXT = 40
BATCH = 1000
# A word that one event in ten thousand has, so a hundred of a million.
RARE_EVERY = 10_000
RARE = "needle"
START_NS = 1_790_000_000 * 10**9
QUESTIONS = {
    f"the last {ASKED_FOR}": Filter(),
    "of one agent": Filter(agent="aider"),
    "of one agent, denied": Filter(agent="aider", decision="deny"),
    "of one model": Filter(model="gpt-5"),
    "of one hour": Filter(since_ns=START_NS + DAY_NS, until_ns=START_NS + DAY_NS + DAY_NS // 24),
    "with a rare word": Filter(text=RARE),
    "with a common word": Filter(text="word7"),
    "with two common words": Filter(text="word7 word8"),
}


def events(count: int) -> Iterator[Event]:
    """Yield events of three days, always the same."""
    chance = random.Random(1)
    words = [f"word{number}" for number in range(WORDS)]
    # As in texts of people, few words come often: half of them are of the first hundredth.
    often = words[: WORDS // 100]
    step = 3 * DAY_NS // count
    for number in range(count):
        said = chance.choices(often, k=WORDS_A_TEXT // 2) + chance.choices(
            words, k=WORDS_A_TEXT // 2
        )
        if number % RARE_EVERY == 0:
            said.append(RARE)
        yield Event(
            schema=1,
            id=f"{number:026d}",
            time=rfc3339(START_NS + number * step),
            host="host",
            process=Process(pid=number % 500, name="node", start_time="", agent=AGENTS[number % 4]),
            session_id=f"{number % 500}",
            exchange_id=f"{number // 2}",
            policy=PolicyDecision(
                decision="deny" if number % 1000 == 2 else "allow", reasons=(), id=str(number)
            ),
            action=_action(number, " ".join(said)),
        )


def _action(number: int, text: str) -> Action:
    model = MODELS[number % len(MODELS)]
    match number % 4:
        case 0:
            return ToolCall(name="read_file", arguments=f'{{"path": "{text}"}}', truncated=False)
        case 1:
            return Response(
                api="openai-chat",
                model=model,
                status=200,
                text=text,
                bytes=len(text),
                stream=False,
                truncated=False,
            )
    return Prompt(
        api="openai-chat",
        model=model,
        user_message=text,
        stream=False,
        bytes=len(text),
        truncated=False,
    )


def table(plan: Plan) -> Table:
    """Fill a history, ask, and return milliseconds by question."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "history.db"
        fill(path, plan.history_events)
        rows: list[tuple[Cell, ...]] = []
        for question, filter in QUESTIONS.items():
            rounds = [_asked(path, filter) for _ in range(plan.rounds)]
            rows.append((question, rounds[0][0], median(took for _, took in rounds)))
        megabytes = path.stat().st_size / 1e6
    return Table(
        f"Questions to a history of {plan.history_events:,} events",
        f"Milliseconds from opening the file to {ASKED_FOR} events at most, median of "
        f"{plan.rounds} rounds; the file has {megabytes:,.0f} MB. Goals: the last {ASKED_FOR} "
        "under 10, words under 100.",
        ("events", "found", "ms"),
        tuple(rows),
    )


def fill(path: Path, count: int) -> None:
    """Write so many events."""
    with closing(History(path, Limits(max_bytes=1 << 40))) as history:
        batch = []
        for event in events(count):
            batch.append(event)
            if len(batch) == BATCH:
                history.add(batch)
                batch = []
        history.add(batch)


def _asked(path: Path, filter: Filter) -> tuple[int, float]:
    start = time.perf_counter_ns()
    with closing(HistoryReader(path)) as reader:
        found = reader.last(filter, ASKED_FOR)
    return len(found), (time.perf_counter_ns() - start) / 1e6


if __name__ == "__main__":
    print(table(QUICK if "--quick" in sys.argv else FULL).markdown())
