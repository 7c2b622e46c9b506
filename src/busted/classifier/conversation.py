"""What a conversation over a WebSocket is to those who follow it, whatever its dialect.

A client says what it wants in several messages, of which one asks for an answer; the server
answers in many, maybe several answers at a time. A dialect's conversation remembers what was
said and not yet told, and says of each message what it is: `websocket` makes exchanges of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from busted.classifier.chat import MAX_MESSAGES
from busted.classifier.collect import MAX_BODY_BYTES

Body = Mapping[str, object]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request: as its dialect's `read_request` takes it, and the bytes of all its messages.

    Of requests in the same `lane` one is answered after the other; None is any lane.
    """

    body: Body
    size: int
    lane: str | None = ""
    truncated: bool = False


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which answer a server's message is of: its lane, its identifier where the message has it.

    `begins` unless the message says nothing by itself; `apart` if it is of no answer that began.
    """

    lane: str = ""
    id: str | None = None
    begins: bool = True
    apart: bool = False


class Conversation(Protocol):
    """What a dialect knows of one WebSocket; nothing in the messages makes it raise."""

    def ask(self, value: Body, size: int) -> Asked | None:
        """Take a client's message of `size` bytes; return the request that it completes."""

    def ahead(self, value: Body, size: int) -> Asked | None:
        """Return what such a message says by itself, after `ask` found that it completes none."""

    def unasked(self, *, is_over: bool = False) -> Asked | None:
        """Return what was said and not asked to be answered: the server begins, or it `is_over`."""

    def answer(self, value: Body) -> Place | None:
        """Return which answer a server's message is of, None when it is of none."""


class Said:
    """What a client said since it was last told, within limits: the oldest goes first."""

    def __init__(self) -> None:
        self.size = 0
        self.media = 0
        """How many bytes of sound and pictures, decoded."""
        self.is_cut = False
        self._items: list[tuple[object, int]] = []
        self._kept = 0

    @property
    def items(self) -> list[object]:
        """What was said, in order."""
        return [item for item, _ in self._items]

    def add(self, item: object, size: int) -> None:
        """Add what a message of `size` bytes says."""
        self._items.append((item, size))
        self._kept += size
        while self._kept > MAX_BODY_BYTES or len(self._items) > MAX_MESSAGES:
            self._kept -= self._items.pop(0)[1]
            self.is_cut = True
