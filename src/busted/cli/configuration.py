"""The option `--config FILE`, which all commands that classify have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from busted.agent.config import DEFAULT_TABLES, Tables, read_tables


def _tables(_: click.Context, __: click.Parameter, path: Path | None) -> Tables:
    return read_tables(path) if path else DEFAULT_TABLES


config_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--config",
    "tables",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_tables,
    help="Add the providers, prices, agents, files and rules of a configuration file (TOML).",
)


def keyed(tables: Tables, key: bytes) -> Tables:
    """Return the tables with the key that makes hashes and tokens of what is found."""
    options = tables.options
    return msgspec.structs.replace(
        tables,
        options=msgspec.structs.replace(options, scanner=options.scanner.with_key(key)),
    )
