"""Manual pages and completions of shells: `python -m xtask shell-files PREFIX`.

`make install` and scripts/deb.sh bring them. Both are made from the command line itself, so there
is nothing to keep in step. Completions are click's: a shell asks `busted` what could come next. A
page is written for `busted` and for each command, in the macros of man(7); what docs/cli.md says
beyond `--help` is left to that.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from busted import __version__
from busted.cli.main import main as busted

COMPLETE_VARIABLE = "_BUSTED_COMPLETE"
# Below a prefix, as each shell looks for what other packages bring.
COMPLETIONS = {
    "bash": "share/bash-completion/completions/busted",
    "zsh": "share/zsh/site-functions/_busted",
    "fish": "share/fish/vendor_completions.d/busted.fish",
}
PAGES = "share/man/man1"

# docs/cli.md has the same table.
EXIT_CODES = {
    "0": "done",
    "1": "failed",
    "2": "a mistake in use or in a setting",
    "3": "cannot run here",
    "130": "ended by Ctrl-C",
}
FILES = {
    "/etc/busted/config.toml": "settings of the monitor",
    "/var/lib/busted": "history, identities, spools",
    "/run/busted/busted.sock": "where the monitor listens",
}


def main(arguments: list[str]) -> int:
    """Write all of them below the prefix that is given."""
    (prefix,) = map(Path, arguments)
    for path, text in files().items():
        target = prefix / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return 0


def files() -> dict[str, str]:
    """Return path below the prefix and text of every file."""
    made = {path: completion(shell) for shell, path in COMPLETIONS.items()}
    for context in contexts():
        name = context.command_path.replace(" ", "-")
        made[f"{PAGES}/{name}.1"] = page(context)
    return made


def completion(shell: str) -> str:
    """Return the script that completes `busted` in a shell."""
    kind = get_completion_class(shell)
    assert kind
    return kind(busted, {}, "busted", COMPLETE_VARIABLE).source()


def contexts() -> Iterator[click.Context]:
    """Yield a context for the command itself and for each below it."""
    waiting = [click.Context(busted, info_name="busted")]
    while waiting:
        context = waiting.pop()
        yield context
        waiting += _children(context)


def _children(context: click.Context) -> list[click.Context]:
    group = context.command
    if not isinstance(group, click.Group):
        return []
    children = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return [click.Context(c, parent=context, info_name=name) for name, c in children if c]


def page(context: click.Context) -> str:
    """Return the page of a command: man(7)."""
    path, command = context.command_path, context.command
    name = path.replace(" ", "-")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH {_text(name.upper())} 1 "" "busted {__version__}" "Busted"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(command.get_short_help_str(200).rstrip('.'))}",
        ".SH SYNOPSIS",
        f"\\fB{_text(path)}\\fR {_text(usage)}",
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
    ]
    # An argument without a description stands in the synopsis.
    records = [p.get_help_record(context) for p in command.get_params(context)]
    lines += _section(
        "OPTIONS", {term: meaning for term, meaning in filter(None, records) if meaning}
    )
    lines += _section("COMMANDS", {c.command_path: _short(c) for c in _children(context)})
    lines += _section("EXIT STATUS", EXIT_CODES)
    lines += _section("FILES", FILES)
    others = sorted({*_related(context)})
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_text(other)}\\fR(1)" for other in others)]
    return "\n".join(lines) + "\n"


def _short(context: click.Context) -> str:
    return context.command.get_short_help_str(200)


def _related(context: click.Context) -> Iterator[str]:
    near = [context.parent] if context.parent else []
    for other in [*near, *_children(context)]:
        yield other.command_path.replace(" ", "-")


def _section(title: str, rows: dict[str, str]) -> list[str]:
    if not rows:
        return []
    lines = [f".SH {title}"]
    for term, meaning in rows.items():
        lines += [".TP", f"\\fB{_text(term)}\\fR", _text(meaning)]
    return lines


def _paragraphs(text: str) -> Iterator[str]:
    # \b stands before what click must not wrap.
    for number, paragraph in enumerate(inspect.cleandoc(text).replace("\b\n", "").split("\n\n")):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """Return text that means itself: groff_char(7), "The dash, and hyphen-minus"."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    # At the beginning of a line these would begin a request.
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
