"""`busted serve`: what the monitor tells and its history keeps, over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from busted.agent.dashboard import Dashboard
from busted.agent.endpoint import Endpoint
from busted.agent.live_feed import LiveFeed
from busted.agent.policies import MissingExtra
from busted.cli.endpoint import endpoint
from busted.cli.history import history_option
from busted.cli.socket import socket_option
from busted.sinks.settings import secret

LISTEN = "127.0.0.1:8477"
# Twenty tabs with a stream each and some requests beside.
MAX_CONNECTIONS = 256
# Streams never end by themselves.
STOP_SECONDS = 2


_OPTIONS = (
    click.option(
        "--listen",
        metavar="ADDRESS:PORT",
        callback=endpoint,
        default=LISTEN,
        show_default=True,
        help="Where; on another address than loopback with a token.",
    ),
    socket_option,
    history_option,
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Whoever asks must send what this file holds, as a bearer token.",
    ),
    click.option(
        "--allow-host",
        "hosts",
        multiple=True,
        metavar="NAME",
        help="Also answer requests for this name of the server, as behind a proxy; repeatable.",
    ),
)


def serve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says where to serve, what, and to whom."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@serve_options
def serve(
    listen: Endpoint, socket: Path, history: Path, token_file: Path | None, hosts: tuple[str, ...]
) -> None:
    """Serve the API of docs/api.md until Ctrl-C. It needs no privileges but to read both files.

    Whoever can reach the address sees what the monitor shows: on loopback every user of this host,
    unless there is a token.
    """
    run_server(listen, socket, history, token_file, hosts, lambda where: f"{where}/api/v1")


def run_server(
    listen: Endpoint,
    socket: Path,
    history: Path,
    token_file: Path | None,
    hosts: tuple[str, ...],
    told: Callable[[str], str],
) -> None:
    """Serve until Ctrl-C; `told` is given the address and returns the one to print."""
    if token_file is None and not listen.is_loopback:
        raise click.UsageError("--listen beyond loopback needs --token-file.")
    token = secret("token", token_file, None)
    try:
        import uvicorn

        from busted.ui.server import Access, application
    except ImportError as error:
        raise MissingExtra(f"busted serve needs {error.name}: pip install 'busted[ui]'") from error
    access = Access(frozenset({listen.host, *(host.lower() for host in hosts)}), token)
    with contextlib.closing(LiveFeed(socket)) as feed, listen.open() as listener:
        where = msgspec.structs.replace(listen, port=listener.getsockname()[1])
        click.echo(f"busted: serving on {told(f'http://{where}')}", err=True)
        config = uvicorn.Config(
            application(Dashboard(socket, history, feed), access),
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])
