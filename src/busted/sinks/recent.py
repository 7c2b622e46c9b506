"""The newest events as bytes, in memory: who follows them reads at its own pace.

Every event has a number, one more than the one before. A follower remembers the last number that it
has read and asks for what came after; so followers cost no queue of their own, and one that is too
slow finds that what it wanted has made room, and how much that was.

Any thread may put and read. Whoever waits leaves a call, which is made once, by the thread that
puts the next event: it must do no more than wake somebody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

# Some minutes of a usual host. As for the bytes: prompts can be megabytes at full content.
MAX_EVENTS = 8192
MAX_BYTES = 16 << 20


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event with its number; `event` is its JSON."""

    number: int
    id: str
    event: bytes


class Recent:
    """A bounded memory of events, the newest of which is always there, however large."""

    def __init__(
        self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES, name: str = "socket"
    ) -> None:
        """`max_bytes` counts the JSON of events."""
        self.name = name
        self._max_events, self._max_bytes = max_events, max_bytes
        self._entries: dict[int, Entry] = {}
        self._oldest, self._newest, self._bytes = 1, 0, 0
        self._waiting: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    @property
    def newest(self) -> int:
        """The number of the newest event, 0 before the first."""
        return self._newest

    def put(self, id: str, event: bytes) -> None:
        """Add an event; the oldest make room."""
        with self._lock:
            self._newest += 1
            self._entries[self._newest] = Entry(self._newest, id, event)
            self._bytes += len(event)
            while self._oldest < self._newest and (
                len(self._entries) > self._max_events or self._bytes > self._max_bytes
            ):
                self._bytes -= len(self._entries.pop(self._oldest).event)
                self._oldest += 1
            waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def after(self, number: int, max_bytes: int) -> tuple[list[Entry], int]:
        """Return what came after a number, up to so many bytes but at least one where there is one.

        And how many of those that came after it are here no more.
        """
        with self._lock:
            missed = max(0, self._oldest - 1 - number)
            found: list[Entry] = []
            size = 0
            for next_number in range(max(number + 1, self._oldest), self._newest + 1):
                entry = self._entries[next_number]
                size += len(entry.event)
                if found and size > max_bytes:
                    break
                found.append(entry)
            return found, missed

    def all(self) -> list[Entry]:
        """Return all that are here, the oldest first."""
        with self._lock:
            return list(self._entries.values())

    def one(self, id: str) -> Entry | None:
        """Return an event, None where it is here no more."""
        # Whoever asks saw it lately.
        return next((entry for entry in reversed(self.all()) if entry.id == id), None)

    def number_of(self, id: str) -> int | None:
        """Return the number of an event, None where it is here no more."""
        found = self.one(id)
        return found.number if found else None

    def when_more(self, number: int, call: Callable[[], object]) -> None:
        """Have `call` called once when there is more than this number; at once where there is."""
        with self._lock:
            if self._newest <= number:
                self._waiting.append(call)
                return
        call()
