"""What each identity has spent in the last hour and day: requests, tokens and dollars.

Strategy: what is spent is counted in slots of five minutes, by the times of the events; the last
hour is the slots that reach into it, so it is never less than an hour and at most five minutes
more. Times do not go back: what comes late counts in the last slot. Money is counted in whole
billionths of a dollar, so that sums do not drift.

With a place to keep it, what changed is told by `changes`, and what was kept is taken by `recall`.

Left out: what requests that are under way will cost, which their providers tell in the answer.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

import msgspec

from busted.events import Budget, Event, Prompt, Response
from busted.identity.store import Spent

SLOT_NS = 300 * 1_000_000_000
# One more than fit: the first and the last are cut.
_SLOTS_HOUR, _SLOTS_DAY = 12 + 1, 288 + 1
DAY_NS = _SLOTS_DAY * SLOT_NS
# Some 30 KB each where it asks all day, 2 KB usually. A host has a few dozen.
MAX_IDENTITIES = 1024
_DOLLAR = 1_000_000_000


class _Slot(msgspec.Struct, gc=False):
    number: int
    requests: int = 0
    tokens: int = 0
    cost: int = 0

    def add(self, other: _Slot, sign: int = 1) -> None:
        """Add what another one has, or take it off."""
        self.requests += sign * other.requests
        self.tokens += sign * other.tokens
        self.cost += sign * other.cost


class _Ledger:
    """What one identity spent in a day."""

    def __init__(self) -> None:
        self.slots: deque[_Slot] = deque()
        self._day = _Slot(0)

    def spend(self, spent: _Slot) -> _Slot:
        """Count what was spent in a slot, or in the last one if that is later; return it."""
        if not self.slots or spent.number > self.slots[-1].number:
            self.slots.append(_Slot(spent.number))
        last = self.slots[-1]
        last.add(spent)
        self._day.add(spent)
        while self.slots[0].number <= last.number - _SLOTS_DAY:
            self._day.add(self.slots.popleft(), -1)
        return last

    def told(self) -> Budget:
        """Return the sums, as of the last slot."""
        hour = _Slot(0)
        last = self.slots[-1].number
        for slot in reversed(self.slots):
            if slot.number <= last - _SLOTS_HOUR:
                break
            hour.add(slot)
        return Budget(
            requests_hour=hour.requests,
            requests_day=self._day.requests,
            tokens_hour=hour.tokens,
            tokens_day=self._day.tokens,
            cost_hour=hour.cost / _DOLLAR,
            cost_day=self._day.cost / _DOLLAR,
        )


class Budgets:
    """What all identities have spent; events go in, in order."""

    def __init__(self, *, keeps: bool = False, max_identities: int = MAX_IDENTITIES) -> None:
        """With `keeps` what changed is collected for `changes`."""
        self._keeps, self._max_identities = keeps, max_identities
        # Who spent something last stands last.
        self._ledgers: OrderedDict[str, _Ledger] = OrderedDict()
        self._changed: dict[tuple[str, int], Spent] = {}
        self.forgotten = 0
        """How many identities had to make room for others, and begin at nothing."""

    def recall(self, kept: Iterable[Spent], now_ns: int) -> None:
        """Take what was spent before this run, by time; nothing of it is later than now."""
        for spent in kept:
            if now_ns - DAY_NS < spent.time_ns <= now_ns:
                slot = _Slot(spent.time_ns // SLOT_NS, spent.requests, spent.tokens, spent.cost)
                self._ledger(spent.id).spend(slot)

    def count(self, event: Event, now_ns: int, *, again: bool = False) -> Event:
        """Return the event with what its identity has spent; `now_ns` counts since 1970.

        `again`: the event tells what another one will tell, which is the one that counts.
        """
        action = event.action
        if event.identity is None or not isinstance(action, Prompt | Response):
            return event
        spent = _Slot(now_ns // SLOT_NS)
        if not again:
            _price(action, spent)
        ledger = self._ledger(event.identity.id)
        slot = ledger.spend(spent)
        if self._keeps:
            row = Spent(
                event.identity.id, slot.number * SLOT_NS, slot.requests, slot.tokens, slot.cost
            )
            self._changed[row.id, row.time_ns] = row
        return msgspec.structs.replace(event, budget=ledger.told())

    def changes(self) -> list[Spent]:
        """Return what changed since the last time it was asked for; each as it is now."""
        changed, self._changed = self._changed, {}
        return list(changed.values())

    def _ledger(self, identity: str) -> _Ledger:
        ledger = self._ledgers.get(identity)
        if ledger is None:
            ledger = self._ledgers[identity] = _Ledger()
            if len(self._ledgers) > self._max_identities:
                self._ledgers.popitem(last=False)
                self.forgotten += 1
        else:
            self._ledgers.move_to_end(identity)
        return ledger


# What providers tell is theirs; no answer has so many tokens, and sums stay within 63 bits.
_MAX_TOKENS = 1 << 32
_MAX_DOLLARS = 1e4


def _price(action: Prompt | Response, spent: _Slot) -> None:
    if isinstance(action, Prompt):
        spent.requests = 1
        return
    if usage := action.usage:
        spent.tokens = _within(usage.input) + _within(usage.output)
    if action.cost is not None and 0 <= action.cost <= _MAX_DOLLARS:
        spent.cost = round(action.cost * _DOLLAR)


def _within(tokens: int | None) -> int:
    return min(max(tokens or 0, 0), _MAX_TOKENS)
