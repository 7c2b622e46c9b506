"""The monitor's socket as the monitor opens it: who may ask, and what the monitor is asked.

`PATH?SETTING=VALUE&...`, as outputs are written; the settings are `uids` and `gids`, with commas
between numbers or names.
"""

from __future__ import annotations

import asyncio
import grp
import pwd
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl

import msgspec

from busted.agent.content import ContentFilter, Level
from busted.agent.coverage import Row
from busted.agent.identities import Told
from busted.agent.socket_messages import Asker, IdentitiesRequest
from busted.agent.socket_server import Access, SocketServer
from busted.agent.status import SocketStatus, Status
from busted.sinks.channel import WrongOutput
from busted.sinks.delivery import Figures
from busted.sinks.kinds import Choice
from busted.sinks.recent import Recent


class SocketChoice(msgspec.Struct, frozen=True):
    """Where to listen and for whom."""

    path: Path
    access: Access


class Asked(Protocol):
    """What of `busted.agent.monitor.Monitor` answers."""

    def status(self) -> Status:
        """Return how it is."""

    def reveal(self, event: str, asker: Asker) -> bool:
        """Write to the audit log that an event is shown; False where that is not possible."""

    def tell_identities(self, request: IdentitiesRequest) -> list[Told]:
        """Return identities. Raises ValueError where there is no such one."""

    def tell_coverage(self) -> list[Row]:
        """Return how much was read of each connection."""


# The most events that are kept as they were said; what was said is for the moment, not an archive.
MAX_REVEALED = 10_000
# Of all of them together: prompts can be megabytes, and they must not become the monitor's memory.
_MAX_REVEALED_BYTES = 32 << 20


def kept(events: int) -> Recent:
    """Return the memory for the newest events as they were said: in this process only."""
    return Recent(events, _MAX_REVEALED_BYTES, "reveal")


def parse(text: str) -> SocketChoice:
    """Return what `PATH?uids=...&gids=...` asks for. Raises WrongOutput."""
    path, _, query = text.partition("?")
    if not path:
        raise WrongOutput("a socket needs a path")
    try:
        settings = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise WrongOutput(f"{text!r}: settings are SETTING=VALUE, with & between them") from error
    if unknown := sorted(settings.keys() - {"uids", "gids"}):
        raise WrongOutput(f"a socket has no setting {unknown[0]!r}; it has uids, gids")
    uids = _numbers(settings.get("uids", ""), lambda name: pwd.getpwnam(name).pw_uid)
    gids = _numbers(settings.get("gids", ""), lambda name: grp.getgrnam(name).gr_gid)
    return SocketChoice(Path(path), Access(uids, gids))


def _numbers(text: str, number: Callable[[str], int]) -> frozenset[int]:
    try:
        names = [name for name in text.split(",") if name]
        return frozenset(int(name) if name.isdecimal() else number(name) for name in names)
    except KeyError as error:
        raise WrongOutput(f"who may ask: {error.args[0]}") from error


def history_of(choices: Sequence[Choice]) -> Path | None:
    """Return the file of the history that is written, None where none is."""
    found = (Path(choice.target) for choice in choices if choice.kind == "history")
    return next(found, None)


class Answers:
    """Asks the monitor, and adds what its outputs and the socket itself know."""

    def __init__(
        self,
        monitor: Asked,
        level: Level,
        figures: Callable[[], dict[str, Figures]],
        originals: Recent | None = None,
    ) -> None:
        """`figures` are those of the outputs; `level` is the monitor's.

        `originals` are the newest events as they were said, where they may be shown.
        """
        self._originals = originals
        self._monitor, self._level, self._figures = monitor, level, figures
        self.server: SocketServer | None = None

    def status(self) -> bytes:
        """Return the status as JSON."""
        server = self.server
        told = msgspec.structs.replace(
            self._monitor.status(),
            content=self._level,
            reveals=self._originals is not None,
            outputs=self._figures(),
            socket=SocketStatus(server.clients, dict(server.counts)) if server else None,
        )
        return msgspec.json.encode(told)

    def reveal(self, event: str, asker: Asker) -> bytes:
        """Return an event as it was said, once the audit log has it that it is shown.

        Raises ValueError where it is not kept, and PermissionError where none is shown.
        """
        if self._originals is None:
            raise PermissionError("this monitor keeps nothing that it redacts (see --reveal)")
        found = self._originals.one(event)
        if found is None:
            raise ValueError("this event is not kept as it was said, or no more")
        if not self._monitor.reveal(event, asker):
            raise PermissionError("that it is shown cannot be written to the audit log")
        return found.event

    def identities(self, request: IdentitiesRequest) -> list[bytes]:
        """Return identities as lines of JSON. Raises ValueError where there is no such one."""
        return [msgspec.json.encode(told) for told in self._monitor.tell_identities(request)]

    def coverage(self) -> list[bytes]:
        """Return the lines of the coverage ledger as JSON."""
        return [msgspec.json.encode(row) for row in self._monitor.tell_coverage()]


def open_socket(
    choice: SocketChoice,
    answers: Answers,
    recent: Recent,
    show: Callable[[Level], ContentFilter],
    level: Level,
    history: Path | None,
) -> SocketServer:
    """Listen, for the monitor whose event loop is the running one. Raises WrongOutput."""
    server = SocketServer(
        choice.path,
        recent,
        answers,
        asyncio.get_running_loop().call_soon_threadsafe,
        show,
        level,
        history=history,
        access=choice.access,
    )
    answers.server = server
    return server
