"""The options that name a policy, of every command that asks one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

ON_ERROR = ["allow", "audit", "deny"]

policy_option: Decorator = click.option(
    "--policy",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Ask this policy about every event: a directory of Rego, or one file.",
)
on_error_option: Decorator = click.option(
    "--on-error",
    type=click.Choice(ON_ERROR),
    help="What is decided where policy has no answer.  [default: audit]",
)
deny_on_error_option: Decorator = click.option(
    "--on-error",
    type=click.Choice(ON_ERROR),
    default="deny",
    show_default=True,
    help="What is decided where policy has no answer.",
)
answer_format_option: Decorator = click.option(
    "--format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines for people, or one JSON object a line.",
)
directory_option: Decorator = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    required=True,
    help="The policy: a directory of Rego, or one file.",
)
