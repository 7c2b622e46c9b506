"""Which processes of this host hold the two ends of one TLS connection.

Both ends hold the random of its ClientHello (RFC 8446 section 4.1.2), 32 bytes of chance: so two
processes with one random speak to each other, whatever is known of their sockets. That tells which
process answers what an agent asks another agent, where nothing else of that process is of interest.
Either end may be told first.
"""

from __future__ import annotations

from collections import OrderedDict

from busted.events import Connection
from busted.records import ProcessKey

# Connections of the last seconds, of agents and of everybody else.
MAX_RANDOMS = 4096
# Connections between agents; most of them serve many requests.
MAX_ASKING = 1024


class TlsEnds:
    """The randoms seen, by whom, and the connections that agents ask each other over; bounded."""

    def __init__(self, max_randoms: int = MAX_RANDOMS, max_asking: int = MAX_ASKING) -> None:
        """Remember so many of each; the oldest make room."""
        self._max_randoms, self._max_asking = max_randoms, max_asking
        self._holding: OrderedDict[bytes, dict[ProcessKey, None]] = OrderedDict()
        self._asking: OrderedDict[bytes, tuple[ProcessKey, Connection]] = OrderedDict()

    def holds(self, random: bytes, process: ProcessKey) -> Connection | None:
        """Take that a process holds an end; return the other end's, if that asked over it."""
        self._holding.setdefault(random, {})[process] = None
        if len(self._holding) > self._max_randoms:
            self._holding.popitem(last=False)
        asker, at = self._asking.get(random, (process, None))
        return at if asker != process else None

    def asks(self, random: bytes, process: ProcessKey, at: Connection) -> ProcessKey | None:
        """Take that a process asks over its end; return who holds the other one, if known."""
        self._asking[random] = (process, at)
        if len(self._asking) > self._max_asking:
            self._asking.popitem(last=False)
        return next((one for one in self._holding.get(random, ()) if one != process), None)
