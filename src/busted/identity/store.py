"""The identities of all runs, in one SQLite file that only its owner can read.

The monitor writes what changed once a second, in one transaction; `busted identities` reads it at
the same time (write-ahead log). What does not fit in the monitor's memory is found here again, and
what does not fit here is founded again with the same id. There is no content in it: names, counts,
times, fingerprints, and hashes of system prompts.

A file that is no store, or a damaged one, is put aside and told, and a fresh one begun; one of a
later version is left alone. Each step in `MIGRATIONS` leads from one version to the next
(`PRAGMA user_version`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from busted.identity.graph import Behaviour, Link
from busted.identity.profile import Profile
from busted.identity.resolver import MAX_CANDIDATES, keys_of
from busted.identity.timeline import Entry
from busted.identity.tracker import Changes

# About 1 KB each. Over it, those that were quiet longest go, a twentieth at once.
MAX_IDENTITIES = 100_000
# About 100 bytes each, of all identities; the oldest go, likewise.
MAX_ENTRIES = 1_000_000
EVICTED_PART = 20
# Another command that writes takes milliseconds.
BUSY_SECONDS = 2.0

MIGRATIONS = (
    """
    CREATE TABLE identities (id TEXT PRIMARY KEY, last_ns INTEGER NOT NULL, profile BLOB NOT NULL)
        WITHOUT ROWID;
    CREATE INDEX identities_by_age ON identities (last_ns);
    CREATE TABLE keys (key TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (key, id)) WITHOUT ROWID;
    CREATE INDEX keys_by_id ON keys (id);
    CREATE TABLE entries (id TEXT NOT NULL, time_ns INTEGER NOT NULL, entry BLOB NOT NULL);
    CREATE INDEX entries_by_id ON entries (id, time_ns);
    """,
    """
    CREATE TABLE links (kind TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
        link BLOB NOT NULL, PRIMARY KEY (kind, source, target)) WITHOUT ROWID;
    CREATE INDEX links_by_target ON links (target);
    CREATE TABLE behaviours (id TEXT PRIMARY KEY, behaviour BLOB NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE spent (id TEXT NOT NULL, time_ns INTEGER NOT NULL, requests INTEGER NOT NULL,
        tokens INTEGER NOT NULL, cost INTEGER NOT NULL, PRIMARY KEY (id, time_ns)) WITHOUT ROWID;
    CREATE INDEX spent_by_time ON spent (time_ns);
    """,
)

_PROFILE = msgspec.json.Decoder(Profile)
_ENTRY = msgspec.json.Decoder(Entry)
_LINK = msgspec.json.Decoder(Link)
_BEHAVIOUR = msgspec.json.Decoder(Behaviour)
_ENCODE = msgspec.json.Encoder().encode


class Spent(msgspec.Struct, frozen=True):
    """What an identity spent in the minutes from a time on; `cost` in billionths of a dollar."""

    id: str
    time_ns: int
    requests: int
    tokens: int
    cost: int


class StoreError(Exception):
    """The identity store cannot be used; the message names the file, why, and what to do."""


class IdentityStore:
    """An open store. `fresh_because` says why a damaged one was put aside, and where it is now."""

    def __init__(
        self,
        path: Path,
        max_identities: int = MAX_IDENTITIES,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        """Open the store, or make one. Raises StoreError."""
        self.path, self._max_identities, self._max_entries = path, max_identities, max_entries
        self.fresh_because = ""
        try:
            self._database = _open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"cannot open the identity store {path}: {error}") from error
            aside = _put_aside(path)
            self.fresh_because = f"{path} is damaged ({error}): it is now {aside}, begun anew"
            self._database = _open(path)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # As the shelf of a tracker

    def by_id(self, identity: str) -> Profile | None:
        """Return an identity, None where it is not there."""
        row = self._database.execute("SELECT profile FROM identities WHERE id = ?", (identity,))
        found = row.fetchone()
        return _PROFILE.decode(found[0]) if found else None

    def by_keys(self, keys: Sequence[str]) -> Iterator[Profile]:
        """Yield those that have one of the keys, the last seen first, bounded."""
        if not keys:
            return
        found = self._database.execute(
            "SELECT DISTINCT identities.id, profile FROM keys JOIN identities USING (id) "
            f"WHERE key IN ({', '.join('?' * len(keys))}) ORDER BY last_ns DESC LIMIT ?",
            (*keys, MAX_CANDIDATES),
        )
        for _, profile in found.fetchall():
            yield _PROFILE.decode(profile)

    def link(self, kind: str, source: str, target: str) -> Link | None:
        """Return a link, None where it is not there."""
        rows = self._database.execute(
            "SELECT link FROM links WHERE kind = ? AND source = ? AND target = ?",
            (kind, source, target),
        )
        found = rows.fetchone()
        return _LINK.decode(found[0]) if found else None

    # By the monitor

    def write(self, changes: Changes) -> None:
        """Take what changed, all of it or nothing. Raises StoreError."""
        with self._transaction() as database:
            for profile in changes.profiles.values():
                database.execute(
                    "INSERT OR REPLACE INTO identities VALUES (?, ?, ?)",
                    (profile.id, profile.last_ns, _ENCODE(profile)),
                )
                database.execute("DELETE FROM keys WHERE id = ?", (profile.id,))
                keys = ((key, profile.id) for key in keys_of(profile))
                database.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", keys)
            database.executemany(
                "INSERT INTO entries VALUES (?, ?, ?)",
                ((id, entry.time_ns, _ENCODE(entry)) for id, entry in changes.entries),
            )
            database.executemany(
                "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?)",
                ((*key, _ENCODE(link)) for key, link in changes.links.items()),
            )
            for id, behaviour in changes.behaviours.items():
                whole = _ENCODE(behaviour.after(self.behaviour(id)))
                database.execute("INSERT OR REPLACE INTO behaviours VALUES (?, ?)", (id, whole))
            if changes.profiles:
                self._make_room(database)

    def keep_spent(self, spent: Sequence[Spent], since_ns: int) -> None:
        """Keep what was spent, and nothing that is older than a time. Raises StoreError."""
        with self._transaction() as database:
            database.executemany(
                "INSERT OR REPLACE INTO spent VALUES (?, ?, ?, ?, ?)",
                map(msgspec.structs.astuple, spent),
            )
            database.execute("DELETE FROM spent WHERE time_ns < ?", (since_ns,))

    def spent(self) -> list[Spent]:
        """Return what was kept of what was spent, by time."""
        return [
            Spent(*row)
            for row in self._database.execute("SELECT * FROM spent ORDER BY time_ns, id")
        ]

    # By the command line

    def identities(self) -> Iterator[Profile]:
        """Yield all identities, the last seen first."""
        rows = self._database.execute("SELECT profile FROM identities ORDER BY last_ns DESC, id")
        for (profile,) in rows:
            yield _PROFILE.decode(profile)

    def find(self, name: str) -> list[Profile]:
        """Return the identities whose id begins with a text or whose name it is."""
        return [p for p in self.identities() if p.id.startswith(name) or p.name == name]

    def timeline(self, identity: str) -> tuple[Entry, ...]:
        """Return what an identity did, by time."""
        rows = self._database.execute(
            "SELECT entry FROM entries WHERE id = ? ORDER BY time_ns, entry", (identity,)
        )
        return tuple(_ENTRY.decode(entry) for (entry,) in rows)

    def links(self, identity: str | None = None) -> tuple[Link, ...]:
        """Return all links, or those from and to an identity, in a fixed order."""
        where = "" if identity is None else "WHERE source = ?1 OR target = ?1"
        rows = self._database.execute(
            f"SELECT link FROM links {where} ORDER BY kind, source, target",
            () if identity is None else (identity,),
        )
        return tuple(_LINK.decode(link) for (link,) in rows)

    def behaviour(self, identity: str) -> Behaviour:
        """Return what an identity's models asked for and what came of it."""
        rows = self._database.execute("SELECT behaviour FROM behaviours WHERE id = ?", (identity,))
        found = rows.fetchone()
        return _BEHAVIOUR.decode(found[0]) if found else Behaviour()

    def forget(self, identity: str) -> None:
        """Delete all that is known of an identity. Raises StoreError."""
        with self._transaction() as database:
            _delete(database, (identity,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database as database:
                yield database
        except sqlite3.Error as error:
            raise StoreError(f"cannot write the identity store {self.path}: {error}") from error

    def _make_room(self, database: sqlite3.Connection) -> None:
        (count,) = database.execute("SELECT count(*) FROM identities").fetchone()
        if count > self._max_identities:
            leave = count - self._max_identities + self._max_identities // EVICTED_PART
            oldest = database.execute(
                "SELECT id FROM identities ORDER BY last_ns LIMIT ?", (leave,)
            )
            _delete(database, tuple(id for (id,) in oldest.fetchall()))
        first, last = database.execute("SELECT min(rowid), max(rowid) FROM entries").fetchone()
        if first is not None and last - first >= self._max_entries:
            keep = self._max_entries - self._max_entries // EVICTED_PART
            database.execute("DELETE FROM entries WHERE rowid <= ?", (last - keep,))


def _delete(database: sqlite3.Connection, identities: Sequence[str]) -> None:
    for table in ("identities", "keys", "entries", "behaviours", "spent"):
        database.executemany(f"DELETE FROM {table} WHERE id = ?", ((id,) for id in identities))
    database.executemany(
        "DELETE FROM links WHERE source = ?1 OR target = ?1", ((id,) for id in identities)
    )


def _open(path: Path) -> sqlite3.Connection:
    try:
        # Before SQLite makes it for everybody to read. Its other files get the mode of this one.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open the identity store {path}: {error.strerror}") from error
    database = sqlite3.connect(path, timeout=BUSY_SECONDS)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # After a power cut the last seconds may be missing, and nothing is damaged.
        database.execute("PRAGMA synchronous = NORMAL")
        (checked,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if checked != "ok":
            raise sqlite3.DatabaseError(checked)
        _migrate(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a later version of Busted (its schema is {version}, this one "
            f"knows {len(MIGRATIONS)}): use that, or another file"
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        # One transaction: a step is done whole, with its number, or not at all.
        database.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _put_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
