"""What the commands that read the history have in common: the file, the filter, times."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from busted import state
from busted.sinks.history_query import Filter

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGO = re.compile(r"(\d{1,9})([smhdw])")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Time(click.ParamType[int]):
    """A time as `2h` (so long ago), as a date, or as a date and time (RFC 3339, else local)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nanoseconds since 1970."""
        if ago := _AGO.fullmatch(value):
            return time.time_ns() - int(ago[1]) * _UNITS[ago[2]] * 10**9
        try:
            told = datetime.fromisoformat(value)
            return int(told.astimezone(UTC).timestamp() * 10**6) * 1000
        except (ValueError, OverflowError):
            self.fail(
                f"{value} is no time; write 30m, 2h, 7d, or 2026-11-22T14:00:00Z.", param, ctx
            )


history_option: Decorator = click.option(
    "--history",
    type=click.Path(path_type=Path),
    callback=lambda context, parameter, path: path or state.history(),
    metavar="FILE",
    help="The history to read, as `busted monitor --output history:FILE` writes it.  [default: "
    "history.db in /var/lib/busted, or in $STATE_DIRECTORY]",
)

_FILTERS = (
    click.option("--since", "since_ns", type=Time(), help="From this time on: 2h, 7d, a date."),
    click.option("--until", "until_ns", type=Time(), help="Before this time."),
    click.option("--type", help="Of this type: Prompt, ToolCall, ..."),
    click.option("--agent", help="Of this agent."),
    click.option("--provider", help="To or from this provider."),
    click.option("--model", help="To or from this model."),
    click.option("--pid", type=int, help="Of this process."),
    click.option("--tool", "subject", help="With this tool, MCP method, program or host."),
    click.option(
        "--decision",
        type=click.Choice(["allow", "audit", "deny"]),
        help="That policy decided so.",
    ),
    click.option("--session", help="Of this session."),
    click.option("--exchange", help="Of this exchange."),
    click.option("--finding", metavar="KIND", help="With personal data or a secret of this kind."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose events; the command takes them as `**chosen`."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def chosen_filter(words: tuple[str, ...], chosen: dict[str, Any]) -> Filter:
    """Return what the options and words of a command line choose."""
    return Filter(**chosen, text=" ".join(words) if words else None)
