"""`busted query`: what was said and done, found again in the history."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from busted.cli.history import chosen_filter, filter_options, history_option
from busted.cli.output import output_error, shown, standard_output
from busted.events import Event
from busted.sinks.history import agent, kind, subject, text_of
from busted.sinks.history_query import HistoryReader
from busted.sinks.writer import deliver

LIMIT = 200

COLUMNS: dict[str, Callable[[Event], object]] = {
    "time": lambda event: event.time,
    "type": kind,
    "agent": agent,
    "process": lambda event: event.process.name,
    "pid": lambda event: event.process.pid,
    "provider": lambda event: text_of(event.action, "provider"),
    "model": lambda event: text_of(event.action, "model"),
    "subject": subject,
    "decision": lambda event: event.policy.decision if event.policy else None,
    "session": lambda event: event.session_id,
    "exchange": lambda event: event.exchange_id,
    "id": lambda event: event.id,
}
# Would begin a formula where a CSV file is opened in a spreadsheet (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@click.command()
@click.argument("words", nargs=-1)
@history_option
@filter_options
@click.option(
    "--format",
    type=click.Choice(["text", "verbose", "json", "csv"]),
    default="text",
    show_default=True,
    help="A few lines an event, all there is, one JSON object a line, or a table.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=LIMIT,
    show_default=True,
    help="The newest so many.",
)
def query(words: tuple[str, ...], history: Path, format: str, limit: int, **chosen: Any) -> None:
    """Print events of the history that have all these WORDS, oldest first.

    "..." is a phrase and `word*` a beginning.
    """
    with closing(HistoryReader(history)) as reader:
        found = reader.last(chosen_filter(words, chosen), limit)
    # What the history holds is at the level that it was written with.
    show = csv_row if format == "csv" else shown(format, "full")
    head = [csv_line(COLUMNS)] if format == "csv" else []
    out = standard_output()
    try:
        for line in [*head, *map(show, found)]:
            deliver(out, line)
    except BrokenPipeError:
        return  # the reader has seen enough
    except OSError as error:
        raise output_error(error) from error


def csv_row(event: Event) -> bytes:
    """Return an event as one row of CSV (RFC 4180)."""
    return csv_line(column(event) for column in COLUMNS.values())


def csv_line(values: Iterable[object]) -> bytes:
    """Return values as a line of CSV, such that no spreadsheet takes one for a formula."""
    line = io.StringIO()
    texts = ("" if value is None else str(value) for value in values)
    csv.writer(line).writerow(f"'{text}" if text.startswith(_FORMULA) else text for text in texts)
    return line.getvalue().encode()
