"""`busted policy test`: the tests of a policy, and events whose answers are known."""

from __future__ import annotations

import itertools
import re
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from busted.agent.config import Tables
from busted.agent.event_files import numbered_lines
from busted.agent.policies import judging, require_policy
from busted.cli.configuration import config_option
from busted.cli.policy_coverage import coverage_option, tell_coverage
from busted.cli.policy_eval import answers, inputs
from busted.cli.policy_options import answer_format_option, deny_on_error_option
from busted.events import Decision
from busted.sinks.console import visible

if TYPE_CHECKING:
    from busted.policy.testing import Outcome

FAILED = 1


class ExpectationError(Exception):
    """What is expected of events cannot be read, or is not what came."""


def _pattern(_: click.Context, __: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(value) if value is not None else None
    except re.error as error:
        raise click.BadParameter(f"no regular expression: {error}") from error


@click.command("test")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--run",
    "wanted",
    metavar="REGEX",
    callback=_pattern,
    help="Only tests in whose names, such as data.busted.test_deny, this is found.",
)
@click.option("--verbose", is_flag=True, help="Name tests that passed, too, and what was printed.")
@coverage_option
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the results as JUnit XML.",
)
@click.option(
    "--events",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Judge these instead, a recording, a history or a JSON object a line, and compare with "
    "--expect.",
)
@click.option(
    "--expect",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A line for each of --events, as `busted policy eval --format json` prints them; fields "
    "that are not there are not compared.",
)
@answer_format_option
@deny_on_error_option
@config_option
def command(
    directory: Path,
    wanted: re.Pattern[str] | None,
    verbose: bool,
    coverage: bool,
    junit: Path | None,
    events: Path | None,
    expect: Path | None,
    format: str,
    on_error: Decision,
    tables: Tables,
) -> None:
    """Run the tests of a policy: the rules named test_... in its directory.

    Exits with 1 when one did not pass, or when there is none.
    """
    require_policy()
    if (events is None) != (expect is None):
        raise click.UsageError("--events and --expect go together.")
    if events and expect:
        _compare(directory, events, expect, on_error, tables)
        return
    from busted.policy.testing import run

    report = run(directory, wanted, coverage=coverage)
    for outcome in report.outcomes:
        if format == "json":
            click.echo(msgspec.json.encode(outcome))
        else:
            _tell(outcome, verbose)
    if coverage:
        tell_coverage(report.coverage, format)
    if junit:
        _write_junit(junit, report.outcomes)
    if format == "text":
        counts = Counter(outcome.result for outcome in report.outcomes)
        click.echo(", ".join(f"{count} {result}" for result, count in counts.items()) or "no tests")
    if report.failed or not report.outcomes:
        sys.exit(FAILED)


def _tell(outcome: Outcome, verbose: bool) -> None:
    if outcome.result == "passed" and not verbose:
        return
    why = f": {outcome.message}" if outcome.message else ""
    spent = f" ({outcome.seconds * 1000:.1f} ms)" if verbose else ""
    click.echo(f"{outcome.file}:{outcome.line}: {outcome.result}: {outcome.name}{spent}{why}")
    for line in outcome.prints if verbose or outcome.result != "passed" else ():
        click.echo(f"    {visible(line)}")


def _write_junit(path: Path, outcomes: list[Outcome]) -> None:
    """Write results as CI servers read them.

    Format: https://github.com/testmoapp/junitxml
    """
    counts = Counter(outcome.result for outcome in outcomes)
    suite = xml.Element(
        "testsuite",
        name="busted policy test",
        tests=str(len(outcomes)),
        failures=str(counts["failed"]),
        errors=str(counts["error"]),
        skipped=str(counts["skipped"]),
        time=f"{sum(outcome.seconds for outcome in outcomes):.6f}",
    )
    for outcome in outcomes:
        case = xml.SubElement(
            suite,
            "testcase",
            name=outcome.name,
            classname=outcome.file,
            file=outcome.file,
            line=str(outcome.line),
            time=f"{outcome.seconds:.6f}",
        )
        if outcome.result != "passed":
            element = {"failed": "failure", "error": "error", "skipped": "skipped"}[outcome.result]
            xml.SubElement(case, element, message=outcome.message or "")
    try:
        xml.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise ExpectationError(f"cannot write {path}: {error.strerror}") from error


def _compare(
    directory: Path, events: Path, expect: Path, on_error: Decision, tables: Tables
) -> None:
    wrong = number = 0
    with judging(directory, on_error) as judge:
        told = itertools.chain.from_iterable(
            answers(judge, batch, on_error) for batch in inputs(events, tables)
        )
        for number, (answer, expected) in enumerate(
            itertools.zip_longest(told, _expectations(expect)), 1
        ):
            if answer is None or expected is None:
                missing = events if answer is None else expect
                raise ExpectationError(f"{missing} ends before the other: at {number:,}")
            given = msgspec.json.decode(msgspec.json.encode(answer))
            differs = {
                name: given.get(name)
                for name, value in expected.items()
                if given.get(name) != value
            }
            for name, value in differs.items():
                click.echo(
                    f"{expect}:{number}: {name}: expected "
                    f"{msgspec.json.encode(expected[name]).decode()}, "
                    f"got {msgspec.json.encode(value).decode()}"
                )
            wrong += bool(differs)
    click.echo(f"{number:,} events, {wrong:,} not as expected")
    if wrong or not number:
        sys.exit(FAILED)


def _expectations(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in numbered_lines(path):
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ExpectationError(f"{path}:{number}: no JSON object: {error}") from error
