"""Which identity signals belong to: those known, found by what they have in common.

A known agent is one identity, by its name. Every other program is as many as it has
configurations: the candidates are those of the same program, of the same opening of a system
prompt, of the same tools or MCP client; the one with the most points is taken if these reach
`scoring.MATCH_POINTS`, else there is a new identity.

The rules of merging and splitting (docs/identities.md tells them to operators):

- An identity's id is a hash of what it was founded on, without versions, users and processes: the
  same agent gets the same id again, on whatever host and whether or not it was forgotten.
- Who is founded on the same as one that is known is that one.
- Two identities are never joined later, and none is taken apart: an event is told as whose it
  was. What would join them by a guess would make one of two agents.
- A program with more identities than `MAX_OF_PROGRAM` has prompts that are made anew each time:
  what comes then goes to the likest of them, with little confidence.

Bounded: the identity that was quiet longest makes room, and is found again on the shelf.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from busted.events import IdentityLevel
from busted.identity import scoring
from busted.identity.graph import Link
from busted.identity.profile import Evidence, Profile, Signals

MAX_IDENTITIES = 10_000
# Users of one framework run a few dozen agents in one program; a template makes thousands.
MAX_OF_PROGRAM = 64
# Of one key: anybody may begin a prompt with "You are a helpful assistant".
MAX_CANDIDATES = 128
# Sets of tools that are as small are anybody's.
MIN_TELLING_TOOLS = 3
# What tells an identity by its program alone must have been the only one for so long: the agents
# of one program are mostly started together, one after the other.
SETTLED_NS = 60 * 1_000_000_000


class Shelf(Protocol):
    """Where identities are that are not in memory."""

    def by_id(self, identity: str) -> Profile | None:
        """Return an identity, None where it is not there."""

    def by_keys(self, keys: Sequence[str]) -> Iterable[Profile]:
        """Return those that have one of the keys, the last seen first."""

    def link(self, kind: str, source: str, target: str) -> Link | None:
        """Return a link, None where it is not there."""


class Resolved(msgspec.Struct, frozen=True):
    """Whose something is, and by what that was found."""

    profile: Profile
    level: IdentityLevel
    confidence: float
    evidence: tuple[Evidence, ...] = ()


class Resolver:
    """The identities in memory, by id and by what tells them."""

    def __init__(
        self,
        shelf: Shelf | None = None,
        max_identities: int = MAX_IDENTITIES,
        max_of_program: int = MAX_OF_PROGRAM,
    ) -> None:
        """`evicted` has those that had to make room, until the shelf has them."""
        self._shelf, self._max, self._max_of_program = shelf, max_identities, max_of_program
        self._profiles: OrderedDict[str, Profile] = OrderedDict()
        self._by_key: dict[str, dict[str, None]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        self.evicted: dict[str, Profile] = {}

    def resolve(
        self,
        signals: Signals,
        now_ns: int,
        here: Sequence[str] = (),
        helps: str = "",
    ) -> Resolved:
        """Return whose the signals are; `here` are the identities that the process has shown.

        What would be a new identity is that of the agent that it `helps`, if it may help one; what
        a generic program asks always is.
        """
        helped = self._helped(helps) if helps else None
        if helped and signals.program.generic:
            return helped
        if signals.agent:
            return self._agent(signals, now_ns)
        candidates = self._candidates(signals)
        best = _best(signals, candidates, here)
        if best and best[0] >= scoring.MATCH_POINTS:
            return self._matched(best, "configuration")
        if helped:
            return helped
        same = [profile for profile in candidates if _of_program(profile, signals)]
        if len(same) >= self._max_of_program and (best := _best(signals, same, here)):
            return self._matched(best, "program")
        return self._found(signals, _founding(signals), now_ns)

    def of_program(self, signals: Signals, now_ns: int) -> Resolved | None:
        """Return the only identity that a program is known to have, None where that is unclear."""
        if not signals.program.key or signals.program.generic:
            return None
        known = [p for p in self._with_keys([_program_key(signals)]) if not p.agent]
        if len(known) != 1:
            return None
        (profile,) = known
        # One that was seen with MCP or A2A alone is no configuration among several.
        plain = not (profile.prompts or profile.prompt or profile.tools)
        if not plain and profile.first_ns + SETTLED_NS > now_ns:
            return None
        evidence = scoring.evidence(signals, profile)
        points = scoring.points(evidence)
        if points < scoring.MATCH_POINTS:
            return None
        return Resolved(self.touch(profile), "program", scoring.confidence(points), evidence)

    def has_program(self, signals: Signals) -> bool:
        """Tell whether a program has an identity."""
        return bool(self._with_keys([_program_key(signals)]))

    def learn(self, profile: Profile, signals: Signals, now_ns: int) -> None:
        """Let an identity take what an event that is its own showed."""
        before = profile.program, profile.prompt, profile.tools, profile.mcp_client
        profile.learn(signals, now_ns)
        if (profile.program, profile.prompt, profile.tools, profile.mcp_client) != before:
            self._index(profile)

    def get(self, identity: str) -> Profile | None:
        """Return an identity by its id, from memory or from the shelf."""
        profile = self._profiles.get(identity) or self.evicted.get(identity)
        if profile is None and self._shelf is not None:
            profile = self._shelf.by_id(identity)
        return profile and self.touch(profile)

    def touch(self, profile: Profile) -> Profile:
        """Return an identity as it is in memory, where it was just asked for."""
        known = self._profiles.get(profile.id)
        if known is None:
            self._add(profile)
            return profile
        self._profiles.move_to_end(profile.id)
        return known

    def all(self) -> list[Profile]:
        """Return those in memory, the last seen first."""
        return list(reversed(self._profiles.values()))

    def __len__(self) -> int:
        """Count the identities in memory."""
        return len(self._profiles)

    def _helped(self, identity: str) -> Resolved | None:
        profile = self.get(identity)
        if profile is None:
            return None
        evidence = (Evidence("helper", scoring.WEIGHTS["helper"].agrees),)
        sure = scoring.confidence(scoring.points(evidence))
        return Resolved(profile, "instance", sure, evidence)

    def _agent(self, signals: Signals, now_ns: int) -> Resolved:
        profile = self.get(_id("agent", signals.agent))
        if profile is None:
            return self._found(signals, ("agent", signals.agent), now_ns)
        evidence = scoring.evidence(signals, profile)
        level: IdentityLevel = "agent" if signals.verified else "claimed"
        sure = scoring.confidence(scoring.points(evidence))
        return Resolved(self.touch(profile), level, sure, evidence)

    def _candidates(self, signals: Signals) -> list[Profile]:
        keys = []
        if signals.program.key:
            keys.append(_program_key(signals))
        if signals.prompt:
            keys.append(f"prompt {signals.prompt.opening:x}")
        if len(signals.tools) >= MIN_TELLING_TOOLS:
            keys.append(f"tools {_hashed(*sorted(signals.tools))}")
        if signals.mcp_client:
            keys.append(f"mcp {signals.mcp_client}")
        return [profile for profile in self._with_keys(keys) if not profile.agent]

    def _with_keys(self, keys: Sequence[str]) -> list[Profile]:
        found = {
            identity: self._profiles[identity]
            for key in keys
            for identity in islice(reversed(self._by_key.get(key, {})), MAX_CANDIDATES)
        }
        if not found and self._shelf is not None:
            for profile in self._shelf.by_keys(keys):
                found[profile.id] = self.touch(self.evicted.get(profile.id, profile))
        return list(found.values())

    def _matched(
        self, best: tuple[float, Profile, tuple[Evidence, ...]], level: IdentityLevel
    ) -> Resolved:
        points, profile, evidence = best
        return Resolved(self.touch(profile), level, scoring.confidence(points), evidence)

    def _found(self, signals: Signals, founding: tuple[str, ...], now_ns: int) -> Resolved:
        identity = _id(*founding)
        known = self.get(identity)
        if known is not None:
            evidence = scoring.evidence(signals, known)
            sure = scoring.confidence(scoring.points(evidence))
            return Resolved(self.touch(known), "configuration", sure, evidence)
        profile = Profile(
            id=identity,
            name=_name(signals, identity),
            first_ns=now_ns,
            last_ns=now_ns,
            agent=signals.agent,
            program=signals.program,
            prompt=None if signals.agent else signals.prompt,
            tools=tuple(sorted(signals.tools)),
            mcp_client=signals.mcp_client,
        )
        self._add(profile)
        # How well it is known: as sure as one more event like this will be its own.
        profile.learn(signals, now_ns)
        evidence = scoring.evidence(signals, profile)
        return Resolved(profile, "new", scoring.confidence(scoring.points(evidence)), evidence)

    def _add(self, profile: Profile) -> None:
        self._profiles[profile.id] = profile
        self.evicted.pop(profile.id, None)
        self._index(profile)
        while len(self._profiles) > self._max:
            identity, quietest = self._profiles.popitem(last=False)
            self._unindex(identity)
            self.evicted[identity] = quietest

    def _index(self, profile: Profile) -> None:
        self._unindex(profile.id)
        keys = self._keys[profile.id] = keys_of(profile)
        for key in keys:
            self._by_key.setdefault(key, {})[profile.id] = None

    def _unindex(self, identity: str) -> None:
        for key in self._keys.pop(identity, ()):
            ids = self._by_key[key]
            del ids[identity]
            if not ids:
                del self._by_key[key]


def keys_of(profile: Profile) -> tuple[str, ...]:
    """Return what an identity is found by."""
    keys = []
    if profile.program.key and not profile.agent:
        keys.append(f"program {profile.program.key}")
    if profile.prompt:
        keys.append(f"prompt {profile.prompt.opening:x}")
    if len(profile.tools) >= MIN_TELLING_TOOLS and not profile.agent:
        keys.append(f"tools {_hashed(*profile.tools)}")
    if profile.mcp_client and not profile.agent:
        keys.append(f"mcp {profile.mcp_client}")
    return tuple(keys)


def _program_key(signals: Signals) -> str:
    return f"program {signals.program.key}"


def _of_program(profile: Profile, signals: Signals) -> bool:
    return bool(signals.program.key) and profile.program.key == signals.program.key


def _best(
    signals: Signals, candidates: Iterable[Profile], here: Sequence[str]
) -> tuple[float, Profile, tuple[Evidence, ...]] | None:
    judged = []
    for profile in candidates:
        evidence = scoring.evidence(signals, profile, profile.id in here)
        judged.append((scoring.points(evidence), profile, evidence))
    # Of equals the one that was there first, and the same one in whatever order they came.
    return min(judged, key=lambda one: (-one[0], one[1].first_ns, one[1].id), default=None)


def _founding(signals: Signals) -> tuple[str, ...]:
    program = signals.program
    if signals.prompt:
        persona = f"prompt {signals.prompt.opening:x}"
    elif signals.tools:
        persona = f"tools {_hashed(*sorted(signals.tools))}"
    else:
        persona = ""
    founding = ("program", program.key or f"?{program.name}", program.configuration, persona)
    # Paths say little within containers: every other image has an /app/main.py.
    return (*founding, f"image {signals.image.name}") if signals.image.name else founding


def _name(signals: Signals, identity: str) -> str:
    if signals.agent:
        return signals.agent
    name = signals.program.name or signals.mcp_client or "unknown program"
    # One program may be many: the beginning of the id tells which.
    own = identity[:4] if signals.prompt or signals.tools else ""
    return " ".join(part for part in (name, signals.program.configuration, own) if part)


def _id(*founding: str) -> str:
    return _hashed(*founding)


def _hashed(*words: str) -> str:
    text = "\0".join(words).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).hexdigest()
