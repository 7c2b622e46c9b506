"""What a record tells by itself, without a stream: the way of networks, processes and files."""

from __future__ import annotations

import msgspec

from busted import events
from busted.records import ProcessKey


class Told(msgspec.Struct, frozen=True):
    """An action that a record tells by itself, as those of networks, processes and files do."""

    time_ns: int
    key: ProcessKey
    process: events.Process
    action: events.Action
    connection: events.Connection | None = None
