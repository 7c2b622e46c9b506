"""The option `--config FILE` of commands that classify what is past.

Of the file only the tables of rows matter to them. They do not look for one by themselves, so that
their answers depend on what they are given alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from busted.agent import config_file
from busted.agent.config import DEFAULT_TABLES, Tables


def _tables(_: click.Context, __: click.Parameter, path: Path | None) -> Tables:
    return config_file.read(path).tables if path else DEFAULT_TABLES


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
