"""Events that wait in memory, between the monitor's thread and the one that sends.

Bounded in events and in bytes. A full queue drops the oldest that is not on its way: when a peer is
away for long, what happened last is worth more than what happened first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import islice

from busted.sinks.channel import Item

# Numbers tell items apart, which may have the same id.
Numbered = tuple[int, Item]


class MemoryQueue:
    """A bounded queue that any thread may use; `dropped` counts what it had no room for."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        """`max_bytes` counts the JSON of events."""
        self.dropped = 0
        self._max_events, self._max_bytes = max_events, max_bytes
        self._items: dict[int, Item] = {}
        self._bytes = self._next = 0
        # So many of the oldest were handed out by `head` and are on their way.
        self._on_their_way = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest was queued (Unix seconds), None where there is none."""
        with self._lock:
            oldest = next(iter(self._items.values()), None)
            return oldest.queued_at if oldest else None

    def put(self, item: Item) -> int:
        """Add an event, dropping the oldest for it, and return how many wait now."""
        with self._lock:
            self._items[self._next] = item
            self._next += 1
            self._bytes += len(item.event)
            while len(self._items) > self._max_events or self._bytes > self._max_bytes:
                self._take(next(islice(self._items, self._on_their_way, None)))
                self.dropped += 1
            return len(self._items)

    def head(self, max_events: int, max_bytes: int) -> list[Numbered]:
        """Return the oldest, at least one where there is one, and leave them there."""
        with self._lock:
            head = up_to(islice(self._items.items(), max_events), max_bytes)
            self._on_their_way = len(head)
            return head

    def remove(self, numbers: Iterable[int]) -> int:
        """Remove these and return how many were still there."""
        with self._lock:
            count = sum(self._take(number) for number in numbers)
            self._on_their_way = max(0, self._on_their_way - count)
            return count

    def _take(self, number: int) -> bool:
        item = self._items.pop(number, None)
        if item is None:
            return False
        self._bytes -= len(item.event)
        return True


def up_to(items: Iterable[Numbered], max_bytes: int) -> list[Numbered]:
    """Return the first items that have together at most `max_bytes`, but at least one."""
    taken: list[Numbered] = []
    size = 0
    for number, item in items:
        size += len(item.event)
        if taken and size > max_bytes:
            break
        taken.append((number, item))
    return taken
