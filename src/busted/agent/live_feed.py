"""One stream from the monitor for all who look: read by a thread, kept in `Recent`.

When the monitor went away the thread asks again, for what it missed too. Where the newest event
that it has is no more among what the monitor still knows, an entry without an id tells of a gap.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import msgspec

from busted.agent import socket_client
from busted.agent.content import Level
from busted.agent.socket_client import SocketError
from busted.agent.socket_messages import Control, EventsRequest
from busted.sinks.recent import Recent

log = logging.getLogger(__name__)

# Asked for at each start: what a monitor's own memory holds, unless prompts are large.
LAST = 1000
RETRY_SECONDS = 1.0


class _Head(msgspec.Struct, frozen=True):
    id: str


_HEAD = msgspec.json.Decoder(_Head)


class LiveFeed:
    """Follows a monitor until closed; `recent` holds what it told."""

    def __init__(
        self, path: Path, content: Level | None = None, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        """Start the thread. The monitor may come later. `content` asks for a lower level."""
        self.recent = Recent()
        self.connected = False
        self.gaps = 0
        self.why = ""
        """Why it is not connected."""
        self._path, self._content, self._retry_seconds = path, content, retry_seconds
        self._newest = ""
        self._closed = threading.Event()
        # A daemon: it may wait for a monitor that says nothing.
        self._thread = threading.Thread(target=self._run, name="busted-feed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following soon."""
        self._closed.set()

    def _run(self) -> None:
        told = ""
        while not self._closed.is_set():
            try:
                self._follow()
                self.why = "the monitor ended"
            except SocketError as error:
                self.why = str(error)
            self.connected = False
            if self.why != told:
                log.warning("live events: %s", self.why)
            told = self.why
            self._closed.wait(self._retry_seconds)

    def _follow(self) -> None:
        request = EventsRequest(LAST, content=self._content)
        with socket_client.following(self._path, request) as lines:
            before: list[tuple[str, bytes]] = []
            for line in lines:
                if self._closed.is_set():
                    return
                if isinstance(line, Control):
                    if line.control == "live":
                        self._catch_up(before)
                        self.connected = True
                    elif line.control == "dropped":
                        self._gap(line.count, "the server was too slow")
                elif self.connected:
                    self._take(_HEAD.decode(line).id, line)
                else:
                    before.append((_HEAD.decode(line).id, line))

    def _catch_up(self, before: list[tuple[str, bytes]]) -> None:
        """Take what was told of the past, as far as it is new."""
        seen = [id for id, _ in before]
        if self._newest in seen:
            before = before[seen.index(self._newest) + 1 :]
        elif self._newest:
            self._gap(None, "the monitor was away, or told more than it remembers")
        for id, line in before:
            self._take(id, line)

    def _take(self, id: str, line: bytes) -> None:
        self._newest = id
        self.recent.put(id, line)

    def _gap(self, count: int | None, why: str) -> None:
        self.gaps += 1
        self.recent.put("", msgspec.json.encode({"count": count, "why": why}))
