"""`busted serve`: what the monitor tells and its history keeps, over HTTP."""

from __future__ import annotations

import contextlib
import ssl
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
from busted.sinks.channel import WrongOutput
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
        "--user-header",
        metavar="NAME",
        help="Where a proxy in front that sends the token says who signed in; for the audit log.",
    ),
    click.option(
        "--tls-certificate",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Serve HTTPS, with this chain of certificates (PEM).",
    ),
    click.option(
        "--tls-key",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The key of the certificate, where that file does not hold it.",
    ),
    click.option(
        "--plain-http",
        is_flag=True,
        help="Serve without TLS beyond loopback, where something else encrypts.",
    ),
    click.option(
        "--allow-host",
        "hosts",
        multiple=True,
        metavar="NAME",
        help="Also answer requests for this name of the server, as behind a proxy; repeatable.",
    ),
)


class Choice(msgspec.Struct, frozen=True):
    """What the options say: where to serve, what, and to whom."""

    listen: Endpoint
    socket: Path
    history: Path
    token_file: Path | None
    user_header: str | None
    tls_certificate: Path | None
    tls_key: Path | None
    plain_http: bool
    hosts: tuple[str, ...]

    def check(self) -> None:
        """Raise UsageError where something is missing that it takes."""
        if self.token_file is None and not self.listen.is_loopback:
            raise click.UsageError("--listen beyond loopback needs --token-file.")
        if not (self.listen.is_loopback or self.tls_certificate or self.plain_http):
            raise click.UsageError(
                "--listen beyond loopback needs --tls-certificate, or --plain-http where something "
                "else encrypts."
            )
        if self.user_header and self.token_file is None:
            raise click.UsageError("--user-header is of no use without --token-file.")
        if self.tls_key and self.tls_certificate is None:
            raise click.UsageError("--tls-key is of no use without --tls-certificate.")


def serve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says where to serve, what, and to whom."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@serve_options
def serve(**options: Any) -> None:
    """Serve the API of docs/api.md until Ctrl-C. It needs no privileges but to read both files.

    Whoever can reach the address sees what the monitor shows: on loopback every user of this host,
    unless there is a token.
    """
    run_server(Choice(**options), lambda where: f"{where}/api/v1")


def run_server(choice: Choice, told: Callable[[str], str]) -> None:
    """Serve until Ctrl-C; `told` is given the address and returns the one to print."""
    choice.check()
    token = secret("token", choice.token_file, None)
    try:
        import uvicorn

        from busted.ui.server import Access, application
    except ImportError as error:
        raise MissingExtra(f"busted serve needs {error.name}: pip install 'busted[ui]'") from error
    listen = choice.listen
    names = frozenset({listen.host, *(host.lower() for host in choice.hosts)})
    access = Access(names, token, choice.user_header)
    tls = _tls(choice)
    with contextlib.closing(LiveFeed(choice.socket)) as feed, listen.open() as listener:
        where = msgspec.structs.replace(listen, port=listener.getsockname()[1])
        scheme = "https" if tls else "http"
        click.echo(f"busted: serving on {told(f'{scheme}://{where}')}", err=True)
        config = uvicorn.Config(
            application(Dashboard(choice.socket, choice.history, feed), access),
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            # Else whoever is on this host could say that they ask from elsewhere.
            proxy_headers=False,
            lifespan="off",
            ws="none",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
            **tls,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _tls(choice: Choice) -> dict[str, Any]:
    """Return what uvicorn needs for TLS. Raises WrongOutput where it cannot be used."""
    certificate, key = choice.tls_certificate, choice.tls_key
    if certificate is None:
        return {}
    try:
        # To say what is wrong before anything listens.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise WrongOutput(f"cannot use the certificate {certificate}: {why}") from error
    return {"ssl_certfile": certificate, "ssl_keyfile": key}
