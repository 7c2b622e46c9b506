"""What the dashboard's server asks, answered from the history and from the monitor's socket.

Every question opens the history anew, which takes a fraction of a millisecond: so any thread may
ask, and a history that comes later, or is begun anew, is found.
"""

from __future__ import annotations

import functools
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from busted.agent import socket_client
from busted.agent.clock import Clock
from busted.agent.decisions import Judge
from busted.agent.exports import pieces
from busted.agent.live_feed import LiveFeed
from busted.agent.policies import MissingExtra, open_policy
from busted.agent.policy_replay import compared
from busted.agent.socket_client import SocketError
from busted.agent.socket_messages import IdentitiesRequest, RevealRequest
from busted.events import Decision, Event, to_json
from busted.policy.sources import PolicyError
from busted.sinks.event_filter import agrees
from busted.sinks.history import MINUTE_NS, HistoryError
from busted.sinks.history_query import Filter, HistoryReader, Place
from busted.ui.source import Chosen, NotThere, Page, Refused, Unavailable

# Of one exchange: an answer and its tool calls are few.
MAX_EXCHANGE = 1000
# All of time, in nanoseconds: what SQLite's integers and our minutes can hold.
FOREVER_NS = 2**62
# A policy that is tried: on events of so many bytes and for so many seconds together, whoever waits
# for it is looking at a page; and one that is slow is one that cannot be used.
TRIAL_BYTES = 64 << 20
TRIAL_SECONDS = 10.0
TRIAL_DECISION_SECONDS = 0.25
_TRIAL_PAGE = 100
# Filtering asks for the same few live events for each client.
_DECODED = 128

_time = Clock(0, 0).time


class Dashboard:
    """The source of `busted.ui`; `live` is the stream that all who look share."""

    def __init__(self, socket: Path, history: Path, feed: LiveFeed) -> None:
        """Neither need be there yet."""
        self.live = feed.recent
        self._socket, self._history, self._feed = socket, history, feed
        self._trying = threading.Lock()
        self._decoded = functools.lru_cache(_DECODED)(msgspec.json.Decoder(Event).decode)

    def agrees(self, event: bytes, chosen: Chosen) -> bool:
        """Tell whether a live event is one of those wanted."""
        return not chosen or agrees(self._decoded(event), _filter(chosen))

    # From the history

    def events(self, chosen: Chosen, limit: int, cursor: str | None) -> Page:
        """Return a page of events."""
        with self._reader() as reader:
            page = reader.page(_filter(chosen), limit, _place(cursor))
        after = page.next
        return Page(
            [_raw(event) for event in page.events],
            f"{after.time_ns}-{after.number}" if after else None,
        )

    def event(self, id: str) -> msgspec.Raw:
        """Return one event."""
        with self._reader() as reader:
            found = reader.one(id)
        if found is None:
            raise NotThere(f"there is no event {id!r}")
        return _raw(found)

    def exchange(self, id: str) -> list[msgspec.Raw]:
        """Return the events of an exchange, oldest first."""
        return self._found(Filter(exchange=id), MAX_EXCHANGE, f"there is no exchange {id!r}")

    def session(self, id: str, limit: int) -> list[msgspec.Raw]:
        """Return the newest events of a session, oldest first."""
        return self._found(Filter(session=id), limit, f"there is no session {id!r}")

    def _found(self, filter: Filter, limit: int, otherwise: str) -> list[msgspec.Raw]:
        with self._reader() as reader:
            found = reader.last(filter, limit)
        if not found:
            raise NotThere(otherwise)
        return [_raw(event) for event in found]

    def groups(self, column: str, chosen: Chosen, limit: int) -> list[dict[str, Any]]:
        """Return what events were of: sessions, processes, tools."""
        with self._reader() as reader:
            found = reader.groups(column, _filter(chosen), limit)
        return [
            {
                column: group.value,
                "events": group.events,
                "first_seen": _time(group.first_ns),
                "last_seen": _time(group.last_ns),
                "newest": _raw(group.newest),
            }
            for group in found
        ]

    def totals(self, group: str, chosen: Chosen, minutes: int) -> list[dict[str, Any]]:
        """Return sums over time."""
        since, until = chosen.get("since", 0), chosen.get("until", FOREVER_NS)
        with self._reader() as reader:
            found = reader.totals(group, since, until, minutes)
        return [
            {
                "since": _time(total.minute * MINUTE_NS),
                group: total.group,
                "events": total.events,
                "input": total.input,
                "output": total.output,
                "cost": total.cost,
                "errors": total.errors,
                "latency": total.latency / total.timed if total.timed else None,
            }
            for total in found
        ]

    def export(self, format: str, chosen: Chosen) -> Iterator[bytes]:
        """Return events as a file, piece by piece, for one thread at a time."""
        # Opened now, so that one that cannot be is told before the file begins.
        opened = self._open(any_thread=True)
        return _exported(opened, format, _filter(chosen))

    def try_policy(self, policy: str, events: int) -> dict[str, Any]:
        """Return what a policy would have said of the newest events, or what is wrong with it.

        One at a time, and within bounds of time and size: `told` says where they cut it short.
        """
        if not self._trying.acquire(blocking=False):
            raise Unavailable("another policy is being tried: ask again in a moment")
        try:
            return self._tried(policy, events)
        finally:
            self._trying.release()

    def _tried(self, policy: str, events: int) -> dict[str, Any]:
        try:
            engine = open_policy(policy, "audit", TRIAL_DECISION_SECONDS)
        except MissingExtra as error:
            raise Unavailable(str(error)) from error
        except PolicyError as error:
            return {"problems": error.problems}
        with closing(engine), self._reader() as reader:
            judge, counts = Judge(engine, "audit"), dict[Decision, int]()
            newest = _Newest(reader, events)
            rows, changes = compared(judge, newest, counts)
            failed = judge.failed
        return {
            "problems": [],
            "events": sum(counts.values()),
            "counts": counts,
            "rows": rows,
            "changes": changes,
            "failed": failed,
            "cut": newest.cut,
        }

    # From the monitor

    def reveal(self, id: str, by: str) -> msgspec.Raw:
        """Return an event as it was said, for `by`, who is audited."""
        try:
            return msgspec.Raw(socket_client.reveal(self._socket, RevealRequest(id, by)))
        except socket_client.NotFound as error:
            raise NotThere(str(error)) from error
        except socket_client.NotGiven as error:
            raise Refused(str(error)) from error
        except SocketError as error:
            raise Unavailable(str(error)) from error

    def agents(self, limit: int) -> list[msgspec.Raw]:
        """Return the identities that were seen last."""
        return self._identities(IdentitiesRequest(limit=limit))

    def agent(self, id: str) -> msgspec.Raw:
        """Return all that is known of an identity."""
        (found,) = self._identities(IdentitiesRequest(id, timeline=True, graph=True))
        return found

    def status(self) -> dict[str, Any]:
        """Return how the monitor is."""
        try:
            told: dict[str, Any] = msgspec.json.decode(socket_client.status(self._socket))
        except SocketError as error:
            raise Unavailable(str(error)) from error
        return told

    def health(self) -> dict[str, Any]:
        """Return how the server itself is: its stream, what it missed."""
        feed = self._feed
        stream: dict[str, Any] = {"connected": feed.connected, "gaps": feed.gaps}
        if not feed.connected:
            stream["why"] = feed.why
        try:
            with self._reader() as reader:
                events: int | None = reader.last_number()
        except Unavailable:
            events = None
        return {"stream": stream, "history": {"readable": events is not None}}

    def _identities(self, request: IdentitiesRequest) -> list[msgspec.Raw]:
        try:
            lines = socket_client.identities(self._socket, request)
        except socket_client.NotFound as error:
            raise NotThere(str(error)) from error
        except SocketError as error:
            raise Unavailable(str(error)) from error
        return [msgspec.Raw(line) for line in lines]

    def _open(self, *, any_thread: bool = False) -> HistoryReader:
        try:
            return HistoryReader(self._history, any_thread=any_thread)
        except HistoryError as error:
            raise Unavailable(str(error)) from error

    @contextmanager
    def _reader(self) -> Iterator[HistoryReader]:
        with closing(self._open()) as reader:
            try:
                yield reader
            except sqlite3.Error as error:
                raise Unavailable(f"the history cannot be read: {error}") from error


class _Newest:
    """The newest events of a history, within the bounds of a trial; `cut` says which ended it."""

    def __init__(self, reader: HistoryReader, most: int) -> None:
        self._reader, self._most = reader, most
        self.cut = ""

    def __iter__(self) -> Iterator[Event]:
        end, size, place, left = time.monotonic() + TRIAL_SECONDS, 0, None, self._most
        while left:
            page = self._reader.page(Filter(), min(left, _TRIAL_PAGE), place)
            for event in page.events:
                size += len(to_json(event))
                if time.monotonic() > end:
                    self.cut = f"the time of {TRIAL_SECONDS:.0f} seconds was over"
                    return
                if size > TRIAL_BYTES:
                    self.cut = f"{TRIAL_BYTES >> 20} MiB of events were judged"
                    return
                yield event
            left, place = left - len(page.events), page.next
            if place is None:
                return


def _exported(reader: HistoryReader, format: str, filter: Filter) -> Iterator[bytes]:
    with closing(reader):
        yield from pieces(format, reader.every(filter))


def _filter(chosen: Chosen) -> Filter:
    times = {name: f"{name}_ns" for name in ("since", "until")}
    return Filter(**{times.get(name, name): value for name, value in chosen.items()})


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    time_ns, _, number = cursor.partition("-")
    if not (time_ns.isdecimal() and number.isdecimal() and len(cursor) < 40):
        raise ValueError("cursor must be `next` of the page before")
    return Place(int(time_ns), int(number))


def _raw(event: Event) -> msgspec.Raw:
    return msgspec.Raw(to_json(event))
