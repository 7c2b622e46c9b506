"""The options of `busted monitor` for Prometheus, and the server while they are given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from busted.agent.policies import MissingExtra
from busted.cli.endpoint import Endpoint, endpoint
from busted.events import Event
from busted.sinks.channel import WrongOutput
from busted.sinks.metric_sources import Sources
from busted.sinks.settings import secret

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


metrics_option: Decorator = click.option(
    "--metrics",
    metavar="ADDRESS:PORT",
    callback=endpoint,
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


def check_metrics(chosen: Endpoint | None, token_file: Path | None) -> str | None:
    """Return the token. Raises UsageError where there should be one, or is one for nothing."""
    if chosen is None:
        if token_file:
            raise click.UsageError("--metrics-token-file needs --metrics.")
        return None
    if token_file is None and not chosen.is_loopback:
        raise click.UsageError("--metrics beyond loopback needs --metrics-token-file.")
    return secret("metrics-token", token_file, None)


@contextlib.contextmanager
def serving(
    chosen: Endpoint | None, token: str | None, sources: Sources
) -> Iterator[Callable[[Event], None]]:
    """Serve within the context; gives what counts an event.

    Raises MissingExtra, and WrongOutput where the address cannot be had.
    """
    if chosen is None:
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
        server = MetricsServer(metrics, chosen.host, chosen.port, token)
    except OSError as error:
        raise WrongOutput(
            f"cannot serve metrics on {chosen.host}:{chosen.port}: {error.strerror}"
        ) from error
    with contextlib.closing(server):
        yield metrics.write
