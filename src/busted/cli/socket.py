"""The monitor's socket on the command line: where it listens, and where it is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from busted.agent.content import Level
from busted.agent.local_socket import Answers, Asked, SocketChoice, open_socket
from busted.agent.socket_messages import DEFAULT_DIRECTORY, SOCKET_NAME, default_socket
from busted.cli.output import Output
from busted.sinks.recent import Recent

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

socket_option: Decorator = click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=default_socket,
    metavar="PATH",
    help="Where the monitor listens that is asked, as with `busted monitor --socket PATH`.  "
    f"[default: {DEFAULT_DIRECTORY / SOCKET_NAME}]",
)


@contextlib.contextmanager
def listening(
    choice: SocketChoice | None,
    monitor: Asked,
    output: Output,
    recent: Recent | None,
    level: Level,
    history: Path | None,
    originals: Recent | None = None,
) -> Iterator[None]:
    """Listen within the context, where that was chosen; `recent` and `originals` are what
    `output` fills.

    Raises WrongOutput.
    """
    if choice is None or recent is None:
        yield
        return
    answers = Answers(monitor, level, output.figures, originals)
    server = open_socket(choice, answers, recent, output.filter, level, history)
    with contextlib.closing(server):
        yield
