"""Which agents have a connection open to which processes, by the addresses of its two ends.

Both ends of a connection on this host tell of it: who asked for it, and who accepted it. While it
is open, what the accepting process asks a model may be for who asked for the connection. Where
requests on it are seen, as those of A2A are, it is so only while one awaits its answer, and likely.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from busted.events import Connection, Network

MAX_CONNECTIONS = 4096

Ends = tuple[str | None, int | None, str | None, int | None]


# How sure it is that a process asks a model for who is connected, and for who awaits an answer.
WHILE_CONNECTED, WHILE_ASKED = 0.6, 0.95


class _Between(msgspec.Struct):
    """`awaited` counts requests without an answer; None where none was ever seen."""

    caller: str = ""
    instance: str = ""
    awaited: int | None = None


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
            self._accepted(theirs, instance)

    def accepted(self, at: Connection, instance: str) -> None:
        """Take that a process holds the other end of a connection."""
        if at.src_ip and at.dst_ip:
            self._accepted((at.src_ip, at.src_port, at.dst_ip, at.dst_port), instance)

    def asked(self, at: Connection | None, identity: str) -> None:
        """Take that an identity asked something over its connection."""
        if at is not None and at.src_ip and at.dst_ip:
            between = self._between((at.src_ip, at.src_port, at.dst_ip, at.dst_port))
            between.caller, between.awaited = identity, (between.awaited or 0) + 1

    def answered(self, at: Connection | None) -> None:
        """Take that the answer came."""
        between = at and self._open.get((at.src_ip, at.src_port, at.dst_ip, at.dst_port))
        if between and between.awaited:
            between.awaited -= 1

    def of(self, instance: str) -> dict[str, float]:
        """Return who is connected to a process and may be asking it, each with how sure that is."""
        found: dict[str, float] = {}
        for between in (self._open[ends] for ends in self._of.get(instance, ())):
            if between.caller and between.awaited != 0:
                sure = WHILE_ASKED if between.awaited else WHILE_CONNECTED
                found[between.caller] = max(sure, found.get(between.caller, 0.0))
        return found

    def _accepted(self, ends: Ends, instance: str) -> None:
        between = self._between(ends)
        # One process accepts, and another one that it forks goes on.
        if between.instance != instance:
            self._left(between.instance, ends)
        between.instance = instance
        self._of.setdefault(instance, {})[ends] = None

    def _between(self, ends: Ends) -> _Between:
        known = self._open.get(ends)
        if known is None:
            known = self._open[ends] = _Between()
            if len(self._open) > self._max:
                self._close(next(iter(self._open)))
        return known

    def _close(self, ends: Ends) -> None:
        between = self._open.pop(ends, None)
        if between is not None:
            self._left(between.instance, ends)

    def _left(self, instance: str, ends: Ends) -> None:
        if instance in self._of:
            self._of[instance].pop(ends, None)
            if not self._of[instance]:
                del self._of[instance]
