"""Events to a pipe, terminal or file that may be slower than the agents we watch.

Strategy: `write` renders the event and puts it into a bounded queue; one thread takes events out
and writes each with its own system call, past all of Python's buffers, so that we know exactly
which ones were delivered. A full queue drops the new event and counts it: the monitor never
waits for its reader. produced = delivered + lost, always.

Left out: retries. A reader that is gone (`busted monitor | head -1`) is not coming back; the
owner sees `closed` and stops.
"""

from __future__ import annotations

import logging
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

from busted.events import Event

log = logging.getLogger(__name__)

# A busy host makes a few hundred events a second; this is several seconds of a stalled reader.
MAX_QUEUED_EVENTS = 4096
# Prompts can be megabytes at `--content full`; the queue must not become the monitor's memory.
MAX_QUEUED_BYTES = 32 << 20

Render = Callable[[Event], bytes]


class Writer:
    """A sink: writes what `render` makes of each event to `stream`, from a thread of its own.

    `stream` must be unbuffered: its `write` says how many bytes went out. After `closed`
    became true nothing is written any more; `error` says why, None when the reader left.
    """

    def __init__(
        self,
        stream: BinaryIO,
        render: Render,
        max_events: int = MAX_QUEUED_EVENTS,
        max_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        """Start the thread; it ends with `close`."""
        self.closed = False
        self.when_closed: Callable[[], object] = lambda: None
        """Called once, from the writer's thread, when the reader left or writing failed."""
        self.error: OSError | None = None
        self.delivered = 0
        self.lost = 0
        self._stream, self._render = stream, render
        self._max_events, self._max_bytes = max_events, max_bytes
        # What is being written stays at the head of the queue until it is out.
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._ending = self._render_failed = False
        self._changed = threading.Condition()
        # A daemon: a thread stuck in write(2) must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="busted-writer", daemon=True)
        self._thread.start()

    def write(self, event: Event) -> None:
        """Queue an event, or count it as lost; never waits."""
        try:
            line = self._render(event)
        except Exception as error:
            # One event that cannot be shown must not blind the monitor: count it, go on. The
            # message is left out, since it may quote what must not be shown.
            line = None
            if not self._render_failed:
                log.error(
                    "event %s could not be shown (%s); others are counted, not logged",
                    event.id,
                    type(error).__name__,
                )
            self._render_failed = True
        with self._changed:
            if (
                line is None
                or self.closed
                or self._ending
                or len(self._queue) >= self._max_events
                or self._queued_bytes + len(line) > self._max_bytes
            ):
                self.lost += 1
                return
            self._queue.append(line)
            self._queued_bytes += len(line)
            self._changed.notify_all()

    def close(self, timeout: float) -> None:
        """Write what is queued, for `timeout` seconds at most; the rest counts as lost."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            self._stop()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ending or self.closed)
                if self.closed or not self._queue:
                    return
                line = self._queue[0]
            try:
                deliver(self._stream, line)
            except OSError as error:
                self._failed(error)
                return
            with self._changed:
                if self.closed:  # close() ran out of time and counted this line as lost
                    return
                self._queue.popleft()
                self._queued_bytes -= len(line)
                self.delivered += 1

    def _failed(self, error: OSError) -> None:
        with self._changed:
            if not isinstance(error, BrokenPipeError):
                self.error = error
            self._stop()
        self.when_closed()

    def _stop(self) -> None:
        self.closed = True
        self.lost += len(self._queue)
        self._queue.clear()
        self._queued_bytes = 0


def deliver(stream: BinaryIO, data: bytes | bytearray) -> None:
    """Write all of `data` to an unbuffered stream, waiting as long as it takes.

    Raises OSError; a BrokenPipeError says that the reader left.
    """
    rest = memoryview(data)
    while rest:
        # None: the other end made the pipe non-blocking (Node does), and it is full.
        count = stream.write(rest)
        if count is None:
            select.select([], [stream], [])
        else:
            rest = rest[count:]
