"""What is said on the monitor's socket: one JSON object a line, both ways.

A request is an object with one field that names it. Answers are lines: events as `--format json`
prints them, and lines of our own, which have the field `control` and are never events.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from busted.agent.content import Level
from busted.sinks.history_query import Filter

# Fits a file system path in a socket address and is where systemd puts RuntimeDirectory=busted.
DEFAULT_DIRECTORY = Path("/run/busted")
SOCKET_NAME = "busted.sock"

# More is asked of the history itself.
MAX_LAST = 10_000
# One answer; what is told of one identity may take some hundred KB.
MAX_IDENTITIES = 500
# Of an event: a ULID has 26 characters. Of who asks for it: a line of the audit log.
MAX_ID, MAX_BY = 64, 200

# From the least that is shown to the most.
LEVELS: tuple[Level, ...] = ("none", "redacted", "full")


class EventsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest events that agree, oldest first, and then those that come.

    `content` asks for a lower level than the monitor's; a higher one is not given.
    """

    last: Annotated[int, msgspec.Meta(ge=0, le=MAX_LAST)] = 0
    filter: Filter = Filter()
    content: Level | None = None


class StatusRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the monitor is."""


class IdentitiesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The identities that were seen last, or one with all that is known of it."""

    identity: str | None = None
    timeline: bool = False
    graph: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDENTITIES)] = 200


class RevealRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event as it was said, where the monitor keeps that; `by` is for the audit log."""

    event: Annotated[str, msgspec.Meta(max_length=MAX_ID)]
    by: Annotated[str, msgspec.Meta(max_length=MAX_BY)] = ""


class Asker(msgspec.Struct, frozen=True):
    """Who asks: a process, as the kernel knows it, and what it says of whom it asks for."""

    pid: int
    uid: int
    by: str = ""


class CoverageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much was read of each connection of agents and to AI hosts."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of a client: one of these."""

    events: EventsRequest | None = None
    status: StatusRequest | None = None
    identities: IdentitiesRequest | None = None
    reveal: RevealRequest | None = None
    coverage: CoverageRequest | None = None


class Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line that is no event.

    `live`: what follows happens now. `ping`: nothing happened for a while. `dropped`: the reader
    was so slow that `count` events, whatever its filter, made room; the connection ends. `end`: the
    monitor ends, or the list. `error`: the request was not understood, or is not answered now; its
    `code` says where what was asked for is not there, or not given.
    """

    control: Literal["live", "ping", "dropped", "end", "error"]
    count: int | None = None
    why: str | None = None
    code: Literal["not_found", "refused"] | None = None


def lower(one: Level, other: Level | None) -> Level:
    """Return the level that shows less."""
    return one if other is None else min(one, other, key=LEVELS.index)


def default_socket() -> Path:
    """Return where the monitor of this host listens; systemd names the directory to it."""
    # RuntimeDirectory= may name several, with colons between them (systemd.exec(5)).
    directory = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(directory or DEFAULT_DIRECTORY) / SOCKET_NAME
