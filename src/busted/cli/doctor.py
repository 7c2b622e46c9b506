"""`busted doctor`: what this host can do and what it cannot, and what to do about it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from busted.agent import socket_client
from busted.agent.doctor import Check, Diagnosis, diagnose
from busted.agent.doctor import live as ask_running
from busted.cli.socket import socket_option
from busted.cli.status import show

CANNOT_RUN = 3
MAX_WIDTH = 100
_COLOURS = {"yes": "green", "no": "red", "unknown": "yellow"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, see docs/cli.md.")
@click.option("--live", is_flag=True, help="What a running monitor counts, measured for a second.")
@socket_option
def doctor(as_json: bool, live: bool, socket: Path) -> None:
    """Say what this host can do and what it cannot.

    Exits with 3 when monitoring cannot work, or with --live when no monitor runs.
    """
    if live:
        _show_live(as_json)
        if not as_json and socket_client.is_there(socket):
            show(socket_client.status(socket))
        return
    found = diagnose()
    click.echo(msgspec.json.encode(found) if as_json else "\n".join(text(found)))
    if not found.works:
        sys.exit(CANNOT_RUN)


def text(found: Diagnosis) -> list[str]:
    """Return the diagnosis as lines for people."""
    lines = [f"busted {found.version} on Linux {found.kernel} {found.machine}"]
    lines.append("monitoring works here" if found.works else "monitoring cannot work here")
    for title, checks in (
        ("Host", found.checks),
        ("Enforcement", found.enforcement),
        ("Privileges", found.privileges),
        ("Programs", found.programs),
    ):
        lines += ["", title]
        for check in checks:
            lines += _row(check.answer, check.name, _why(check))
    lines += ["", "TLS libraries in use"]
    for library in found.libraries:
        users = len(library.pids)
        why = [library.reason] if library.reason else []
        why += ["hooked now"] if library.hooked else []
        why.append(f"in {users} process{'es' if users > 1 else ''}")
        lines += _row(library.answer, f"{library.path} ({library.kind})", why)
    for candidate in found.candidates:
        lines += _row("unknown", f"{candidate.name}({candidate.pid})", [candidate.reason])
    for title, rest in (
        ("Other tools", [f"{o.name}({o.pid}) {o.detail}" for o in found.others]),
        ("Not seen", found.unseen),
    ):
        if rest:
            lines += ["", title, *(f"  {line}" for line in rest)]
    return lines


def _why(check: Check) -> list[str]:
    since = f"since Linux {check.since}" if check.since and check.answer != "yes" else ""
    needed = f"for {check.needed_for}" if check.needed_for and check.answer != "yes" else ""
    remedy = f"to do: {check.remedy}" if check.remedy else ""
    return [part for part in (check.detail, since, needed, remedy) if part]


def _row(answer: str, name: str, why: Iterable[str]) -> list[str]:
    width = min(MAX_WIDTH, shutil.get_terminal_size().columns)
    mark = click.style(f"{answer:8}", fg=_COLOURS[answer])
    # Names of processes and files are anybody's: nothing in them may steer a terminal.
    plain = "".join(c if c.isprintable() else "?" for c in f"{name}: {'; '.join(why)}")
    first, *rest = textwrap.wrap(plain.removesuffix(": "), width - 12) or [""]
    return [f"  {mark}{first}", *(" " * 12 + line for line in rest)]


def _show_live(as_json: bool) -> None:
    running = ask_running()
    if as_json:
        click.echo(msgspec.json.encode(running))
    for monitor in () if as_json else running:
        rate = monitor.records_per_second
        shown = "too many records to count" if rate is None else f"{rate:,.0f} records/s"
        click.echo(f"monitor {monitor.pid}: {shown}")
        lost = ", ".join(f"{place} {count:,}" for place, count in monitor.lost.items())
        click.echo(f"  lost: {lost or 'nothing'}")
        for program in monitor.programs:
            click.echo(
                f"  {program.name:16} {program.runs_per_second:12,.0f} runs/s "
                f"{program.ns_per_run:9,.0f} ns each"
            )
    if not running:
        click.echo("busted: no monitor runs here", err=True)
        sys.exit(CANNOT_RUN)
