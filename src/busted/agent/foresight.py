"""Connections that agents have not asked for yet, so that policy can refuse the first one.

Strategy: a connection is judged when it was made, which is too late for the first. But what it will
be is known before: an agent began, and DNS says which addresses a provider's name has. For each
pair of the two there is the event that connecting would be. Nobody is told of it; policy judges
it, and what it denies the kernel refuses from then on, as after a denied connection.

Only what would be known of the real connection is foreseen: an address that has several names is
left out, since nobody could tell what it is connected to for.

Left out: agents that ran before the monitor did, of which the kernel tells less than of one that
begins; processes that are no agent's; other ports than that of HTTPS; what is connected to in the
very moment in which DNS answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import msgspec

from busted import events
from busted.agent.told import Told
from busted.records import ProcessKey

# Each pair of them is a question to policy, of a tenth of a millisecond or some.
MAX_AGENTS = 64
MAX_PLACES = 64
MAX_AT_ONCE = 256
# Where providers are (RFC 9110, section 4.2.2); who asks them elsewhere is judged when it does.
_HTTPS = 443


class Foreseen(msgspec.Struct, frozen=True):
    """A connection that may come, and the cookie of the network namespace that it would be in."""

    told: Told
    netns: int


class _Place(msgspec.Struct, frozen=True):
    netns: int
    address: str


class Foresight:
    """Which agents run, and where providers are."""

    def __init__(
        self,
        provider_of: Callable[[str], str | None],
        names_of: Callable[[int, str, int], tuple[str, ...]],
    ) -> None:
        """`names_of` says which names an address has in a network namespace at a time."""
        self._provider_of, self._names_of = provider_of, names_of
        self._agents: dict[ProcessKey, events.Process] = {}
        self._places: dict[_Place, str] = {}

    def began(self, agent: ProcessKey, process: events.Process, now_ns: int) -> Iterator[Foreseen]:
        """Take that an agent runs; yield where it may connect."""
        self._agents[agent] = process
        if len(self._agents) > MAX_AGENTS:
            del self._agents[next(iter(self._agents))]
        yield from self._pairs([agent], self._places, now_ns)

    def ended(self, process: ProcessKey) -> None:
        """Take that a process ended."""
        self._agents.pop(process, None)

    def learned(self, netns: int, name: str, address: str, now_ns: int) -> Iterator[Foreseen]:
        """Take an answer of DNS; yield who may connect there."""
        if self._provider_of(name) is not None:
            place = _Place(netns, address)
            self._places[place] = name
            if len(self._places) > MAX_PLACES:
                del self._places[next(iter(self._places))]
            yield from self._pairs(self._agents, [place], now_ns)

    def all(self, now_ns: int) -> Iterator[Foreseen]:
        """Yield all that may come, the last `MAX_AT_ONCE` at least."""
        pairs = self._pairs(reversed(self._agents), list(reversed(self._places)), now_ns)
        yield from itertools.islice(pairs, MAX_AT_ONCE)

    def _pairs(
        self, agents: Iterable[ProcessKey], places: Iterable[_Place], now_ns: int
    ) -> Iterator[Foreseen]:
        for agent, place in itertools.product(list(agents), list(places)):
            name = self._places[place]
            if self._names_of(place.netns, place.address, now_ns) == (name,):
                yield Foreseen(self._told(agent, place, name, now_ns), place.netns)

    def _told(self, agent: ProcessKey, place: _Place, name: str, now_ns: int) -> Told:
        action = events.Network(
            operation="connect",
            provider=self._provider_of(name),
            name=name,
            name_source="dns",
            bytes_sent=0,
            bytes_received=0,
            attribution="opener",
        )
        there = events.Connection(id="", dst_ip=place.address, dst_port=_HTTPS)
        return Told(now_ns, agent, self._agents[agent], action, there)
