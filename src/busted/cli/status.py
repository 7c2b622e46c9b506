"""`busted status`: how the running monitor is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from busted.agent import socket_client
from busted.agent.status import Status
from busted.cli.socket import socket_option
from busted.sinks.delivery import Figures


@click.command()
@socket_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object, see docs/api.md.")
def status(socket: Path, as_json: bool) -> None:
    """Say how the running monitor is: what it watches and lost, its outputs, policy and programs.

    Exits with 3 when no monitor answers.
    """
    told = socket_client.status(socket)
    if as_json:
        click.echo(told)
    else:
        show(told)


def show(told: bytes) -> None:
    """Print a status as lines for people."""
    for line in _lines(msgspec.json.decode(told, type=Status)):
        # Paths and the like are anybody's: nothing in them may steer a terminal.
        click.echo("".join(c if c.isprintable() else "?" for c in line))


def _lines(told: Status) -> Iterator[str]:
    yield f"busted {told.version} on {told.host}, since {told.started}, content {told.content}"
    kernel = told.kernel
    yield f"kernel {kernel.release}: probes by {kernel.way}, {kernel.buffer} buffer" + (
        "" if kernel.fill is None else f" ({kernel.fill:.0%} full)"
    )
    yield f"hooked: {len(told.libraries)} libraries; identities: {told.identities}"
    for title, rows in (("unreadable", told.unreadable), ("left out", told.left_out)):
        yield from (f"{title}: {name}: {why}" for name, why in rows.items())
    yield f"lost: {_counts(told.lost) or 'nothing'}"
    for name, figures in told.outputs.items():
        yield f"output {name}: {_account(figures)}"
    if policy := told.policy:
        yield f"policy {policy.path}: {_counts(policy.counts)}; enforcement {policy.enforcement}"
        if policy.refused:
            yield f"policy: a change is not taken on: {policy.refused}"
    if held := told.held:
        yield f"held: {held.allowed:,} allowed, {held.denied:,} denied"
    if told.socket:
        refused = _counts(told.socket.refused)
        yield f"socket: {told.socket.clients} clients" + (f"; refused {refused}" if refused else "")
    for program in told.programs:
        if program.runs:
            each = 1e9 * program.run_seconds / program.runs
            yield f"program {program.name}: {program.runs:,} runs, {each:,.0f} ns each"


def _account(figures: Figures) -> str:
    told = f"{figures.delivered:,} delivered, {figures.waiting:,} waiting"
    if figures.waiting:
        told += f" ({figures.spooled:,} on disk, the oldest for {figures.lag:,.0f} s)"
    return f"{told}, lost {_counts(figures.lost)}" if figures.lost else told


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count)
