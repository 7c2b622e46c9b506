"""`busted policy check`: what is wrong with a policy, by file, line and column."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from busted.agent.policies import require_policy
from busted.cli.policy_options import answer_format_option
from busted.events import Event

FAILED = 1


@click.command("check")
@click.argument("directory", type=click.Path(path_type=Path))
@answer_format_option
def command(directory: Path, format: str) -> None:
    """Say what is wrong with a policy, without evaluating it.

    Errors keep it from being loaded: syntax, functions that there are not. Warnings are most
    likely mistakes: fields that no event has, rules that nothing can reach. Exits with 1 when there
    is an error.
    """
    require_policy()
    from busted.policy.check import check

    problems = check(directory, msgspec.json.schema(Event))
    for problem in problems:
        if format == "json":
            click.echo(msgspec.json.encode(problem))
        else:
            click.echo(str(problem))
    if any(problem.severity == "error" for problem in problems):
        sys.exit(FAILED)
    if format == "text" and not problems:
        click.echo(f"{directory}: nothing to complain of")
