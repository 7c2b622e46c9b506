"""`busted ui`: the dashboard."""

from __future__ import annotations

import contextlib
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

import click
import msgspec

from busted.agent.demo import Demo
from busted.cli.serve import Choice, run_server, serve_options


@click.command()
@serve_options
@click.option(
    "--demo",
    is_flag=True,
    help="Play recordings instead: it needs no root, no agent and no monitor.",
)
@click.option("--open", "opens", is_flag=True, help="Open it in this machine's browser.")
def ui(demo: bool, opens: bool, **options: Any) -> None:
    """Serve the dashboard until Ctrl-C, with the API that it uses.

    Whoever can reach the address sees what the monitor shows: on loopback every user of this host,
    unless there is a token.
    """
    choice = Choice(**options)

    def told(where: str) -> str:
        if opens:
            webbrowser.open(where)
        return f"{where}/"

    with contextlib.ExitStack() as opened:
        if demo:
            directory = opened.enter_context(tempfile.TemporaryDirectory(prefix="busted-demo-"))
            played = opened.enter_context(Demo(Path(directory)))
            choice = msgspec.structs.replace(choice, socket=played.socket, history=played.history)
        run_server(choice, told)
