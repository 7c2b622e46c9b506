"""What was reported, kept on this host: SQLite in WAL mode, found by field, by time and by word.

An event is a compressed row with the columns that are asked for, its text is in a full-text index
(https://sqlite.org/fts5.html), and minute by minute it is counted in totals, from which charts are
drawn. Events come in batches, one transaction each; an event that is there already is passed over,
so that whoever delivers may deliver twice.

The oldest make room: beyond a size, and beyond an age, which is measured from the newest event.

Left out of the index: the messages before a prompt's last, which every prompt of a conversation
repeats, and what stands beyond MAX_TEXT of an event. Both are in the event itself.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from busted import events
from busted.events import Event, Value, to_json

# Of this file's tables; a file of an older version is brought up to it when it is opened.
VERSION = 1
# "BUST": says to file(1) and to us whose file it is (https://sqlite.org/fileformat2.html, 1.3.6).
APPLICATION_ID = 0x42555354

MAX_BYTES = 1 << 30
MAX_AGE_DAYS = 30
# Totals are small: a year of them, so that a month can be compared with the last.
MAX_TOTALS_DAYS = 400
# Indexed of one event: what a person wrote is far shorter, what a tool returned need not be.
MAX_TEXT = 16 << 10
# Deleted in one transaction: some 10 ms, in which nobody else can write.
TRIMMED_AT_ONCE = 500
# How long a writer waits for another.
BUSY_SECONDS = 5.0
# Of the index, with each deletion: what is deleted there takes room until its pages are merged.
MERGED_PAGES = 64

DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9

# What of an action is searched for words.
INDEXED: dict[type[Value], tuple[str, ...]] = {
    events.Prompt: ("model", "user_message"),
    events.Response: ("model", "text", "reasoning", "error"),
    events.ToolCall: ("name", "arguments"),
    events.ToolResult: ("name", "content"),
    events.McpRequest: ("method", "tool", "params"),
    events.McpResponse: ("method", "result", "error"),
    events.A2aRequest: ("method", "text"),
    events.A2aResponse: ("method", "text", "error"),
    events.PiiDetected: ("kinds",),
    events.LoopDetected: ("tool",),
    events.Network: ("name",),
    events.Coverage: ("name",),
    events.ProcessExec: ("exe", "argv"),
    events.FileAccess: ("path", "new_path", "category"),
    events.FileData: ("path", "content"),
}
# What an action is done with: a tool, a method, a program, a host.
SUBJECTS = ("tool", "name", "method", "exe", "path")

_TABLES = f"""
CREATE TABLE event (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time_ns INTEGER NOT NULL,
    type TEXT NOT NULL, agent TEXT, provider TEXT, model TEXT, pid INTEGER NOT NULL, subject TEXT,
    decision TEXT, session TEXT, exchange TEXT, json BLOB NOT NULL
);
CREATE INDEX event_time ON event (time_ns);
CREATE INDEX event_agent ON event (agent, time_ns);
CREATE INDEX event_type ON event (type, time_ns);
CREATE INDEX event_decision ON event (decision, time_ns) WHERE decision IS NOT NULL;
CREATE INDEX event_session ON event (session, time_ns);
CREATE INDEX event_exchange ON event (exchange);
CREATE TABLE finding (
    kind TEXT NOT NULL, event INTEGER NOT NULL REFERENCES event (number) ON DELETE CASCADE,
    PRIMARY KEY (kind, event)
) WITHOUT ROWID;
CREATE INDEX finding_event ON finding (event);
CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'unicode61 remove_diacritics 2');
CREATE TABLE total (
    minute INTEGER NOT NULL, agent TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
    type TEXT NOT NULL, decision TEXT NOT NULL,
    events INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cost REAL NOT NULL,
    errors INTEGER NOT NULL, timed INTEGER NOT NULL, latency REAL NOT NULL,
    PRIMARY KEY (minute, agent, provider, model, type, decision)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
PRAGMA application_id = {APPLICATION_ID};
"""


class HistoryError(Exception):
    """A file is no history of ours, or cannot be read or written; says which and what to do."""


class Limits(msgspec.Struct, frozen=True):
    """How much is kept: bytes of the file, and days before the newest event."""

    max_bytes: int = MAX_BYTES
    max_age_days: float = MAX_AGE_DAYS


class History:
    """The writing end. One process writes a file, any number read it."""

    def __init__(self, path: Path, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        """Open or make the file, for its owner alone.

        A file that is broken is put aside, `set_aside` says where, and a new one is begun. Raises
        HistoryError when that is not possible, and when the file is another program's.
        """
        self._path, self._limits = path, limits
        self.set_aside: Path | None = None
        try:
            self._database = self._opened()
        except (sqlite3.Error, OSError) as error:
            raise HistoryError(f"cannot keep a history in {path}: {error}") from error
        self._compress = zstandard.ZstdCompressor(level=3).compress
        (self._newest_ns,) = self._database.execute("SELECT max(time_ns) FROM event").fetchone()
        self._newest_ns = self._newest_ns or 0

    def add(self, batch: Iterable[Event]) -> int:
        """Keep events and return how many were new. Raises sqlite3.Error: then none is kept."""
        added = 0
        with self._transaction():
            totals: dict[tuple[Any, ...], list[float]] = {}
            for event in batch:
                if self._insert(event):
                    added += 1
                    _count(event, totals)
            self._database.executemany(_ADD_TOTAL, [(*key, *sums) for key, sums in totals.items()])
        self._trim()
        return added

    def close(self) -> None:
        """Close the file; what was added is in it already."""
        self._database.close()

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # SQLite would make it readable for all; its -wal and -shm take after it.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = _connect(self._path)
        try:
            _check(database, self._path)
        except sqlite3.DatabaseError as error:
            database.close()
            # SQLITE_CORRUPT or SQLITE_NOTADB; a locked or full disk is none of the file's fault.
            if error.sqlite_errorname not in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
                raise
            self.set_aside = _put_aside(self._path)
            return self._opened()
        except HistoryError:
            database.close()
            raise
        return database

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.rollback()
            raise
        self._database.commit()

    def _insert(self, event: Event) -> bool:
        action, time_ns = event.action, nanoseconds(event.time)
        found = self._database.execute(
            _ADD_EVENT,
            (
                event.id,
                time_ns,
                kind(event),
                *(agent(event), text_of(action, "provider"), text_of(action, "model")),
                *(event.process.pid, subject(event)),
                event.policy.decision if event.policy else None,
                *(event.session_id, event.exchange_id),
                self._compress(to_json(event)),
            ),
        ).fetchone()
        if found is None:
            return False
        self._newest_ns = max(self._newest_ns, time_ns)
        if text := words(event):
            self._database.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (*found, text))
        self._database.executemany(
            "INSERT INTO finding (kind, event) VALUES (?, ?)",
            [(kind, *found) for kind in finding_kinds(event)],
        )
        return True

    def _trim(self) -> None:
        oldest = self._newest_ns - int(self._limits.max_age_days * DAY_NS)
        while self._delete("WHERE time_ns < ? ORDER BY time_ns", oldest):
            pass
        while self._bytes() > self._limits.max_bytes and self._delete("ORDER BY number"):
            pass

    def _delete(self, which: str, *values: int) -> int:
        oldest_minute = (self._newest_ns - MAX_TOTALS_DAYS * DAY_NS) // MINUTE_NS
        with self._transaction():
            select = f"SELECT number FROM event {which} LIMIT {TRIMMED_AT_ONCE}"
            numbers = self._database.execute(select, values).fetchall()
            self._database.executemany("DELETE FROM words WHERE rowid = ?", numbers)
            self._database.executemany("DELETE FROM event WHERE number = ?", numbers)
            if numbers:
                self._database.execute("DELETE FROM total WHERE minute < ?", (oldest_minute,))
                self._database.execute(_MERGE_WORDS, (-MERGED_PAGES,))
        if numbers:
            # As a script: it frees a page a step, and a statement without columns is stepped once.
            self._database.executescript("PRAGMA incremental_vacuum")
        return len(numbers)

    def _bytes(self) -> int:
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        (size,) = self._database.execute("PRAGMA page_size").fetchone()
        return int(pages * size)


_ADD_EVENT = """
INSERT OR IGNORE INTO event
    (id, time_ns, type, agent, provider, model, pid, subject, decision, session, exchange, json)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number
"""
# A negative number merges all, so many pages at a time (https://sqlite.org/fts5.html, 6.8).
_MERGE_WORDS = "INSERT INTO words (words, rank) VALUES ('merge', ?)"
_ADD_TOTAL = """
INSERT INTO total VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET events = events + excluded.events, input = input + excluded.input,
    output = output + excluded.output, cost = cost + excluded.cost,
    errors = errors + excluded.errors, timed = timed + excluded.timed,
    latency = latency + excluded.latency
"""


def nanoseconds(time: str) -> int:
    """Return the nanoseconds since 1970 of an event's time (RFC 3339, UTC)."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0")[:9])


def kind(event: Event) -> str:
    """Return the type of an event's action."""
    return type(event.action).__name__


def agent(event: Event) -> str | None:
    """Return the agent that an event tells of, by name."""
    return event.process.agent


def text_of(action: Value, name: str) -> str | None:
    """Return a text that some actions have and others do not."""
    value = getattr(action, name, None)
    return value if isinstance(value, str) else None


def subject(event: Event) -> str | None:
    """Return what the action is done with: a tool, a method, a program, a host."""
    texts = (text_of(event.action, name) for name in SUBJECTS)
    return next(filter(None, texts), None)


def finding_kinds(event: Event) -> set[str]:
    """Return the kinds of personal data and secrets that an event tells of."""
    kinds = {finding.kind for finding in getattr(event.action, "pii", ())}
    return kinds | set(getattr(event.action, "kinds", ()))


def words(event: Event) -> str:
    """Return what of an event is searched for words."""
    action = event.action
    values = [event.process.name, event.process.exe]
    values += [getattr(action, name) for name in INDEXED.get(type(action), ())]
    texts = (" ".join(value) if isinstance(value, tuple) else value for value in values)
    return "\n".join(filter(None, texts))[:MAX_TEXT]


def _count(event: Event, totals: dict[tuple[Any, ...], list[float]]) -> None:
    action = event.action
    key = (
        nanoseconds(event.time) // MINUTE_NS,
        agent(event) or "",
        text_of(action, "provider") or "",
        text_of(action, "model") or "",
        kind(event),
        event.policy.decision if event.policy else "",
    )
    sums = totals.setdefault(key, [0, 0, 0, 0.0, 0, 0, 0.0])
    sums[0] += 1
    if not isinstance(action, events.Response):
        return
    usage = action.usage or events.Usage()
    latency = action.latency
    for place, value in enumerate(
        (
            usage.input or 0,
            usage.output or 0,
            action.cost or 0.0,
            action.status >= 400,
            latency is not None,
            latency or 0.0,
        ),
        start=1,
    ):
        sums[place] += value


def _connect(path: Path) -> sqlite3.Connection:
    # Who delivers may do so from another thread than who opened; one at a time all the same.
    database = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    database.execute("PRAGMA foreign_keys = ON")
    return database


def _check(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (version, application, tables) == (0, 0, 0):
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.executescript(f"BEGIN;{_TABLES}COMMIT;")
    elif application != APPLICATION_ID:
        raise HistoryError(f"{path} is a database of another program; choose another file")
    elif version > VERSION:
        raise HistoryError(
            f"{path} was made by a newer version of Busted ({version}, here {VERSION}); "
            "upgrade, or choose another file"
        )
    database.execute("PRAGMA journal_mode = WAL").fetchone()
    # A crash of the machine may cost the last batches, never the file.
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("SELECT count(*) FROM (SELECT * FROM event LIMIT 1)").fetchone()


def _put_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return aside
