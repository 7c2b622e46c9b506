"""`busted coverage`: how much of each connection could be read, and why not of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import click
import msgspec

from busted.agent import socket_client
from busted.agent.coverage import Row
from busted.agent.recording import read
from busted.agent.replay import Replay
from busted.cli.socket import socket_option
from busted.events import Coverage, Event
from busted.sinks.console import visible, word
from busted.sinks.history import agent
from busted.sinks.history_query import Filter, HistoryReader

_HEAD = ("pid", "process", "agent", "connections", "decoded", "partial", "opaque", "wire", "read")
# Names are left, figures right.
_WORDS = 3


@click.command()
@click.argument("recording", required=False, type=click.Path(path_type=Path))
@socket_option
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Connections that could not be read, from what `busted monitor --output history:FILE` "
    "writes.  [default: all, of the monitor that is asked]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a connection.")
def coverage(recording: Path | None, socket: Path, history: Path | None, as_json: bool) -> None:
    """Tell how much of the connections of agents and to AI hosts could be read, by process.

    Of those that a running monitor knows, or of a RECORDING. Exits with 3 when no monitor answers.
    """
    if recording and history:
        raise click.UsageError("Either a RECORDING or --history.")
    if recording:
        rows = _of_recording(recording)
    elif history:
        rows = _of_history(history)
    else:
        rows = [msgspec.json.decode(line, type=Row) for line in socket_client.coverage(socket)]
    lines = map(_json, rows) if as_json else _lines(rows)
    for line in lines:
        click.echo(line)


def _of_recording(path: Path) -> list[Row]:
    header, frames = read(path)
    replay = Replay(header)
    for _ in replay.events(frames):
        pass
    if frames.cut:
        click.echo(f"busted: {path} was cut: its last frame is not whole", err=True)
    return replay.ledger()


def _of_history(path: Path) -> list[Row]:
    with closing(HistoryReader(path)) as reader:
        found = reader.every(Filter(type="Coverage"))
        return [row for event in found if (row := _row(event))]


def _row(event: Event) -> Row | None:
    if not isinstance(event.action, Coverage) or event.action.connection is None:
        return None
    return Row(
        pid=event.process.pid,
        process=event.process.name,
        connection=event.connection.id if event.connection else "",
        coverage=event.action.connection,
        agent=agent(event),
        behavior=event.behavior,
    )


def _json(row: Row) -> str:
    return msgspec.json.encode(row).decode()


def _lines(rows: Iterable[Row]) -> Iterator[str]:
    processes: dict[tuple[int, str, str], list[Row]] = {}
    for row in rows:
        processes.setdefault((row.pid, row.process, row.agent or "-"), []).append(row)
    if not processes:
        yield "No connection of an agent or to an AI host is known."
        return
    table = [_HEAD, *(_figures(*process, found) for process, found in processes.items())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    yield _joined(_HEAD, widths)
    for line, found in zip(table[1:], processes.values(), strict=True):
        yield _joined(line, widths)
        yield from _reasons(found)


def _figures(pid: int, process: str, agent: str, rows: list[Row]) -> tuple[str, ...]:
    found = [row.coverage for row in rows]
    states = Counter(coverage.state for coverage in found)
    counts = [len(found), *(states[state] for state in ("decoded", "partial", "opaque"))]
    counts.append(sum(coverage.wire_sent + coverage.wire_received for coverage in found))
    counts.append(sum(coverage.decoded_sent + coverage.decoded_received for coverage in found))
    return (str(pid), word(process), word(agent), *(f"{count:,}" for count in counts))


def _joined(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        cell.ljust(width) if place < _WORDS else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded)


def _reasons(rows: list[Row]) -> Iterator[str]:
    counted = Counter(_reason(row) for row in rows if row.coverage.state != "decoded")
    for (state, *why), count in counted.items():
        parts = [f"{count:,} {state}", *why]
        yield "    " + "  ".join(visible(part) for part in parts if part)


def _reason(row: Row) -> tuple[str, ...]:
    told = row.coverage
    is_llm = row.behavior is not None and row.behavior.kind == "llm_api"
    behaves = "behaves like an LLM client" if is_llm else ""
    why = (told.name, told.reason, told.stack, told.library, behaves)
    return (told.state, *(text or "" for text in why))
