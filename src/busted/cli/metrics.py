"""The options of `busted monitor` for Prometheus, and the server while they are given."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from busted.agent.policies import MissingExtra
from busted.events import Event
from busted.sinks.channel import WrongOutput
from busted.sinks.metric_sources import Sources
from busted.sinks.settings import secret

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can reach it."""
        return ipaddress.ip_address(self.host).is_loopback


def _endpoint(_: click.Context, __: click.Parameter, text: str | None) -> Endpoint | None:
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        if not colon or not 0 < int(port) < 1 << 16:
            raise ValueError
    except ValueError as error:
        raise click.BadParameter(f"{text} is not ADDRESS:PORT, as 127.0.0.1:9464 is.") from error
    return Endpoint(str(address), int(port))


metrics_option: Decorator = click.option(
    "--metrics",
    metavar="ADDRESS:PORT",
    callback=_endpoint,
    help="Serve figures for Prometheus there; on another address than loopback with a token.",
)
metrics_token_option: Decorator = click.option(
    "--metrics-token-file",
    "metrics_token",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Whoever asks for the figures must send what this file holds, as a bearer token.",
)


bpf_stats_option: Decorator = click.option(
    "--bpf-stats",
    is_flag=True,
    help="Have the kernel count how often eBPF programs run and how long, for --metrics and "
    "`busted status`; it costs every run of a program some 20 ns.",
)


def check_metrics(endpoint: Endpoint | None, token_file: Path | None) -> str | None:
    """Return the token. Raises UsageError where there should be one, or is one for nothing."""
    if endpoint is None:
        if token_file:
            raise click.UsageError("--metrics-token-file needs --metrics.")
        return None
    if token_file is None and not endpoint.is_loopback:
        raise click.UsageError("--metrics beyond loopback needs --metrics-token-file.")
    return secret("metrics-token", token_file, None)


@contextlib.contextmanager
def serving(
    endpoint: Endpoint | None, token: str | None, sources: Sources
) -> Iterator[Callable[[Event], None]]:
    """Serve within the context; gives what counts an event.

    Raises MissingExtra, and WrongOutput where the address cannot be had.
    """
    if endpoint is None:
        yield lambda event: None
        return
    try:
        from busted.sinks.metrics import Metrics, MetricsServer
    except ImportError as error:
        raise MissingExtra(
            "--metrics needs the extra `metrics`: pip install 'busted[metrics]'"
        ) from error
    metrics = Metrics(sources)
    try:
        server = MetricsServer(metrics, endpoint.host, endpoint.port, token)
    except OSError as error:
        raise WrongOutput(
            f"cannot serve metrics on {endpoint.host}:{endpoint.port}: {error.strerror}"
        ) from error
    with contextlib.closing(server):
        yield metrics.write
