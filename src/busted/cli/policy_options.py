"""The options that name a policy, of every command that asks one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

policy_option: Decorator = click.option(
    "--policy",
    type=click.Path(exists=True, path_type=Path),
    metavar="DIRECTORY",
    help="Ask this policy about every event: a directory of Rego, or one file.",
)
on_error_option: Decorator = click.option(
    "--on-error",
    type=click.Choice(["allow", "audit", "deny"]),
    help="What is decided where policy has no answer.  [default: audit]",
)
