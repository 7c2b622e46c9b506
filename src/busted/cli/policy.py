"""`busted policy ...`: write, check, test and try policies, without a kernel and without root."""

from __future__ import annotations

import importlib

import click

# name: the module that has a command `NAME_command`.
COMMANDS = ("check", "eval", "learn", "replay", "test")


class PolicyCommands(click.Group):
    """The group, each of its commands imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"busted.cli.policy_{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=PolicyCommands, no_args_is_help=False)
def policy() -> None:
    """Check, try, test and learn policies."""
