"""How well identities are found: pairwise precision and recall.

Of all pairs of events that were given one identity, the share that is of one agent: precision. Of
all pairs of one agent, the share that was given one identity: recall. Events that were told
without an identity are in no pair; they are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import comb

import msgspec

from busted.enrich.agents import Agents
from busted.enrich.agents_table import AGENTS
from busted.identity.tracker import IdentityMatch, IdentityTracker
from tests.identity.scenarios import Labelled

agents = Agents(AGENTS)


class Score(msgspec.Struct, frozen=True):
    """Pairs of events: `together` with one identity, `same` of one agent, `both` either."""

    agents: int
    identities: int
    events: int
    without: int
    together: int
    same: int
    both: int

    @property
    def precision(self) -> float:
        """Return it, 1 where no two events are together."""
        return self.both / self.together if self.together else 1.0

    @property
    def recall(self) -> float:
        """Return it, 1 where no two events are of one agent."""
        return self.both / self.same if self.same else 1.0


def tracker() -> IdentityTracker:
    """Return a tracker as the monitor has it, without a store."""
    return IdentityTracker(agents.recognise, agents.names)


def matched(
    events: Iterable[Labelled], tracker: IdentityTracker
) -> list[tuple[str, IdentityMatch | None]]:
    """Return what was found of each event, beside the agent that it is of."""
    return [(label, tracker.observe(event)) for label, event in events]


def score(found: Iterable[tuple[str, IdentityMatch | None]]) -> Score:
    """Return how well that was."""
    pairs = [(label, match.id if match else None) for label, match in found]
    known = [(label, identity) for label, identity in pairs if identity]
    labels, identities = (Counter(one) for one in zip(*known, strict=True))
    return Score(
        agents=len({label for label, _ in pairs}),
        identities=len(identities),
        events=len(pairs),
        without=len(pairs) - len(known),
        together=_pairs(identities),
        same=_pairs(labels),
        both=_pairs(Counter(known)),
    )


def _pairs(counts: Counter[str] | Counter[tuple[str, str]]) -> int:
    return sum(comb(count, 2) for count in counts.values())
