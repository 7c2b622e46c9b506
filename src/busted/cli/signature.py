"""`busted signature`: where the TLS functions of a program are, for one that has no symbols.

Left out: writing below /etc/busted; what `add` prints is to be looked at first.
"""

from __future__ import annotations

from pathlib import Path

import click

from busted.agent import signatures

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def signature() -> None:
    """Say where the TLS functions of a program are."""


@signature.command()
@click.argument("binary", type=_FILE)
@click.option("--symbols", type=_FILE, help="A file of debug information of the same build.")
@click.option("--name", help="What to call it; the file's name by default.")
def add(binary: Path, symbols: Path | None, name: str | None) -> None:
    """Print a signature of BINARY, by its symbols: good for the same build without them."""
    click.echo(signatures.make(binary, symbols, name), nl=False)


@signature.command()
@click.argument("binary", type=_FILE)
def check(binary: Path) -> None:
    """Print which TLS stacks would be read in BINARY, how they are found, and where."""
    for line in signatures.check(binary):
        click.echo(line)
