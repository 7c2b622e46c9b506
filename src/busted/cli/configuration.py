"""The option `--config FILE`, which all commands that classify have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from busted.agent.config import read_options
from busted.classifier.options import DEFAULT_OPTIONS, Options


def _options(_: click.Context, __: click.Parameter, path: Path | None) -> Options:
    return read_options(path) if path else DEFAULT_OPTIONS


config_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--config",
    "options",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_options,
    help="Add the providers and prices of a configuration file (TOML).",
)
