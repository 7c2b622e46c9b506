"""`busted policy ...`: check, try, test and learn policies, without a kernel and without root."""

from __future__ import annotations

import click

from busted.cli import policy_check, policy_eval, policy_learn, policy_replay, policy_test


@click.group(no_args_is_help=False)
def policy() -> None:
    """Check, try, test and learn policies."""


for module in (policy_check, policy_eval, policy_learn, policy_replay, policy_test):
    policy.add_command(module.command)
