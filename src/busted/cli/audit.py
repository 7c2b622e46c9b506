"""`busted audit verify`: is the audit log as it was written?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from busted.agent.audit_check import verify as check

FAILED = 1


@click.group(no_args_is_help=False)
def audit() -> None:
    """Work with audit logs, as `busted monitor --audit-log FILE` writes them."""


@audit.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE...",
)
@click.option(
    "--known",
    metavar="HASH",
    help="The hash of a line that must be in it, kept elsewhere: tells a log that somebody wrote "
    "anew.",
)
def verify(files: tuple[Path, ...], known: str | None) -> None:
    """Check that no line of a log was changed, removed, put in, moved or cut.

    Names the file that is being written, and those before it, in any order. Exits with 1 when
    something is wrong.
    """
    found = check(files, known)
    for damage in found.damages:
        place = f"{damage.file}:{damage.line}" if damage.line else str(damage.file)
        click.echo(f"{place}: {damage.what}")
    if found.cut:
        click.echo(
            f"{found.cut}: its last line was cut short by a crash, before it counted as written"
        )
    if known and not found.known_found:
        click.echo(f"no line has the hash {known}")
    if found.first > 1:
        click.echo(f"begins with line number {found.first:,}; what came before was not given")
    click.echo(
        f"{found.lines:,} lines, the last number {found.last.number:,}, hash {found.last.hash}"
    )
    if found.damages or (known and not found.known_found):
        sys.exit(FAILED)
