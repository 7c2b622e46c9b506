"""`busted tail`: the newest events of the history, and those that come."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from busted.cli.history import chosen_filter, filter_options, history_option
from busted.cli.output import format_option, output_error, shown, standard_output
from busted.sinks.history_query import Filter, HistoryReader
from busted.sinks.writer import Render, deliver

LAST = 10
# Asked for new ones; the answer to "none" takes some 20 us.
POLL_SECONDS = 0.2
# At a time: the first look at a big history must not take all of memory.
AT_ONCE = 1000


@click.command()
@click.argument("words", nargs=-1)
@history_option
@filter_options
@format_option
@click.option(
    "--lines", "last", type=click.IntRange(min=0), default=LAST, show_default=True, help="Before."
)
def tail(words: tuple[str, ...], history: Path, format: str, last: int, **chosen: Any) -> None:
    """Print the newest events of the history that have all these WORDS, and go on with new ones."""
    with closing(HistoryReader(history)) as reader:
        try:
            _follow(reader, chosen_filter(words, chosen), last, shown(format, "full"))
        except BrokenPipeError:
            return  # the reader has seen enough
        except OSError as error:
            raise output_error(error) from error


def _follow(reader: HistoryReader, filter: Filter, last: int, show: Render) -> None:
    out, seen = standard_output(), reader.last_number()
    for event in reader.last(filter, last) if last else ():
        deliver(out, show(event))
    while True:
        newest = reader.last_number()
        while seen < newest:
            until = min(newest, seen + AT_ONCE)
            for event in reader.arrived(filter, seen, until):
                deliver(out, show(event))
            seen = until
        time.sleep(POLL_SECONDS)
