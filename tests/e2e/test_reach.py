"""docs/reach.md, which `make reach` writes."""

from __future__ import annotations

from tests.e2e.reach import CODINGS, DOCUMENT, ROWS


def test_the_document_has_a_row_for_each_client_and_protocol() -> None:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    told = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[1:]]
    assert all(len(row) == 4 + len(CODINGS) for row in told)
    assert [(row[0], row[2], row[3]) for row in told] == [
        (row.client, row.tls, row.protocol) for row in ROWS
    ]
