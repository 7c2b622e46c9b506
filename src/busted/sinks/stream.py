"""What outputs share that write to a connection without being answered.

Strategy: connect at the first batch, write, and wait until the kernel has all of it. The peer is
listened to as well, since that is how a closed connection is known before something is written to
it. What fails is offered again as a whole on a new connection.

Left out: certainty. Such protocols do not acknowledge: what the kernel had taken and the peer had
not read when it died is lost, and nobody can count it (RFC 6587 section 3.1 says so of syslog).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from busted.sinks.channel import Unavailable, reason

Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connection:
    """A connection that is made when it is needed, and again when it broke."""

    def __init__(self, connect: Callable[[], Awaitable[Connected]], timeout: float) -> None:
        """`timeout` bounds connecting and each write, in seconds."""
        self._connect, self._timeout = connect, timeout
        self._streams: Connected | None = None

    async def write(self, data: bytes) -> None:
        """Write all of it. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._streams and self._streams[0].at_eof():
                    await self.close()
                if self._streams is None:
                    self._streams = await self._connect()
                    # What a peer says is of no interest, only that it is there; read to the
                    # end, or its close would not be seen behind it.
                    self._reading = asyncio.ensure_future(_discard(self._streams[0]))
                self._streams[1].write(data)
                await self._streams[1].drain()
        except TimeoutError as error:
            await self.close()
            raise Unavailable(f"takes nothing for {self._timeout:g} seconds") from error
        except OSError as error:
            await self.close()
            raise Unavailable(f"cannot connect or write: {reason(error)}") from error

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._streams is None:
            return
        streams, self._streams = self._streams, None
        self._reading.cancel()
        if streams[1].transport.get_write_buffer_size():
            streams[1].transport.abort()  # it would wait for a peer that takes nothing
        else:
            streams[1].close()
        with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(1.0):
                await streams[1].wait_closed()


async def _discard(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(4096):
            pass
