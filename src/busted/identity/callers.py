"""Which agents have a connection open to which processes, by the addresses of its two ends.

Both ends of a connection on this host tell of it: who asked for it, and who accepted it. While it
is open, what the accepting process asks a model may be for who asked for the connection.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from busted.events import Connection, Network

MAX_CONNECTIONS = 4096

Ends = tuple[str | None, int | None, str | None, int | None]


class _Between(msgspec.Struct):
    caller: str = ""
    instance: str = ""


class Callers:
    """The open connections between processes of this host, bounded."""

    def __init__(self, max_connections: int = MAX_CONNECTIONS) -> None:
        """Remember so many connections; the oldest make room."""
        self._max = max_connections
        self._open: OrderedDict[Ends, _Between] = OrderedDict()
        self._of: dict[str, dict[Ends, None]] = {}

    def take(self, at: Connection, action: Network, instance: str, identity: str) -> None:
        """Take what was told of a connection; `identity` is empty where that is unknown."""
        mine = (at.src_ip, at.src_port, at.dst_ip, at.dst_port)
        theirs = (at.dst_ip, at.dst_port, at.src_ip, at.src_port)
        if action.operation == "close":
            self._close(mine)
            self._close(theirs)
        elif action.operation == "connect" and not action.error and identity:
            self._between(mine).caller = identity
        elif action.operation == "accept":
            self._between(theirs).instance = instance
            self._of.setdefault(instance, {})[theirs] = None

    def of(self, instance: str) -> tuple[str, ...]:
        """Return the identities that are connected to a process, in the order they were told."""
        callers = (self._open[ends].caller for ends in self._of.get(instance, ()))
        return tuple(dict.fromkeys(caller for caller in callers if caller))

    def _between(self, ends: Ends) -> _Between:
        known = self._open.get(ends)
        if known is None:
            known = self._open[ends] = _Between()
            if len(self._open) > self._max:
                self._close(next(iter(self._open)))
        return known

    def _close(self, ends: Ends) -> None:
        between = self._open.pop(ends, None)
        if between is not None and between.instance in self._of:
            self._of[between.instance].pop(ends, None)
            if not self._of[between.instance]:
                del self._of[between.instance]
