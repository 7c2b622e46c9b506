"""The history as an output: each batch is one transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from busted.events import Event
from busted.sinks.channel import Item, Sent, Unavailable, WrongOutput
from busted.sinks.history import MAX_AGE_DAYS, MAX_BYTES, History, HistoryError, Limits
from busted.sinks.settings import Count, Positive, QueuedSettings


class HistorySettings(QueuedSettings, frozen=True, kw_only=True):
    """Settings of a history."""

    max_bytes: Count = MAX_BYTES
    max_days: Positive = float(MAX_AGE_DAYS)


class HistoryChannel:
    """Keeps events in a file of this host."""

    def __init__(self, target: str, settings: HistorySettings) -> None:
        """Open the file. Raises WrongOutput."""
        try:
            self._history = History(Path(target), Limits(settings.max_bytes, settings.max_days))
        except HistoryError as error:
            raise WrongOutput(str(error)) from error

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Add a batch; one that could not be added is offered again."""
        events, refused = [], 0
        for item in batch:
            try:
                events.append(msgspec.json.decode(item.event, type=Event))
            except msgspec.DecodeError:
                refused += 1  # half a surrogate pair, which a JSON string may carry and text not
        try:
            await asyncio.to_thread(self._history.add, events)
        except sqlite3.Error as error:
            raise Unavailable(f"the history cannot be written: {error}") from error
        return Sent(refused, why="it cannot be read back" if refused else "")

    async def close(self) -> None:
        """Close the file."""
        self._history.close()
