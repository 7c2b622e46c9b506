"""`busted version`."""

from __future__ import annotations

import click

from busted import __version__


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"busted {__version__}")
