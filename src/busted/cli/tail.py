"""`busted tail`: the newest events, and those that come: of the monitor, or of the history."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from busted.agent import socket_client
from busted.agent.socket_client import SocketError
from busted.agent.socket_messages import MAX_LAST, Control, EventsRequest
from busted.cli.history import chosen_filter, filter_options, history_option
from busted.cli.output import format_option, output_error, shown, standard_output
from busted.cli.socket import socket_option
from busted.events import Event
from busted.sinks.history_query import Filter, HistoryReader
from busted.sinks.writer import Render, deliver

LAST = 10
# Asked for new ones; the answer to "none" takes some 20 us.
POLL_SECONDS = 0.2
# At a time: the first look at a big history must not take all of memory.
AT_ONCE = 1000

_EVENT = msgspec.json.Decoder(Event)


@click.command()
@click.argument("words", nargs=-1)
@history_option
@socket_option
@filter_options
@format_option
@click.option(
    "--lines",
    "last",
    type=click.IntRange(0, MAX_LAST),
    default=LAST,
    show_default=True,
    help="Before.",
)
@click.pass_context
def tail(
    context: click.Context,
    /,
    words: tuple[str, ...],
    history: Path,
    socket: Path,
    format: str,
    last: int,
    **chosen: Any,
) -> None:
    """Print the newest events that have all these WORDS, and go on with new ones.

    The monitor is asked where one listens, unless --history is given.
    """
    filter, show = chosen_filter(words, chosen), shown(format, "full")
    chose_history = context.get_parameter_source("history") is ParameterSource.COMMANDLINE
    try:
        if not chose_history and socket_client.is_there(socket):
            _listen(socket, filter, last, show)
            return
        with closing(HistoryReader(history)) as reader:
            _follow(reader, filter, last, show)
    except BrokenPipeError:
        return  # the reader has seen enough
    except OSError as error:
        raise output_error(error) from error


def _listen(socket: Path, filter: Filter, last: int, show: Render) -> None:
    out = standard_output()
    with socket_client.following(socket, EventsRequest(last, filter)) as lines:
        for line in lines:
            match line:
                case bytes():
                    deliver(out, show(_EVENT.decode(line)))
                case Control(control="dropped"):
                    raise SocketError(f"{line.count:,} events were missed: {line.why}")
    click.echo("busted: the monitor ended", err=True)


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
