"""`busted export`: the history for other tools and for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import msgspec

from busted.cli.history import chosen_filter, filter_options, history_option
from busted.cli.output import output_error, standard_output
from busted.events import Event
from busted.sinks import har, jsonl, transcript
from busted.sinks.history_query import HistoryReader
from busted.sinks.writer import deliver


@click.command()
@click.argument("words", nargs=-1)
@history_option
@filter_options
@click.option(
    "--format",
    type=click.Choice(["jsonl", "har", "markdown"]),
    default="jsonl",
    show_default=True,
    help="One JSON object a line, an HTTP archive, or a transcript to read.",
)
def export(words: tuple[str, ...], history: Path, format: str, **chosen: Any) -> None:
    """Print all events of the history that have all these WORDS, oldest first."""
    with closing(HistoryReader(history)) as reader:
        out = standard_output()
        try:
            for piece in _pieces(format, reader.every(chosen_filter(words, chosen))):
                deliver(out, piece)
        except BrokenPipeError:
            return  # the reader has seen enough
        except OSError as error:
            raise output_error(error) from error


def _pieces(format: str, events: Iterator[Event]) -> Iterator[bytes]:
    if format == "jsonl":
        yield from map(jsonl.render, events)
    elif format == "markdown":
        # Half a surrogate pair, which JSON may carry, has no UTF-8.
        yield from (text.encode(errors="replace") for text in transcript.markdown(events))
    else:
        yield msgspec.json.encode(har.archive(events)) + b"\n"
