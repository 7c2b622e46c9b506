"""The bytes of one message, kept within a limit: its head, and of a longer one its tail.

The tail is kept because key order decides what a cut loses: some clients write the settings of a
request behind the conversation.
"""

from __future__ import annotations

# The settings behind a conversation; with the schemas of many tools they take some 50 KB.
TAIL_BYTES = 64 * 1024


class Bounded:
    """Takes a message in pieces; `head` has the first `limit` bytes, `tail` the last of the others.

    `missing` counts bytes that were never seen; what follows them is of the tail.
    """

    def __init__(self, limit: int, tail_limit: int = TAIL_BYTES) -> None:
        self.head = bytearray()
        self.missing = 0
        self.is_cut = False
        self._limit = limit
        self._tail = bytearray()
        self._tail_limit = tail_limit

    @property
    def tail(self) -> bytes:
        """The last bytes of a message of which not all were kept, else nothing."""
        return bytes(self._tail[-self._tail_limit :])

    def add(self, data: bytes) -> None:
        """Add the next bytes."""
        room = 0 if self.is_cut else self._limit - len(self.head)
        self.head += data[:room]
        if room < len(data):
            self.is_cut = True
            self._tail += memoryview(data)[room:][-self._tail_limit :]
            # Cut now and then, so that single bytes do not cost a copy each.
            if len(self._tail) > 2 * self._tail_limit:
                del self._tail[: -self._tail_limit]

    def gap(self, missing: int) -> None:
        """Tell that the next `missing` bytes were never seen."""
        self.missing += missing
        self.is_cut = True
