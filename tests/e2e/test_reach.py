"""docs/reach.md, which `make reach` writes."""

from __future__ import annotations

from tests.e2e import reach_stdio
from tests.e2e.reach import CODINGS, DOCUMENT, ROWS


def told() -> list[tuple[str, ...]]:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_the_document_has_a_row_for_each_client_and_protocol() -> None:
    rows = [row for row in told() if len(row) == 4 + len(CODINGS)][1:]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        (row.client, row.tls, row.protocol) for row in ROWS
    ]


def test_the_document_has_a_row_for_each_mcp_client() -> None:
    rows = [row for row in told() if len(row) == 3][1:]
    assert [row[0] for row in rows] == [row.client for row in reach_stdio.ROWS]
