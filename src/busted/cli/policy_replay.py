"""`busted policy replay`: what a policy would have denied or audited, counted."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from busted.agent.config import Tables
from busted.agent.event_files import read_events
from busted.agent.policies import judging
from busted.agent.policy_replay import Row, differences, tally
from busted.cli.configuration import config_option
from busted.cli.policy_options import (
    answer_format_option,
    deny_on_error_option,
    directory_option,
)
from busted.events import Decision
from busted.sinks.console import visible


@click.command("replay")
@directory_option
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="A recording, a history, or JSON lines of events.",
)
@click.option(
    "--diff",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Another policy: tell only what --dir judges otherwise than this one.",
)
@answer_format_option
@deny_on_error_option
@config_option
def command(
    directory: Path,
    against: Path,
    diff: Path | None,
    format: str,
    on_error: Decision,
    tables: Tables,
) -> None:
    """Tell what a policy would have denied or audited, by agent and rule."""
    events = read_events(against, tables)
    counts: dict[Decision, int] = {}
    with contextlib.ExitStack() as opened:
        judge = opened.enter_context(judging(directory, on_error))
        if diff:
            other = opened.enter_context(judging(diff, on_error))
            rows = differences(judge, other, events)
        else:
            rows = tally(judge, events, counts)
        failed = judge.failed
    if format == "json":
        for row in rows:
            click.echo(msgspec.json.encode(row))
        return
    for line in _table(rows):
        click.echo(line)
    if diff:
        click.echo(f"{sum(row.count for row in rows):,} events are judged otherwise")
    else:
        total = sum(counts.values())
        denied, audited = counts.get("deny", 0), counts.get("audit", 0)
        click.echo(f"{total:,} events: {denied:,} denied, {audited:,} audited")
    for kind, count in failed.items():
        click.echo(f"{count:,} {kind}: --on-error decided", err=True)


def _table(rows: Sequence[Row]) -> list[str]:
    """Return rows as lines of a table, the columns as wide as they must be."""
    if not rows:
        return []
    cells = [("DECISION", "COUNT", "AGENT", "ACTION", "RULE", "REASON")]
    for row in rows:
        decision = f"{row.before} -> {row.decision}" if row.before else row.decision
        rule = row.file or row.rule or ""
        reason = row.reasons[0] if row.reasons else ""
        told = (decision, f"{row.count:,}", row.agent, row.action, rule, reason)
        cells.append(tuple(map(visible, told)))  # type: ignore[arg-type]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
