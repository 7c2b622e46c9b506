"""What the server shows, as it asks for it: the room knows neither the history nor the socket.

`busted.agent.dashboard` answers these questions from both. Events are their public JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

Chosen = Mapping[str, Any]
"""What events are wanted, by the names of the query's parameters; times are nanoseconds."""


class NotThere(Exception):
    """There is no such thing; says which."""


class Unavailable(Exception):
    """Who would know cannot be asked now: the monitor or the history; says which and why."""


class Refused(Exception):
    """Nobody is given that; says why."""


class Entry(Protocol):
    """An event of the live stream; without an id it tells of a gap."""

    @property
    def number(self) -> int:
        """One more than that of the one before."""

    @property
    def id(self) -> str:
        """The event's."""

    @property
    def event(self) -> bytes:
        """Its JSON."""


class Live(Protocol):
    """The newest events, and those that come; one stream from the monitor for all who look."""

    @property
    def newest(self) -> int:
        """The number of the newest event."""

    def after(self, number: int, max_bytes: int) -> tuple[Sequence[Entry], int]:
        """Return what came after a number, and how many of these are here no more."""

    def number_of(self, id: str) -> int | None:
        """Return the number of an event, None where it is here no more."""

    def when_more(self, number: int, call: Callable[[], object]) -> None:
        """Have `call` called once, by any thread, when there is more than this number."""


class Page(msgspec.Struct, frozen=True):
    """Events, the newest first, and the cursor for the next page; None at the end."""

    events: list[msgspec.Raw]
    next: str | None


class Source(Protocol):
    """Answers in any thread; may raise NotThere and Unavailable, and ValueError for nonsense."""

    @property
    def live(self) -> Live:
        """The stream that all who look share."""

    def agrees(self, event: bytes, chosen: Chosen) -> bool:
        """Tell whether a live event is one of those wanted."""

    def events(self, chosen: Chosen, limit: int, cursor: str | None) -> Page:
        """Return a page of events."""

    def event(self, id: str) -> msgspec.Raw:
        """Return one event."""

    def exchange(self, id: str) -> list[msgspec.Raw]:
        """Return the events of an exchange, oldest first."""

    def session(self, id: str, limit: int) -> list[msgspec.Raw]:
        """Return the newest events of a session, oldest first."""

    def groups(self, column: str, chosen: Chosen, limit: int) -> list[dict[str, Any]]:
        """Return what events were of: sessions, processes, tools."""

    def totals(self, group: str, chosen: Chosen, minutes: int) -> list[dict[str, Any]]:
        """Return sums over time."""

    def agents(self, limit: int) -> list[msgspec.Raw]:
        """Return the identities that were seen last."""

    def agent(self, id: str) -> msgspec.Raw:
        """Return all that is known of an identity."""

    def reveal(self, id: str, by: str) -> msgspec.Raw:
        """Return an event as it was said, for `by`, who is audited. May raise Refused, too."""

    def try_policy(self, policy: str, events: int) -> dict[str, Any]:
        """Return what a policy would have said of the newest events, or what is wrong with it."""

    def status(self) -> dict[str, Any]:
        """Return how the monitor is."""

    def health(self) -> dict[str, Any]:
        """Return how the server itself is: its stream, what it missed."""

    def export(self, format: str, chosen: Chosen) -> Iterator[bytes]:
        """Return events as a file."""
