"""Events from a file, whichever kind it is: a recording, a history, or JSON lines of events.

Left out: what a history and JSON lines do not have. Those that were written at another level than
`--content full` lack what was said, and policies see that it is not there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from busted.agent import recording
from busted.agent.config import DEFAULT_TABLES, Tables
from busted.agent.replay import Replay
from busted.events import Event
from busted.sinks.history_query import Filter, HistoryReader

# The largest prompts seen are 16 MB; an event tells the last message twice, and JSON escapes it.
MAX_LINE_BYTES = 128 << 20

# https://sqlite.org/fileformat.html, section 1.3.1
SQLITE_MAGIC = b"SQLite format 3\0"

_EVENT = msgspec.json.Decoder(Event)


class EventFileError(Exception):
    """A file of events cannot be read; the message is one line that names the file."""


def read_events(path: Path, tables: Tables = DEFAULT_TABLES) -> Iterator[Event]:
    """Yield the events of a recording, a history, or a file with one JSON object a line.

    What policy said of them when they were seen is left out: it is no part of what it judges.
    Raises EventFileError, RecordingError or HistoryError where it cannot be read.
    """
    for event in _read(path, tables):
        yield msgspec.structs.replace(event, policy=None) if event.policy else event


def is_binary(path: Path) -> bool:
    """Tell whether a file is a recording or a history, and not lines. Raises EventFileError."""
    return _beginning(path).startswith((recording.MAGIC, SQLITE_MAGIC))


def _read(path: Path, tables: Tables) -> Iterator[Event]:
    beginning = _beginning(path)
    if beginning.startswith(recording.MAGIC):
        header, frames = recording.read(path)
        yield from Replay(header, tables).events(frames)
    elif beginning.startswith(SQLITE_MAGIC):
        with contextlib.closing(HistoryReader(path)) as history:
            yield from history.every(Filter())
    else:
        for number, line in numbered_lines(path):
            try:
                yield _EVENT.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise EventFileError(f"{path}:{number}: no event: {error}") from error


def _beginning(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(max(len(recording.MAGIC), len(SQLITE_MAGIC)))
    except OSError as error:
        raise EventFileError(f"cannot read {path}: {error.strerror}") from error


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, numbered from 1. Raises EventFileError."""
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if line.strip():
                    yield number, line
    except OSError as error:
        raise EventFileError(f"cannot read {path}: {error.strerror}") from error
