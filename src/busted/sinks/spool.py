"""Events that wait on disk until their peer has taken them, over outages and restarts.

Strategy: one SQLite file an output, in WAL mode, which a process that is killed at any moment
leaves readable. What is written is there after `kill -9`; after a power failure the last moments
may be missing, since not every write waits for the disk (https://www.sqlite.org/wal.html,
synchronous=NORMAL). The file is locked: two monitors cannot send the same events.

Bounded in bytes and in age; beyond that the oldest are dropped, and the caller counts them. A file
that SQLite cannot read is put aside, not deleted.

Left out: encryption. The file is its owner's only (0600) and holds what the output may show.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from busted.sinks.channel import Item, WrongOutput
from busted.sinks.memory_queue import Numbered, up_to

log = logging.getLogger(__name__)

# What a row takes on disk beside its event: id, time, number, and its share of a page.
ROW_BYTES = 64
# A page holds whole rows or is filled up in vain: at 4 KiB, a third was lost to events of 2.6 KB.
PAGE_BYTES = 16 << 10
# The write-ahead log goes into the file when it has so much, and is cut back to that.
MAX_LOG_BYTES = 4 << 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, queued_at REAL NOT NULL, event BLOB NOT NULL
)
"""
_LISTED = "number IN (SELECT value FROM json_each(?))"


class SpoolError(Exception):
    """The spool cannot be read or written now; the disk is full, say."""


class Spool:
    """A queue of events in a file, for one thread at a time."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or make the file and its directory. Raises WrongOutput."""
        self._max_bytes = max_bytes
        # Delivered, and still there because the disk was full when they were to go.
        self._gone: set[int] = set()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = _open(path)
        except (OSError, sqlite3.Error) as error:
            raise WrongOutput(
                f"cannot use the spool {path}: {error}. Give the output another directory with "
                "spool=DIRECTORY, or spool=off."
            ) from error
        self._count, self._bytes, last = self._database.execute(
            f"SELECT count(*), coalesce(sum(length(event) + {ROW_BYTES}), 0),"
            " coalesce(max(number), 0) FROM waiting"
        ).fetchone()
        self._next = last + 1

    def __len__(self) -> int:
        return int(self._count) - len(self._gone)

    def put(self, items: list[Item]) -> int:
        """Add events, and return how many were dropped for them. Raises SpoolError."""
        rows = [
            (self._next + position, item.id, item.queued_at, item.event)
            for position, item in enumerate(items)
        ]
        added = sum(len(item.event) + ROW_BYTES for item in items)
        with self._transaction():
            self._database.executemany("INSERT INTO waiting VALUES (?, ?, ?, ?)", rows)
            over = self._bytes + added - self._max_bytes
            oldest = self._oldest(over)
            dropped, freed = self._delete("number <= ?", oldest)
        self._next += len(items)
        self._count += len(items) - dropped
        self._bytes += added - freed
        return self._without_gone(dropped, oldest)

    def drop_older(self, queued_at: float) -> int:
        """Drop what was queued before that time (Unix seconds); return how many. SpoolError."""
        with self._transaction():
            # Ends at the first row that is young enough, mostly the first one.
            young = self._database.execute(
                "SELECT number FROM waiting WHERE queued_at >= ? ORDER BY number LIMIT 1",
                (queued_at,),
            ).fetchone()
            oldest = young[0] - 1 if young else self._next
            dropped, freed = self._delete("number <= ?", oldest)
        self._count -= dropped
        self._bytes -= freed
        return self._without_gone(dropped, oldest)

    def head(self, max_events: int, max_bytes: int) -> list[Numbered]:
        """Return the oldest, at least one where there is one. Raises SpoolError."""
        try:
            rows = self._database.execute(
                "SELECT number, id, queued_at, event FROM waiting ORDER BY number LIMIT ?",
                (max_events + len(self._gone),),
            )
            items = ((row[0], Item(*row[1:])) for row in rows if row[0] not in self._gone)
            return up_to(items, max_bytes)
        except sqlite3.Error as error:
            raise SpoolError(str(error)) from error

    def remove(self, numbers: Iterable[int]) -> int:
        """Remove these and return how many were still there; never raises.

        Where the disk has no room for that, they are only hidden, and removed later.
        """
        before = len(self)
        with contextlib.suppress(sqlite3.Error):
            self._gone |= {
                number
                for (number,) in self._database.execute(
                    f"SELECT number FROM waiting WHERE {_LISTED}", (json.dumps(list(numbers)),)
                )
            }
        with contextlib.suppress(SpoolError):
            with self._transaction():
                removed, freed = self._delete(_LISTED, json.dumps(list(self._gone)))
            self._gone.clear()
            self._count -= removed
            self._bytes -= freed
        return before - len(self)

    def close(self) -> None:
        """Close the file; what waits in it stays."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()

    def _oldest(self, size: int) -> int:
        """Return the number up to which events must go to free `size` bytes."""
        rows = self._database.execute("SELECT number, length(event) FROM waiting ORDER BY number")
        last = 0
        while size > 0 and (row := rows.fetchone()):
            last = row[0]
            size -= row[1] + ROW_BYTES
        return last

    def _delete(self, which: str, value: int | str) -> tuple[int, int]:
        count, size = self._database.execute(
            f"SELECT count(*), coalesce(sum(length(event) + {ROW_BYTES}), 0) FROM waiting "
            f"WHERE {which}",
            (value,),
        ).fetchone()
        self._database.execute(f"DELETE FROM waiting WHERE {which}", (value,))
        return count, size

    def _without_gone(self, dropped: int, up_to_number: int) -> int:
        """Return how many of the dropped had not been delivered."""
        gone = {number for number in self._gone if number <= up_to_number}
        self._gone -= gone
        return dropped - len(gone)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise SpoolError(str(error)) from error


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.OperationalError:
        raise  # locked, no room, not permitted: the content is not to blame
    except sqlite3.DatabaseError as error:
        aside = path.with_name(path.name + ".unreadable")
        log.warning("spool %s: %s; put aside as %s, begun anew", path, error, aside.name)
        path.replace(aside)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite gives its other files the mode of this one. No link is followed, so that nobody who
    # can write to the directory has us open another file.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    os.close(descriptor)
    path.chmod(0o600)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute(f"PRAGMA page_size={PAGE_BYTES}")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(f"PRAGMA journal_size_limit={MAX_LOG_BYTES}")
        database.execute(f"PRAGMA wal_autocheckpoint={MAX_LOG_BYTES // PAGE_BYTES}")
        database.execute(_SCHEMA)
        # Takes the lock now, not at the first event.
        database.execute("BEGIN IMMEDIATE")
        database.execute("COMMIT")
    except sqlite3.Error:
        database.close()
        raise
    return database
