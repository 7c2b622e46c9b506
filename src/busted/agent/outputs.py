"""All outputs of a monitor: who gets which event, at which content level.

What the content filter lets through is made once a level, however many outputs have it, and with
one key, so that a token is the same in all of them. `write` never waits.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from busted.agent.content import ContentFilter, Level
from busted.classifier.options import DEFAULT_SCANNER
from busted.classifier.pii import Scanner
from busted.events import Event, to_json
from busted.sinks.delivery import Delivery, DeliveryThread, Figures
from busted.sinks.kinds import Choice, check_together, open_delivery
from busted.sinks.recent import Recent

log = logging.getLogger(__name__)


class Taker(Protocol):
    """A delivery, or what else takes events as their JSON."""

    name: str

    def put(self, id: str, event: bytes) -> None:
        """Take an event; never waits."""


class Outputs:
    """Takes events to all outputs that were chosen, standard output aside."""

    def __init__(
        self,
        choices: Sequence[Choice],
        level: Level,
        scanner: Scanner = DEFAULT_SCANNER,
        recent: Recent | None = None,
        originals: Recent | None = None,
    ) -> None:
        """Open them; `level` is for those that have none of their own. Raises WrongOutput.

        `recent` gets every event at `level`, for those who follow on the monitor's socket;
        `originals` gets them as they were said, for those whom the operator lets see them.
        """
        check_together(choices)
        self._key, self._scanner = scanner.key or os.urandom(32), scanner
        self._by_level: dict[Level, tuple[ContentFilter, list[Taker]]] = {}
        self._failed: Counter[str] = Counter()
        self._deliveries: list[Delivery] = []
        for choice in choices:
            delivery = open_delivery(choice)
            self._deliveries.append(delivery)
            self._add(choice.settings.content or level, delivery)
        if recent is not None:
            self._add(level, recent)
        if originals is not None:
            self._add("full", originals)
        self._thread = DeliveryThread(self._deliveries) if self._deliveries else None

    def filter(self, level: Level) -> ContentFilter:
        """Return the filter for a level, with the key that all outputs have."""
        return ContentFilter(level, self._key, self._scanner)

    def _add(self, level: Level, taker: Taker) -> None:
        if level not in self._by_level:
            self._by_level[level] = (self.filter(level), [])
        self._by_level[level][1].append(taker)

    def write(self, event: Event) -> None:
        """Queue an event for each output."""
        for level, (allowed, takers) in self._by_level.items():
            try:
                data = to_json(allowed(event))
            except Exception as error:
                # One event that cannot be shown must not blind the monitor; the message is
                # left out, since it may quote what must not be shown.
                if not self._failed:
                    log.error(
                        "event %s could not be shown at level %s (%s); others are counted",
                        *(event.id, level, type(error).__name__),
                    )
                self._failed.update(taker.name for taker in takers)
                continue
            for taker in takers:
                taker.put(event.id, data)

    def figures(self) -> dict[str, Figures]:
        """Return what each output did so far, by name."""
        return {delivery.name: delivery.figures() for delivery in self._deliveries}

    def lost(self) -> dict[str, int]:
        """Return what was lost so far, by place, where it is not zero."""
        counts = Counter(self._failed)
        for name, figures in self.figures().items():
            counts[name] += sum(figures.lost.values())
        return {f"sink_{name}": count for name, count in counts.items() if count}

    def close(self, timeout: float) -> None:
        """Deliver what is queued, for `timeout` seconds at most; the rest stays in spools."""
        if self._thread:
            self._thread.close(timeout)
