"""`busted replay FILE`: the events of a recording, without the kernel and without root."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from busted import state
from busted.agent import host_key, private_log
from busted.agent.config import Tables
from busted.agent.decisions import judged_all
from busted.agent.policies import judging
from busted.agent.recording import read
from busted.agent.replay import Replay
from busted.cli.configuration import config_option, keyed
from busted.cli.output import (
    content_filter,
    content_option,
    format_option,
    output_error,
    shown,
    standard_output,
)
from busted.cli.policy_options import on_error_option, policy_option
from busted.events import Decision
from busted.sinks.writer import deliver


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@format_option
@content_option
@config_option
@policy_option
@on_error_option
def replay(
    file: Path,
    format: str,
    content: str,
    tables: Tables,
    policy: Path | None,
    on_error: Decision | None,
) -> None:
    """Print the events of a recording made with `busted monitor --record FILE`."""
    if policy is None and on_error:
        raise click.UsageError("--on-error needs --policy.")
    header, frames = read(file)
    found = host_key.load(state.directory(), create=False)
    # The same recording gives the same events, also where the host's key is not there.
    tables = keyed(tables, header.origin.seed if found.temporary else found.key)
    private_log.obey(content_filter(content, tables.options.scanner))
    replay = Replay(header, tables)
    show, out = shown(format, content, tables.options.scanner), standard_output()
    try:
        with contextlib.ExitStack() as opened:
            events = replay.events(frames)
            if policy:
                judge = opened.enter_context(judging(policy, on_error or "audit"))
                events = judged_all(judge, events)
            for event in events:
                deliver(out, show(event))
    except BrokenPipeError:
        return  # the reader has seen enough
    except OSError as error:
        raise output_error(error) from error
    if frames.cut:
        click.echo(f"busted: {file} was cut: its last frame is not whole", err=True)
    for place, count in replay.lost.items():
        click.echo(f"busted: lost in this replay: {place} {count:,}", err=True)
