"""Medians of interleaved rounds, and the tables they end in."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import msgspec

Cell = float | int | str | None


class Table(msgspec.Struct, frozen=True):
    """The answer to one question; the unit of a column stands in its name."""

    question: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> str:
        """The table with its question as heading and its note below."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        table = "\n".join(f"| {' | '.join(map(_text, line))} |" for line in lines)
        return f"## {self.question}\n\n{table}\n\n{self.note}\n"


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case str():
            return cell
        case _ if abs(cell) < 10 and cell != int(cell):
            return f"{cell:.2f}"
        case _:
            return f"{cell:,.0f}"


def median(values: Iterable[float]) -> float:
    """The middle of what the rounds gave: one round that the machine disturbed changes nothing."""
    return statistics.median(values)
