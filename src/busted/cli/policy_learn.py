"""`busted policy learn`: a policy that allows what was seen, and denies the rest."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import click

from busted.agent.config import Tables
from busted.agent.event_files import read_events
from busted.cli.configuration import config_option
from busted.policy.learn import learn, module


class LearnError(Exception):
    """What was learned cannot be kept."""


@click.command("learn")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the policy to a new file.  [default: standard output]",
)
@config_option
def command(files: tuple[Path, ...], output: Path | None, tables: Tables) -> None:
    """Write a policy that allows, by agent, what files of events show.

    Files are recordings, histories or JSON lines. What they show is providers, models, hosts, MCP
    servers and tools; everything else is denied. Look at the table before you use it.
    """
    found, count = learn(itertools.chain.from_iterable(read_events(f, tables) for f in files))
    if not count:
        raise LearnError(f"{', '.join(map(str, files))}: nothing in it to learn from")
    text = module(found, count)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        # Never over a policy that somebody has worked on.
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LearnError(f"cannot write {output}: {error.strerror}") from error
