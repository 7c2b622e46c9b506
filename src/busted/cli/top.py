"""`busted top`: which agents, models and tools are busy, and what they cost."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import click

from busted.cli.history import history_option
from busted.sinks.history import MINUTE_NS
from busted.sinks.history_query import Filter, HistoryReader, Total

REFRESH_SECONDS = 2.0
ROWS = 8
_WIDTH = 32
_FIGURES = ("events", "tokens in", "out", "cost $", "errors", "latency s")


@click.command()
@history_option
@click.option(
    "--minutes",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="Of the last so many minutes.",
)
@click.option("--once", is_flag=True, help="Print it once, and end.")
def top(history: Path, minutes: int, once: bool) -> None:
    """Show the busiest agents, models and tools, anew every two seconds."""
    with closing(HistoryReader(history)) as reader:
        while True:
            page = overview(reader, minutes, time.time_ns())
            if once:
                click.echo(page)
                return
            click.clear()
            click.echo(page)
            time.sleep(REFRESH_SECONDS)


def overview(reader: HistoryReader, minutes: int, now_ns: int) -> str:
    """Return the page for the minutes before `now_ns`, the current one included."""
    until_ns = now_ns + MINUTE_NS
    since_ns = until_ns - minutes * MINUTE_NS
    parts = [f"The last {minutes} minutes"]
    for group in ("agent", "model"):
        rows = [
            (name or "(none)", *figures)
            for name, figures in _summed(reader.totals(group, since_ns, until_ns))
        ]
        parts.append(table((group, *_FIGURES), rows))
    tools = reader.subjects(Filter(since_ns=since_ns, type="ToolCall"), ROWS)
    parts.append(table(("tool", "calls"), [(name, f"{times:,}") for name, times in tools]))
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return lines of columns: the first to the left, figures to the right."""
    lines = [head, *rows]
    return "\n".join(
        f"{_shown(first):{_WIDTH}}" + "".join(f"{figure:>12}" for figure in figures)
        for first, *figures in lines
    )


def _shown(name: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:_WIDTH]


def _summed(totals: Iterable[Total]) -> list[tuple[str, tuple[str, ...]]]:
    groups: dict[str, list[Total]] = defaultdict(list)
    for total in totals:
        groups[total.group].append(total)
    busiest = sorted(groups.items(), key=lambda group: -sum(one.events for one in group[1]))
    return [(name, _figures(group)) for name, group in busiest[:ROWS]]


def _figures(group: list[Total]) -> tuple[str, ...]:
    timed = sum(one.timed for one in group)
    latency = sum(one.latency for one in group) / timed if timed else None
    return (
        f"{sum(one.events for one in group):,}",
        f"{sum(one.input for one in group):,}",
        f"{sum(one.output for one in group):,}",
        f"{sum(one.cost for one in group):.4f}",
        f"{sum(one.errors for one in group):,}",
        "" if latency is None else f"{latency:.2f}",
    )
