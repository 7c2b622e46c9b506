"""`busted export`: the history for other tools and for people."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from busted.agent.exports import FORMATS, pieces
from busted.cli.history import chosen_filter, filter_options, history_option
from busted.cli.output import output_error, standard_output
from busted.sinks.history_query import HistoryReader
from busted.sinks.writer import deliver


@click.command()
@click.argument("words", nargs=-1)
@history_option
@filter_options
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="jsonl",
    show_default=True,
    help="One JSON object a line, an HTTP archive, or a transcript to read.",
)
def export(words: tuple[str, ...], history: Path, format: str, **chosen: Any) -> None:
    """Print all events of the history that have all these WORDS, oldest first."""
    with closing(HistoryReader(history)) as reader:
        out = standard_output()
        try:
            for piece in pieces(format, reader.every(chosen_filter(words, chosen))):
                deliver(out, piece)
        except BrokenPipeError:
            return  # the reader has seen enough
        except OSError as error:
            raise output_error(error) from error
