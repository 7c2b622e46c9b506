"""What a kind of output has to do, so that `busted.sinks.delivery` can do all the rest.

A channel takes a batch to its peer and says what became of it. It neither queues nor retries,
and it counts nothing: that is the same for every kind and stands in one place.

Events come as their public JSON, already at the content level of the output; so what waits on
disk is what may leave, and no more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

import msgspec


class WrongOutput(Exception):
    """An output that cannot be made as it was asked for; the message says what to change."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """An event on its way: its id, when it was queued (Unix seconds), and its JSON."""

    id: str
    queued_at: float
    event: bytes


class Sent(msgspec.Struct, frozen=True):
    """What became of a batch; events that are not mentioned were taken.

    `refused` counts those that the peer will never take; `again` are the positions of those to
    offer once more; `why` says in a few words why, quoting nothing of the events.
    """

    refused: int = 0
    again: frozenset[int] = frozenset()
    why: str = ""


ALL_TAKEN = Sent()


class Unavailable(Exception):
    """Nothing of the batch was surely taken; `after` is how long the peer asks to wait, seconds."""

    def __init__(self, why: str, after: float | None = None) -> None:
        """`why` quotes nothing of the events."""
        super().__init__(why)
        self.after = after


def reason(error: OSError) -> str:
    """Return the reason of the system's error alone; asyncio puts addresses into `strerror`."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else type(error).__name__


class Refused(Exception):
    """The peer will never take this batch.

    `one_of_them`: a single event may be to blame, and the others may pass without it.
    """

    def __init__(self, why: str, *, one_of_them: bool = False) -> None:
        """`why` quotes nothing of the events."""
        super().__init__(why)
        self.one_of_them = one_of_them


class Channel(Protocol):
    """The way to one peer; made before the event loop runs, used inside it only."""

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Take events to the peer, in order. Raises Unavailable or Refused."""

    async def close(self) -> None:
        """Let the connection go; never raises."""
