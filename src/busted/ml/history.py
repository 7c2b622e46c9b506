"""What processes opened in the last minute: part of what their traffic is judged by.

Bounded: so many processes, so many connections of each; who was quiet longest is forgotten first.
"""

from __future__ import annotations

from collections import deque

import msgspec

from busted.ml.features import Context
from busted.records import ProcessKey

MINUTE_NS = 60 * 1_000_000_000


class HistoryLimits(msgspec.Struct, frozen=True):
    """What is remembered at most."""

    # As many as processes that are told of (`told_processes` of bpf/common.h is twice that).
    processes: int = 8192
    # More connections a minute differ in nothing but the count.
    connections: int = 64


class History:
    """The connections that each process opened in the last minute, with where they went."""

    def __init__(self, limits: HistoryLimits = HistoryLimits()) -> None:  # noqa: B008  (frozen)
        self._limits = limits
        self._opened: dict[ProcessKey, deque[tuple[int, bytes]]] = {}

    def __len__(self) -> int:
        """Return how many processes are remembered."""
        return len(self._opened)

    def opened(self, process: ProcessKey, destination: bytes, now_ns: int) -> None:
        """Take a connection that a process opened."""
        opened = self._opened.pop(process, None)
        if opened is None:
            opened = deque(maxlen=self._limits.connections)
        self._opened[process] = opened
        opened.append((now_ns, destination))
        if len(self._opened) > self._limits.processes:
            del self._opened[next(iter(self._opened))]

    def context(self, process: ProcessKey, window: int, now_ns: int) -> Context:
        """Return what is known beside a window of one of its connections."""
        opened = self._opened.get(process)
        while opened and now_ns - opened[0][0] > MINUTE_NS:
            opened.popleft()
        if not opened:
            return Context(window)
        return Context(window, len(opened), len({destination for _, destination in opened}))
