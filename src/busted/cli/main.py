"""The `busted` command: finds the subcommand, turns errors into one line and an exit code.

Subcommands stand in a table and their modules are imported when they are asked for, so that
`busted version` does not wait for the eBPF loader.

Exit codes: 0 done, 1 failed, 2 usage, 3 cannot run here, 130 on Ctrl-C. An error is printed as
what failed, why, and what to do. Rooms raise errors of their own for the operator; the table
below says how they end the command. Anything else is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any, NoReturn

import click

FAILED, USAGE, CANNOT_RUN, INTERRUPTED = 1, 2, 3, 130

# name: the module that has a command of this name.
COMMANDS = {
    "audit": "busted.cli.audit",
    "classify": "busted.cli.classify",
    "config": "busted.cli.config",
    "coverage": "busted.cli.coverage",
    "doctor": "busted.cli.doctor",
    "export": "busted.cli.export",
    "identities": "busted.cli.identities",
    "key": "busted.cli.key",
    "ml": "busted.cli.ml",
    "monitor": "busted.cli.monitor",
    "policy": "busted.cli.policy",
    "query": "busted.cli.query",
    "replay": "busted.cli.replay",
    "serve": "busted.cli.serve",
    "signature": "busted.cli.signature",
    "status": "busted.cli.status",
    "tail": "busted.cli.tail",
    "top": "busted.cli.top",
    "tui": "busted.cli.tui",
    "ui": "busted.cli.ui",
    "version": "busted.cli.version",
}

# Named, not imported: an error can only come from a module that is already there.
EXIT_CODES = {
    "busted.agent.audit_log.AuditError": FAILED,
    "busted.agent.behaviour.BehaviourError": FAILED,
    "busted.agent.behaviour_training.TrainingError": FAILED,
    "busted.agent.config.ConfigError": USAGE,
    "busted.agent.embedding.EmbedError": USAGE,
    "busted.agent.event_files.EventFileError": FAILED,
    "busted.agent.host_key.KeyFileError": FAILED,
    "busted.agent.policies.MissingExtra": CANNOT_RUN,
    "busted.agent.recording.RecordingError": FAILED,
    "busted.agent.signatures.SignatureError": FAILED,
    "busted.agent.socket_client.NoMonitor": CANNOT_RUN,
    "busted.agent.socket_client.NotFound": FAILED,
    "busted.agent.socket_client.SocketError": FAILED,
    "busted.cli.classify.ClassifyError": FAILED,
    "busted.cli.output.OutputError": FAILED,
    "busted.identity.store.StoreError": FAILED,
    "busted.cli.policy_learn.LearnError": FAILED,
    "busted.cli.policy_test.ExpectationError": FAILED,
    "busted.kernel.features.CannotRun": CANNOT_RUN,
    "busted.sinks.channel.WrongOutput": USAGE,
    "busted.policy.sources.PolicyError": FAILED,
    "busted.sinks.history.HistoryError": FAILED,
}


class Commands(click.Group):
    """The group of all subcommands, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand, None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line and exit."""
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "busted"
            code = _complain(f"{error.format_message()} See {command} --help.", USAGE)
        except click.ClickException as error:
            code = _complain(error.format_message(), error.exit_code)
        except click.Abort:
            code = INTERRUPTED
        except Exception as error:
            known = _exit_code(error)
            if known is None:
                raise
            code = _complain(str(error), known)
        sys.exit(code or 0)


def _exit_code(error: Exception) -> int | None:
    kind = type(error)
    return EXIT_CODES.get(f"{kind.__module__}.{kind.__qualname__}")


def _complain(message: str, code: int) -> int:
    click.echo(f"busted: {' '.join(message.split())}", err=True)
    return code


@click.group(cls=Commands, no_args_is_help=False)
def main() -> None:
    """See what AI agents on this host say to LLMs, and what they do."""
    logging.basicConfig(format="busted: %(message)s", level=logging.WARNING)
    # It logs each header that it decodes, credentials too.
    logging.getLogger("hpack").setLevel(logging.WARNING)


if __name__ == "__main__":
    main(prog_name="busted")
