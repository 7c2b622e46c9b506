"""`busted config`: what settings a monitor would have here, and whether a file makes sense.

Secrets are not shown: settings name the file or variable that holds one; of outputs only kind and
place are told, since a URL may be a secret by itself, and of other rows how many there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from busted.agent import config_file
from busted.agent.settings import Value, literal
from busted.agent.settings_table import SECTIONS
from busted.cli.monitor import monitor
from busted.cli.policy_options import answer_format_option
from busted.cli.settings import Chosen, chosen, outputs_of, settings_of
from busted.sinks.kinds import Choice


@click.group()
def config() -> None:
    """Show and check the settings of `busted monitor`."""


@config.command(context_settings={"ignore_unknown_options": True})
@answer_format_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def show(format: str, options: tuple[str, ...]) -> None:
    """Print every setting of `busted monitor`, and where its value comes from.

    OPTIONS are options of `busted monitor`, as they would be given to it.
    """
    found = chosen(monitor.make_context("busted monitor", list(options)))
    outputs = outputs_of(found)
    if format == "json":
        click.echo(msgspec.json.encode(_as_object(found, outputs)))
        return
    click.echo(f"# {found.file.path or 'no configuration file'}")
    for section in SECTIONS:
        click.echo(f"\n[{section}]")
        for key, value in found.values.items():
            if key.startswith(f"{section}."):
                click.echo(f"{_line(key, value):<40} # {value.place or value.source}")
    click.echo("")
    for output in outputs:
        click.echo(f"# output {output.name}: {_place(output)}")
    for table in found.file.rows:
        count = found.file.count(table)
        click.echo(f"# {table}: {count} {'row' if count == 1 else 'rows'} of {found.file.path}")


@config.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_context
def check(ctx: click.Context, file: Path | None) -> None:
    """Tell whether FILE, by default this host's, is a configuration that a monitor takes."""
    path = file or config_file.find()
    if path is None:
        raise click.UsageError("this host has no /etc/busted/config.toml: name a FILE.")
    # Judged by itself: what the environment of whoever checks says is not the monitor's.
    found = chosen(monitor.make_context("busted monitor", ["--config", str(path)]), {})
    settings_of(found)
    outputs_of(found)
    rows = sum(map(found.file.count, found.file.rows))
    click.echo(f"{path}: {len(found.file.values)} settings, {rows} rows")


def _line(key: str, value: Value) -> str:
    """Return a setting as the file has it, in a comment where it has no value."""
    name, told = key.partition(".")[2], _told(key, value)
    if told in (None, []):
        return f"# {name}: {config_file.setting_of(key).unset}"
    return f"{name} = {literal(told)}"


def _told(key: str, value: Value) -> Any:
    """Return a value without what may be a secret in it."""
    if key == "monitor.output":
        return [text.partition("?")[0].partition(":")[0] for text in value.value]
    if isinstance(value.value, tuple):
        return list(value.value)
    if value.value is None or isinstance(value.value, bool | int | float):
        return value.value
    return str(value.value)


def _place(output: Choice) -> str:
    """Return where an output goes, without what a URL may hold beside the peer."""
    if "://" not in output.target:
        return f"{output.kind}:{output.target}" if output.target else output.kind
    url = urlsplit(output.target)
    return f"{output.kind}:{url.scheme}://{url.netloc.rpartition('@')[2]}"


def _as_object(found: Chosen, outputs: tuple[Choice, ...]) -> dict[str, Any]:
    return {
        "file": str(found.file.path) if found.file.path else None,
        "settings": {
            key: {
                "value": _told(key, value),
                "source": value.source,
                **({"place": value.place} if value.place else {}),
            }
            for key, value in found.values.items()
        },
        "outputs": [
            {"name": output.name, "kind": output.kind, "target": _place(output)}
            for output in outputs
        ],
        "rows": {table: found.file.count(table) for table in found.file.rows},
    }
