"""How much an event's signals speak for an identity: a table of weights, added up.

Signals stand in the order of their strength. What a process is made of and where it stands
cannot be had by asking for it; headers can, so they weigh little. A signal that one side does
not have says nothing. Weights are logits, roughly: four points make even odds fifty to one.

The system prompt decides for programs that are no known agent: a framework runs many agents in
one program, alike in all else. A short prompt that agrees says little, for everybody writes "You
are a helpful assistant"; one that differs says as much as a long one.
"""

from __future__ import annotations

import math

import msgspec

from busted.identity.profile import Evidence, Profile, Signals
from busted.identity.similarity import PromptPrint

# From here on an event is taken to be an identity's.
MATCH_POINTS = 3.5
# One point and a half more or less: a confidence of 0.73 or 0.27.
_SPREAD = 1.5
# No evidence here is proof.
MAX_CONFIDENCE = 0.99

# Prompts whose openings agree are one prompt from this likeness on (PromptPrint.likeness).
SAME_PROMPT = 0.8
# A prompt of as many words is somebody's own.
OWN_WORDS = 20
# And as many tools.
OWN_TOOLS = 5
# Sets of tools with less in common than this are different agents' (Jaccard index).
DIFFERENT_TOOLS = 0.2
SAME_TOOLS = 0.8


class Weight(msgspec.Struct, frozen=True):
    """What a signal adds where it agrees, and where it does not."""

    agrees: float
    differs: float


WEIGHTS = {
    "agent": Weight(8.0, -12.0),
    "claimed_agent": Weight(4.5, -12.0),
    # A new version has a new build id: not knowing it is a finding, and no evidence against.
    "build_id": Weight(1.5, 0.0),
    # The process has spoken for it before.
    "instance": Weight(3.0, 0.0),
    "program": Weight(4.0, -4.0),
    "generic_program": Weight(0.5, -4.0),
    "configuration": Weight(1.5, -12.0),
    # All that is made from one image of a digest has the same files; without, it is a name. A name
    # that differs outweighs a path such as /app/main.py, which every image has.
    "image_digest": Weight(3.0, 0.0),
    "image": Weight(1.0, -8.0),
    # Two deployments of one agent are one agent.
    "workload": Weight(2.0, 0.0),
    # Both are others after a restart.
    "cgroup": Weight(0.5, 0.0),
    "session": Weight(4.0, 0.0),
    "mcp_client": Weight(2.0, -3.0),
    "system_prompt": Weight(4.0, -12.0),
    "system_prompt_opening": Weight(1.0, 0.0),
    "system_prompt_meaning": Weight(1.0, 0.0),
    "tools": Weight(2.0, -5.0),
    "signature": Weight(1.0, -0.5),
    "sdk": Weight(0.5, -1.5),
    "model": Weight(0.5, -0.5),
    # The key of these hashes is of one run, and a key that two agents share is usual.
    "credential": Weight(1.0, 0.0),
    "destination": Weight(0.5, -0.5),
    # What a process asks beside its agent, and what a program that is nobody asks for its agent.
    "helper": Weight(4.5, 0.0),
}


def evidence(signals: Signals, profile: Profile, here: bool = False) -> tuple[Evidence, ...]:
    """Return what speaks for an event to be of an identity, and what against it.

    `here` is whether its process has spoken for that identity before.
    """
    found: list[Evidence] = []

    def told(name: str, agrees: bool, detail: str = "", part: float = 1.0) -> None:
        weight = WEIGHTS[name]
        points = weight.agrees * part if agrees else weight.differs
        if points:
            found.append(Evidence(name, points, detail))

    if signals.agent or profile.agent:
        name = "agent" if signals.verified or not signals.agent else "claimed_agent"
        told(name, signals.agent == profile.agent, signals.agent)
    if signals.build_id and profile.builds:
        told("build_id", profile.knows(signals.build_id), signals.build_id)
    if here:
        told("instance", True)
    if profile.agent:
        # What an agent asks with is not what it is: it has helpers with prompts, models and tools
        # of their own, and is installed in several places.
        return tuple(found)
    if signals.program.key and profile.program.key:
        agrees = signals.program.key == profile.program.key
        kind = "generic_program" if agrees and signals.program.generic else "program"
        told(kind, agrees, signals.program.name)
        if signals.program.configuration or profile.program.configuration:
            chosen = signals.program.configuration
            told("configuration", chosen == profile.program.configuration, chosen)
    if signals.mcp_client and profile.mcp_client:
        told("mcp_client", signals.mcp_client == profile.mcp_client, signals.mcp_client)
    if signals.prompt and profile.prompt:
        name, agrees, part = _prompt(signals.prompt, profile.prompt)
        told(name, agrees, f"{signals.prompt.likeness(profile.prompt):.2f} alike", part)
    if signals.tools and profile.tools:
        common = len(signals.tools.intersection(profile.tools))
        likeness = common / (len(signals.tools) + len(profile.tools) - common)
        if likeness >= SAME_TOOLS or likeness < DIFFERENT_TOOLS:
            part = min(1.0, common / OWN_TOOLS)
            told("tools", likeness >= SAME_TOOLS, f"{likeness:.2f} in common", part)
    for name, value, known in (
        ("image", signals.image.name, profile.images),
        ("image_digest", signals.image.digest, profile.image_digests),
        ("workload", signals.workload, profile.workloads),
        ("cgroup", signals.cgroup, profile.cgroups),
        ("session", signals.session, profile.sessions),
        ("signature", signals.signature, profile.signatures),
        ("sdk", signals.sdk, profile.sdks),
        ("model", signals.model, profile.models),
        ("credential", signals.credential, profile.credentials),
        ("destination", signals.destination, profile.destinations),
    ):
        if value and known:
            told(name, value in known, value)
    return tuple(found)


def _prompt(prompt: PromptPrint, known: PromptPrint) -> tuple[str, bool, float]:
    if prompt.opening != known.opening:
        if min(prompt.words, known.words) >= OWN_WORDS and prompt.is_reworded(known):
            return "system_prompt_meaning", True, 1.0
        return "system_prompt", False, 1.0
    if prompt.likeness(known) >= SAME_PROMPT:
        return "system_prompt", True, min(1.0, min(prompt.words, known.words) / OWN_WORDS)
    return "system_prompt_opening", True, 1.0


def points(evidence: tuple[Evidence, ...]) -> float:
    """Return the sum of the weights."""
    return sum(part.weight for part in evidence)


def confidence(points: float) -> float:
    """Return how sure so many points are, 0 to 1: 0.5 where an event is just taken to be one's."""
    return min(MAX_CONFIDENCE, 1 / (1 + math.exp((MATCH_POINTS - max(points, -50.0)) / _SPREAD)))
