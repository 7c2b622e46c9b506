"""Events from a file, whichever of the two kinds it is: a recording, or JSON lines of events.

Left out: what JSON lines do not have. Those that were shown at another level than `--content full`
lack what was said, and policies see that it is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from busted.agent import recording
from busted.agent.config import DEFAULT_TABLES, Tables
from busted.agent.replay import Replay
from busted.events import Event

# The largest prompts seen are 16 MB; an event tells the last message twice, and JSON escapes it.
MAX_LINE_BYTES = 128 << 20

_EVENT = msgspec.json.Decoder(Event)


class EventFileError(Exception):
    """A file of events cannot be read; the message is one line that names the file."""


def read_events(path: Path, tables: Tables = DEFAULT_TABLES) -> Iterator[Event]:
    """Yield the events of a recording or of a file with one JSON object a line.

    What policy said of them when they were shown is left out: it is no part of what it judges.
    Raises EventFileError or RecordingError where it cannot be read.
    """
    if is_recording(path):
        header, frames = recording.read(path)
        yield from Replay(header, tables).events(frames)
        return
    for number, line in numbered_lines(path):
        try:
            yield msgspec.structs.replace(_EVENT.decode(line), policy=None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise EventFileError(f"{path}:{number}: no event: {error}") from error


def is_recording(path: Path) -> bool:
    """Tell whether a file is a recording by how it begins. Raises EventFileError."""
    try:
        with open(path, "rb") as file:
            return file.read(len(recording.MAGIC)) == recording.MAGIC
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
