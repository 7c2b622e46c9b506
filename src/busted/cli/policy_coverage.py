"""What `busted policy eval` and `busted policy test` say of the lines that they evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from busted.policy.testing import Lines


coverage_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--coverage",
    is_flag=True,
    help="Tell in the end which lines of the policy were never evaluated.",
)


def tell_coverage(found: Mapping[str, Lines], format: str) -> None:
    """Print the share of lines that were evaluated, by file, and those that were not."""
    for file, lines in sorted(found.items()):
        total = len(lines.covered) + len(lines.missed)
        share = 100 * len(lines.covered) / total if total else 100.0
        if format == "json":
            told = {"file": file, "covered": sorted(lines.covered), "missed": sorted(lines.missed)}
            click.echo(msgspec.json.encode({"coverage": told | {"percent": round(share, 1)}}))
        else:
            missed = f"  never: {ranges(lines.missed)}" if lines.missed else ""
            click.echo(f"{file}: {share:.0f} % of {total} lines{missed}")


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers in their order, runs as `3-5`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
