"""How well identities are found: pairwise precision and recall.

Of all pairs of events that were given one identity, the share that is of one agent: precision. Of
all pairs of one agent, the share that was given one identity: recall. Events that were told
without an identity are in no pair; they are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import comb
from pathlib import Path

import msgspec

from busted.agent.embedding import EmbedSettings, load, model_hash
from busted.enrich.agents import Agents
from busted.enrich.agents_table import AGENTS
from busted.events import Prompt
from busted.identity.tracker import IdentityMatch, IdentityTracker
from tests.identity.scenarios import LIMITS, SCENARIOS, WORDINGS, Labelled
from tests.identity.tiny_model import make

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


def tracker(embed: Callable[[str], bytes] | None = None) -> IdentityTracker:
    """Return a tracker as the monitor has it, without a store."""
    return IdentityTracker(agents.recognise, agents.names, embed=embed)


def tiny_model(directory: Path) -> Callable[[str], bytes]:
    """Make a model in a directory that knows the words of all scenarios, and load it."""
    prompts = {
        event.action.system_prompt
        for scenario in (SCENARIOS | LIMITS).values()
        for _, event in scenario()
        if isinstance(event.action, Prompt) and event.action.system_prompt
    }
    alike = zip(*(text.split() for text in WORDINGS), strict=True)
    made = make(directory / "model", prompts, alike)
    return load(EmbedSettings(model=str(made), sha256=model_hash(made)))


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
