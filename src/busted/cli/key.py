"""`busted key rotate`: another key for the hashes of findings."""

from __future__ import annotations

import click

from busted import state
from busted.agent import host_key


@click.group(no_args_is_help=False)
def key() -> None:
    """Work with this host's key for the hashes and tokens of what is found."""


@key.command()
def rotate() -> None:
    """Replace the key by a new one, which monitors use from their next start on.

    No hash or token of before is given again: the same secret has another one from then on. The
    old key is gone.
    """
    path = host_key.rotate(state.directory())
    click.echo(f"{path} has a new key; restart `busted monitor` to use it")
