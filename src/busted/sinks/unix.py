"""Events to a Unix stream socket that somebody else listens on, one JSON object a line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from busted.sinks.channel import ALL_TAKEN, Item, Sent
from busted.sinks.settings import RemoteSettings
from busted.sinks.stream import Connection


class UnixSettings(RemoteSettings, frozen=True, kw_only=True):
    """Settings of a Unix socket."""


class UnixChannel:
    """Connects to a socket and writes to it."""

    def __init__(self, target: str, settings: UnixSettings) -> None:
        """`target` is a path."""
        self._connection = Connection(
            lambda: asyncio.open_unix_connection(target), settings.timeout
        )

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Write a batch; it counts as taken when the kernel has it."""
        await self._connection.write(b"".join(item.event + b"\n" for item in batch))
        return ALL_TAKEN

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
