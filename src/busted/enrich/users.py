"""Names of users, from the host's /etc/passwd.

Only that file is read, not NSS: a directory service may take seconds to answer or be the very
program that is watched, and an event waits for nobody. In a container the same uid may have
another name; its own passwd is the container's word and is not asked.

The file is read when a uid comes that is not known, and again when it has changed since.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from busted.enrich.files import read_file
from busted.events import Event

# Thousands of users have lines of a hundred bytes; a larger file is cut.
MAX_PASSWD_BYTES = 4 << 20
# Uids that were asked about: containers in user namespaces have 65,536 each.
MAX_USERS = 16384


class UserFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the host calls a uid; None: nothing."""

    uid: int
    name: str | None = None


class Users:
    """The names by uid; calling it with an event fills in that of its process."""

    def __init__(
        self,
        passwd: Path | None = Path("/etc/passwd"),
        found: Callable[[UserFacts], None] = lambda facts: None,
        max_users: int = MAX_USERS,
    ) -> None:
        """`found` hears of each uid that was looked up; without `passwd` only `learn` tells."""
        self._passwd, self._found, self._max = passwd, found, max_users
        self._facts: dict[int, UserFacts] = {}
        self._names: dict[int, str] = {}
        self._homes: dict[int, Path] = {}
        self._version: tuple[int, int, int] | None = None

    def learn(self, facts: UserFacts) -> None:
        """Take facts, from here or from a recording."""
        self._facts[facts.uid] = facts
        if len(self._facts) > self._max:
            del self._facts[next(iter(self._facts))]

    def __call__(self, event: Event) -> Event:
        """Add the user's name to the event's process."""
        uid = event.process.uid
        if uid is None:
            return event
        facts = self._facts.get(uid)
        if facts is None:
            if self._passwd is None:
                return event
            self._read()
            facts = UserFacts(uid, self._names.get(uid))
            self.learn(facts)
            self._found(facts)
        if facts.name is None:
            return event
        return replace(event, process=replace(event.process, user=facts.name))

    def home(self, uid: int) -> Path | None:
        """Return the home directory of a user of the host."""
        if uid not in self._homes:
            self._read()
        return self._homes.get(uid)

    def changed(self) -> None:
        """Forget what was looked up if the file is another by now; to be called now and then."""
        if self._passwd is not None and _version(self._passwd) != self._version:
            self._facts.clear()

    def _read(self) -> None:
        if self._passwd is None or (version := _version(self._passwd)) == self._version:
            return
        self._version = version
        self._names, self._homes = {}, {}
        for line in (read_file(self._passwd, MAX_PASSWD_BYTES) or b"").splitlines():
            # passwd(5): name:password:UID:GID:GECOS:directory:shell
            fields = line.decode("utf-8", "replace").split(":")
            if len(fields) == 7 and fields[2].isascii() and fields[2].isdecimal():
                # The first line of a uid counts, as for getpwuid(3).
                uid = int(fields[2][:10])
                self._names.setdefault(uid, fields[0])
                self._homes.setdefault(uid, Path(fields[5]))


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
