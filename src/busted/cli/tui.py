"""`busted tui`: the dashboard in a terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from pathlib import Path

import click

from busted.agent.dashboard import Dashboard
from busted.agent.demo import Demo
from busted.agent.live_feed import LiveFeed
from busted.agent.policies import MissingExtra
from busted.cli.history import history_option
from busted.cli.socket import socket_option
from busted.sinks.console import fields, head, visible


@click.command()
@socket_option
@history_option
@click.option(
    "--demo",
    is_flag=True,
    help="Play recordings instead: it needs no root, no agent and no monitor.",
)
@click.pass_context
def tui(context: click.Context, /, socket: Path, history: Path, demo: bool) -> None:
    """Show what agents say as it comes, in this terminal; ? tells the keys."""
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise click.UsageError("busted tui needs a terminal; busted tail does not.")
    try:
        from busted.ui.terminal.app import Terminal
        from busted.ui.terminal.rows import Texts
    except ImportError as error:
        raise MissingExtra(f"busted tui needs {error.name}: pip install 'busted[ui]'") from error
    with contextlib.ExitStack() as opened:
        # A line on standard error would stand in the middle of the screen; Health tells the same.
        logging.disable(logging.CRITICAL)
        opened.callback(logging.disable, logging.NOTSET)
        if demo:
            directory = opened.enter_context(tempfile.TemporaryDirectory(prefix="busted-demo-"))
            played = opened.enter_context(Demo(Path(directory)))
            socket, history = played.socket, played.history
        feed = opened.enter_context(contextlib.closing(LiveFeed(socket)))
        app = Terminal(Dashboard(socket, history, feed), Texts(head, fields, visible))
        app.run()
        code = app.returned or app.return_code or 0
    context.exit(code)
