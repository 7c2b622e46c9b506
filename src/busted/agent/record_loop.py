"""Reads the buffer of the kernel's records in the event loop.

The first record after a silence wakes the reader, the next ones wake nobody: while there are some
it looks at intervals, and asks to be woken again when it found none. Without an interval it asks
at once, for those that wait for what it reads.

A record that came while the reader asked may have woken nobody, for a processor may store after a
later load. So once a second somebody calls `tick`, which reads and asks anew: if it read only, a
record that had just used up the wake-up would be gone, and with it what should wake the reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from busted.kernel.ring import MAX_BATCH_BYTES
from busted.kernel.shared import RingReader

Take = Callable[[list[bytes]], int]
"""Takes records, and returns how many bytes they had."""


class RecordLoop:
    """Gives what the buffer has to `take`, in order, from `start` to `stop`."""

    def __init__(self, buffer: RingReader, take: Take, interval: float) -> None:
        """`interval` is in seconds."""
        self._buffer, self._take, self._interval = buffer, take, interval
        self._is_asleep = self._is_stopped = False

    def start(self) -> None:
        """Read what is there, and go on in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._read()

    def tick(self) -> None:
        """Read, if it sleeps, and sleep again."""
        if self._is_asleep:
            self._read()

    def stop(self) -> None:
        """Read no more; what is left is the caller's."""
        self._wake()
        self._is_stopped = True

    def _read(self) -> None:
        if self._is_stopped:
            return
        self._wake()
        taken = self._take(self._buffer.read())
        if taken > MAX_BATCH_BYTES // 2:
            # The batch ended at its limit, or near it: there is more, and the buffer may fill up.
            self._loop.call_soon(self._read)
        # A buffer that is not empty and gives nothing begins with a record still being written.
        elif (taken and self._interval) or not self._buffer.arm():
            self._loop.call_later(self._interval, self._read)
        else:
            self._is_asleep = True
            self._loop.add_reader(self._buffer.fd, self._read)

    def _wake(self) -> None:
        if self._is_asleep:
            self._is_asleep = False
            self._loop.remove_reader(self._buffer.fd)
