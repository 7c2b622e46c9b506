"""What the exchanges of a connection reveal, each told once, when the exchange is over.

Strategy: each action of an exchange that holds personal data or secrets is followed by what it
reveals (see `Scanner.examine`). That is kept back here and added up, until the exchange is no
longer under way, or `TELL_SECONDS` have passed: a stream of events may last for days. What
comes after that is told apart. What a server asks or tells by itself, as MCP's notifications are,
belongs to no exchange of ours, and passes.

Left out: which action holds which finding. The actions tell that themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

import msgspec

from busted.classifier.exchange import Observed
from busted.events import PiiDetected

# As long as an answer may be idle before it is given up.
TELL_SECONDS = 300
# Under way at once: HTTP/2 servers allow 100 to 250 requests, and so many may wait in HTTP/1.
MAX_EXCHANGES = 256
_NANOSECONDS = 1_000_000_000


class _Kept(msgspec.Struct):
    observed: Observed
    action: PiiDetected


class Revealed:
    """Keeps at most `max_exchanges`; before it takes another, the oldest is told."""

    def __init__(self, max_exchanges: int = MAX_EXCHANGES) -> None:
        self._max = max_exchanges
        # By exchange, in the order of what was found first.
        self._kept: dict[int, _Kept] = {}

    def __bool__(self) -> bool:
        """Whether anything is kept."""
        return bool(self._kept)

    def keep(self, observed: list[Observed], time_ns: int) -> list[Observed]:
        """Return what was observed without what is kept back."""
        told: list[Observed] = []
        for one in observed:
            action = one.action
            if not isinstance(action, PiiDetected) or _stands_alone(action):
                told.append(one)
            elif kept := self._kept.get(one.exchange):
                kept.action = together(kept.action, action)
            else:
                if len(self._kept) >= self._max:
                    told.append(self._tell(next(iter(self._kept)), time_ns))
                self._kept[one.exchange] = _Kept(one, action)
        return told

    def over(self, under_way: Set[int], time_ns: int) -> Iterator[Observed]:
        """Yield what was found in exchanges that are not `under_way`, at `time_ns`."""
        for exchange in [known for known in self._kept if known not in under_way]:
            yield self._tell(exchange, time_ns)

    def expire(self, now_ns: int) -> Iterator[Observed]:
        """Yield what was first found `TELL_SECONDS` before `now_ns`, or earlier."""
        oldest = now_ns - TELL_SECONDS * _NANOSECONDS
        for exchange, kept in list(self._kept.items()):
            if kept.observed.time_ns < oldest:
                yield self._tell(exchange, now_ns)

    def _tell(self, exchange: int, time_ns: int) -> Observed:
        kept = self._kept.pop(exchange)
        return msgspec.structs.replace(kept.observed, action=kept.action, time_ns=time_ns)


def together(first: PiiDetected, second: PiiDetected) -> PiiDetected:
    """Return two as one, which comes in the place of the first."""
    counts = _sum(first.counts, second.counts)
    return PiiDetected(
        direction="write" if "write" in (first.direction, second.direction) else "read",
        kinds=tuple(counts),
        categories=tuple(sorted({*first.categories, *second.categories})),
        counts=counts,
        written=_sum(first.written, second.written),
        where=first.where,
        actions=tuple(dict.fromkeys((*first.actions, *second.actions))),
        count=first.count + second.count,
    )


def _sum(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    kinds = sorted({*first, *second})
    return {kind: first.get(kind, 0) + second.get(kind, 0) for kind in kinds}


def _stands_alone(action: PiiDetected) -> bool:
    return action.where == "McpRequest" and action.direction == "read"
