"""Questions to a history: which events, and how much of what over time.

Whatever is asked for, what answers is an index: by time, agent, type, decision, session, exchange,
finding or word. Words are those of SQLite's full-text search: all must be there, `"..."` is a
phrase and `word*` a beginning; nothing else has a meaning.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from busted.events import Event
from busted.sinks.history import APPLICATION_ID, BUSY_SECONDS, MINUTE_NS, VERSION, HistoryError

# An event at `--content full` may hold what a provider takes in one request.
MAX_EVENT_BYTES = 64 << 20

# What events can be grouped by.
COLUMNS = ("agent", "provider", "model", "pid", "subject", "session")
# What a total can be told for; the names of columns.
GROUPS = ("agent", "provider", "model", "type", "decision")

_WORD = re.compile(r'"([^"]*)"?|(\S+)')


class Filter(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Which events: all that are given must agree. Times are nanoseconds, the end not included."""

    since_ns: int | None = None
    until_ns: int | None = None
    type: str | None = None
    agent: str | None = None
    provider: str | None = None
    model: str | None = None
    pid: int | None = None
    subject: str | None = None
    decision: str | None = None
    session: str | None = None
    exchange: str | None = None
    finding: str | None = None
    text: str | None = None


class Total(msgspec.Struct, frozen=True):
    """Sums over some minutes and a group; `latency` is that of `timed` answers, in seconds."""

    minute: int
    group: str
    events: int
    input: int
    output: int
    cost: float
    errors: int
    timed: int
    latency: float


class Place(msgspec.Struct, frozen=True):
    """Where a page ended: the time and the number of its last event."""

    time_ns: int
    number: int


class Page(msgspec.Struct, frozen=True):
    """Some events, and from where the next are; None at the end."""

    events: list[Event]
    next: Place | None


class Group(msgspec.Struct, frozen=True):
    """The events that have one value of a column: how many, from when to when, and the newest."""

    value: str | int
    events: int
    first_ns: int
    last_ns: int
    newest: Event


class HistoryReader:
    """The reading end; it sees what was added while it is open."""

    def __init__(self, path: Path, *, any_thread: bool = False) -> None:
        """Open a file that is there. Raises HistoryError when it is not, or is no history.

        `any_thread`: other threads may use it as well, one at a time.
        """
        try:
            self._database = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=BUSY_SECONDS,
                check_same_thread=not any_thread,
            )
            (application,) = self._database.execute("PRAGMA application_id").fetchone()
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise HistoryError(f"cannot read the history {path}: {error}") from error
        if (application, version) != (APPLICATION_ID, VERSION):
            raise HistoryError(f"{path} is no history of this version of Busted")
        self._decompressor = zstandard.ZstdDecompressor()

    def last(self, filter: Filter, limit: int) -> list[Event]:
        """Return the newest of the events that agree, oldest first."""
        where, values = _conditions(filter)
        # Words are found in the order of arrival, which is nearly that of time.
        order = "time_ns DESC, number DESC" if filter.text is None else "words.rowid DESC"
        found = self._database.execute(
            f"SELECT json FROM {_table(filter)} WHERE {_all_of(where)} ORDER BY {order} LIMIT ?",
            (*values, limit),
        ).fetchall()
        return [self._event(json) for (json,) in reversed(found)]

    def page(self, filter: Filter, limit: int, before: Place | None = None) -> Page:
        """Return events that agree, the newest first, from a place on where one is given."""
        where, values = _conditions(filter)
        if before is not None:
            where.append("(time_ns, number) < (?, ?)")
            values += [before.time_ns, before.number]
        rows = self._database.execute(
            f"SELECT time_ns, number, json FROM {_table(filter)} WHERE {_all_of(where)} "
            "ORDER BY time_ns DESC, number DESC LIMIT ?",
            (*values, limit + 1),
        ).fetchall()
        there_is_more = len(rows) > limit
        events = [self._event(json) for _, _, json in rows[:limit]]
        return Page(events, Place(*rows[limit - 1][:2]) if there_is_more else None)

    def one(self, id: str) -> Event | None:
        """Return the event of an id, None where it is not there."""
        found = self._database.execute("SELECT json FROM event WHERE id = ?", (id,)).fetchone()
        return self._event(found[0]) if found else None

    def groups(self, column: str, filter: Filter, limit: int) -> list[Group]:
        """Return what a column holds, of the events that agree, the last seen first.

        Raises ValueError when it is not one of COLUMNS.
        """
        if column not in COLUMNS:
            raise ValueError(f"{column} is not one of {', '.join(COLUMNS)}")
        where, values = _conditions(filter)
        # Beside max(), SQLite takes other columns from the row that has it
        # (https://sqlite.org/lang_select.html, 2.5).
        rows = self._database.execute(
            f"SELECT {column}, count(*), min(time_ns), max(time_ns) AS newest, json "
            f"FROM {_table(filter)} WHERE {_all_of([*where, f'{column} IS NOT NULL'])} "
            f"GROUP BY {column} ORDER BY newest DESC LIMIT ?",
            (*values, limit),
        )
        return [
            Group(value, events, first_ns, last_ns, self._event(json))
            for value, events, first_ns, last_ns, json in rows
        ]

    def arrived(self, filter: Filter, after: int, until: int) -> list[Event]:
        """Return the events that agree of those that arrived with numbers in (after, until]."""
        where, values = _conditions(filter)
        where += ["number > ?", "number <= ?"]
        found = self._database.execute(
            f"SELECT json FROM {_table(filter)} WHERE {_all_of(where)} ORDER BY number",
            (*values, after, until),
        ).fetchall()
        return [self._event(json) for (json,) in found]

    def every(self, filter: Filter) -> Iterator[Event]:
        """Return all events that agree, oldest first, without holding them at once."""
        where, values = _conditions(filter)
        rows = self._database.execute(
            f"SELECT json FROM {_table(filter)} WHERE {_all_of(where)} ORDER BY time_ns, number",
            values,
        )
        return (self._event(json) for (json,) in rows)

    def last_number(self) -> int:
        """Return the number of the event that came last, 0 when there is none."""
        (number,) = self._database.execute("SELECT max(number) FROM event").fetchone()
        return number or 0

    def subjects(self, filter: Filter, limit: int) -> list[tuple[str, int]]:
        """Return what the events that agree were done with, and how often, most often first."""
        where, values = _conditions(filter)
        where.append("subject IS NOT NULL")
        return self._database.execute(
            f"SELECT subject, count(*) AS times FROM {_table(filter)} WHERE {_all_of(where)} "
            "GROUP BY subject ORDER BY times DESC, subject LIMIT ?",
            (*values, limit),
        ).fetchall()

    def totals(self, group: str, since_ns: int, until_ns: int, minutes: int = 1) -> list[Total]:
        """Return the totals of a time, each of so many minutes, one for each value of `group`.

        Raises ValueError when `group` is not one of GROUPS.
        """
        if group not in GROUPS:
            raise ValueError(f"{group} is not one of {', '.join(GROUPS)}")
        rows = self._database.execute(
            f"SELECT minute / ? * ? AS since, {group}, sum(events), sum(input), sum(output), "
            "sum(cost), sum(errors), sum(timed), sum(latency) FROM total "
            f"WHERE minute >= ? AND minute < ? GROUP BY since, {group} ORDER BY since, {group}",
            (minutes, minutes, since_ns // MINUTE_NS, -(-until_ns // MINUTE_NS)),
        )
        return [Total(*row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _event(self, json: bytes) -> Event:
        plain = self._decompressor.decompress(json, max_output_size=MAX_EVENT_BYTES)
        return msgspec.json.decode(plain, type=Event)


def _conditions(filter: Filter) -> tuple[list[str], list[Any]]:
    values: list[Any] = []
    where: list[str] = []
    for condition, value in (
        ("time_ns >= ?", filter.since_ns),
        ("time_ns < ?", filter.until_ns),
        ("type = ?", filter.type),
        ("agent = ?", filter.agent),
        ("provider = ?", filter.provider),
        ("model = ?", filter.model),
        ("pid = ?", filter.pid),
        ("subject = ?", filter.subject),
        ("decision = ?", filter.decision),
        ("session = ?", filter.session),
        ("exchange = ?", filter.exchange),
        ("number IN (SELECT event FROM finding WHERE kind = ?)", filter.finding),
        ("words MATCH ?", None if filter.text is None else _match(filter.text)),
    ):
        if value is not None:
            where.append(condition)
            values.append(value)
    return where, values


def _table(filter: Filter) -> str:
    return "event" if filter.text is None else "words JOIN event ON number = words.rowid"


def _all_of(conditions: list[str]) -> str:
    return " AND ".join(conditions) or "1"


def terms(text: str) -> list[tuple[str, bool]]:
    """Return the words and phrases of a question, and of each whether it is a beginning."""
    found = _WORD.findall(text)
    return [(phrase or word.rstrip("*"), word.endswith("*")) for phrase, word in found]


def _match(text: str) -> str:
    """Put words into quotes, in which no sign means anything (https://sqlite.org/fts5.html, 3)."""
    quoted = ((term.replace('"', '""'), beginning) for term, beginning in terms(text))
    return " ".join(f'"{term}"{" *" if beginning else ""}' for term, beginning in quoted) or '""'
