"""Where events go on the command line: standard output, in the format and at the content level
that the operator chose, and all other outputs.

`Output` is for events that come on their own and must not be waited for; `shown` alone is for
commands that make events as fast as they are read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, cast

import click

from busted.agent.content import ContentFilter, Level
from busted.agent.outputs import Outputs
from busted.classifier.options import DEFAULT_SCANNER
from busted.classifier.pii import Scanner
from busted.events import Event
from busted.sinks import jsonl
from busted.sinks.console import DEFAULT_WIDTH, Console
from busted.sinks.delivery import Figures
from busted.sinks.kinds import STANDARD_OUTPUT, Choice, StandardOutputSettings
from busted.sinks.recent import Recent
from busted.sinks.writer import Render, Writer

# What is queued when the monitor stops may still be read; whoever stopped it is waiting.
DRAIN_SECONDS = 5.0
# Narrower than this, a line holds little more than its time and process.
MIN_WIDTH = 40

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

format_option: Decorator = click.option(
    "--format",
    type=click.Choice(["text", "verbose", "json"]),
    default="text",
    show_default=True,
    help="A few lines an event, all there is, or one JSON object a line.",
)
content_option: Decorator = click.option(
    "--content",
    type=click.Choice(["none", "redacted", "full"]),
    default="redacted",
    show_default=True,
    help="What to show of what was said: nothing, all but personal data and secrets, or all.",
)


class OutputError(Exception):
    """Standard output takes nothing more, for another reason than that its reader left."""


class Output:
    """Takes events without ever waiting for a reader; what there is no room for is counted.

    Standard output is one of the outputs, and the only one where none was chosen.
    """

    def __init__(
        self,
        format: str,
        content: str,
        choices: Sequence[Choice] = (),
        scanner: Scanner = DEFAULT_SCANNER,
        recent: Recent | None = None,
        originals: Recent | None = None,
    ) -> None:
        """Open what was chosen; `format` and `content` are values of their options.

        `recent` gets every event that is shown at `content`, `originals` gets it as it was said.
        Raises OutputError and WrongOutput.
        """
        self._outputs = Outputs(
            [choice for choice in choices if choice.kind != STANDARD_OUTPUT],
            cast(Level, content),
            scanner,
            recent,
            originals,
        )
        self._only = not choices
        self._writer: Writer | None = None
        for choice in choices or (Choice(STANDARD_OUTPUT, "", StandardOutputSettings()),):
            if isinstance(choice.settings, StandardOutputSettings):
                self._writer = Writer(
                    standard_output(),
                    shown(
                        choice.settings.format or format,
                        choice.settings.content or content,
                        scanner,
                    ),
                )

    def write(self, event: Event) -> None:
        """Show the event soon, or count it as lost."""
        self._outputs.write(event)
        if self._writer:
            self._writer.write(event)

    def lost(self) -> dict[str, int]:
        """Return what was lost here, by place, where it is not zero."""
        lost = self._outputs.lost()
        if self._writer and self._writer.lost:
            lost["output"] = self._writer.lost
        return lost

    def figures(self) -> dict[str, Figures]:
        """Return what each output did so far, by its name, standard output aside."""
        return self._outputs.figures()

    def filter(self, level: Level) -> ContentFilter:
        """Return what shows events at a level as outputs of that level have them."""
        return self._outputs.filter(level)

    def when_closed(self, call: Callable[[], object]) -> None:
        """Have `call` called, from another thread, when nobody reads any more."""

        def called() -> None:
            # What is to be stopped may have ended on its own by now, its event loop closed.
            with contextlib.suppress(RuntimeError):
                call()

        # Other outputs still have their readers.
        if self._writer and self._only:
            self._writer.when_closed = called

    def close(self) -> None:
        """Deliver what is queued, as long as the readers take it. Raises OutputError."""
        self._outputs.close(DRAIN_SECONDS)
        for name, figures in self._outputs.figures().items():
            if figures.lost or figures.waiting:
                click.echo(f"busted: output {name}: {_account(figures)}", err=True)
        if self._writer is None:
            return
        reader_left = self._writer.closed
        self._writer.close(DRAIN_SECONDS)
        if self._writer.error:
            raise output_error(self._writer.error)
        if self._writer.lost and not reader_left:
            click.echo(
                f"busted: {self._writer.lost:,} events were not shown: standard output was read "
                "too slowly",
                err=True,
            )


def _account(figures: Figures) -> str:
    told = [f"{count:,} events lost ({reason})" for reason, count in figures.lost.items()]
    if figures.waiting:
        told.append(f"{figures.waiting:,} events stay in its spool")
    return ", ".join(told)


def content_filter(content: str, scanner: Scanner = DEFAULT_SCANNER) -> ContentFilter:
    """Return the filter for the value of `--content`.

    Without the host's key tokens are keyed by chance: they tie together what one run prints.
    """
    return ContentFilter(cast(Level, content), scanner.key or os.urandom(32), scanner)


def shown(format: str, content: str, scanner: Scanner = DEFAULT_SCANNER) -> Render:
    """Return what turns an event into the bytes to print."""
    allowed = content_filter(content, scanner)
    if format == "json":
        return lambda event: jsonl.render(allowed(event))
    terminal = sys.stdout.isatty()
    console = Console(
        verbose=format == "verbose",
        # https://no-color.org
        colour=terminal and not os.environ.get("NO_COLOR"),
        width=max(MIN_WIDTH, shutil.get_terminal_size().columns) if terminal else DEFAULT_WIDTH,
    )
    return lambda event: console(allowed(event))


def standard_output() -> BinaryIO:
    """Return standard output without its buffer. Raises OutputError when it is closed."""
    if sys.stdout is None:
        raise OutputError("cannot write to standard output: it is closed")
    buffer = sys.stdout.buffer  # without `raw` where a test took its place
    return cast(BinaryIO, getattr(buffer, "raw", buffer))


def output_error(error: OSError) -> OutputError:
    """Return the error to raise when printing failed."""
    return OutputError(f"cannot write to standard output: {error.strerror}")
