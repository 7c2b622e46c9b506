"""`busted policy eval`: what a policy says of any JSON objects."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import cast

import click
import msgspec

from busted.agent.config import Tables
from busted.agent.decisions import MAX_BATCH_EVENTS, Judge, is_judged
from busted.agent.event_files import (
    is_binary,
    numbered_lines,
    read_events,
)
from busted.agent.policies import judging, require_policy
from busted.cli.configuration import config_option
from busted.cli.policy_coverage import coverage_option, tell_coverage
from busted.cli.policy_options import (
    answer_format_option,
    deny_on_error_option,
)
from busted.events import Decision, to_json
from busted.sinks.console import visible

FAILED = 1
# As much as a pipe holds.
READ_BYTES = 64 << 10


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a policy says of one input, as `--format json` prints it."""

    action: Decision
    reasons: tuple[str, ...] = ()
    rule: str | None = None
    file: str | None = None
    error: str | None = None


@click.command("eval")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="The policy: a directory of Rego, or one file.",
)
@click.option("--rule", metavar="REGO", help="The policy: the text of one module.")
@click.option(
    "--input",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What to judge: a recording, a history, or a JSON object a line.  "
    "[default: standard input]",
)
@coverage_option
@answer_format_option
@deny_on_error_option
@config_option
def command(
    directory: Path | None,
    rule: str | None,
    file: Path | None,
    coverage: bool,
    format: str,
    on_error: Decision,
    tables: Tables,
) -> None:
    """Judge JSON objects, events or not, and print an answer a line.

    A line that is no JSON object gets the --on-error decision; exits with 1 when there was one, or
    when the policy had no answer to something.
    """
    if (directory is None) == (rule is None):
        raise click.UsageError("Give either --dir or --rule.")
    source: Path | str = directory if directory is not None else str(rule)
    require_policy()
    seen: list[bytes] = []
    failed = False
    with judging(source, on_error) as judge:
        for batch in inputs(file, tables):
            if coverage:
                seen += batch
            for answer in answers(judge, batch, on_error):
                failed |= answer.error is not None
                click.echo(msgspec.json.encode(answer) if format == "json" else _line(answer))
    if coverage:
        from busted.policy.testing import covered

        tell_coverage(covered(source, seen), format)
    if failed:
        sys.exit(FAILED)


def inputs(file: Path | None, tables: Tables) -> Iterator[list[bytes]]:
    """Yield what is to be judged, as JSON, in batches: events of a recording, or lines."""
    if file is None:
        yield from _lines_as_they_come()
        return
    if is_binary(file):
        found = (to_json(event) for event in read_events(file, tables) if is_judged(event))
    else:
        found = (line for _, line in numbered_lines(file))
    while batch := list(itertools.islice(found, MAX_BATCH_EVENTS)):
        yield batch


def answers(judge: Judge, batch: list[bytes], on_error: Decision) -> Iterator[Answer]:
    """Yield an answer for each input."""
    wrong = [_wrong(line) for line in batch]
    asked = [line for line, why in zip(batch, wrong, strict=True) if why is None]
    decisions = iter(judge.decisions(asked) if asked else ())
    for why in wrong:
        if why is not None:
            yield Answer(action=on_error, error=why)
            continue
        told = next(decisions)
        yield Answer(
            action=told.decision,
            reasons=told.reasons,
            rule=told.rule,
            file=told.file,
            error=told.error,
        )


def _lines_as_they_come() -> Iterator[list[bytes]]:
    """Yield the lines of standard input that there are; who writes them may wait for answers."""
    rest = b""
    given = cast(BufferedReader, sys.stdin.buffer) if sys.stdin is not None else BytesIO()
    while data := given.read1(READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        yield [line for line in lines if line.strip()]
    if rest.strip():
        yield [rest]


def _wrong(line: bytes) -> str | None:
    """Return why a line is not to be judged, None when it is."""
    try:
        given = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"no JSON: {error}"
    return None if isinstance(given, dict) else "no JSON object"


def _line(answer: Answer) -> str:
    place = answer.file or answer.rule or ""
    why = "; ".join(answer.reasons)
    error = f"error: {answer.error}" if answer.error else ""
    return "  ".join(filter(None, (answer.action, visible(place), visible(why), visible(error))))
