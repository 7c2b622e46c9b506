"""The monitor's Unix socket: what happens, what happened, and how it is, for who may ask.

Strategy: one thread with an event loop of its own serves all clients, so that none of them, however
slow, garbled or many, costs the monitor more than putting an event into `Recent`. A follower reads
from there at its own pace; when what it wanted has made room, it is told how much and let go. What
only the monitor's loop knows is asked there, and bounded.

Who connects is known by the kernel (SO_PEERCRED, unix(7)): root, the monitor's own user, and those
that the operator named. For these the socket's mode lets everybody connect, and nobody else is
answered; without them its mode is 0600.

Left out: writing. Nothing that a client says changes anything; only that an event was shown as it
was said, where the operator lets that be, is written to the audit log.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import functools
import logging
import os
import socket
import sqlite3
import stat
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from busted.agent.content import ContentFilter, Level
from busted.agent.socket_messages import (
    Asker,
    Control,
    EventsRequest,
    IdentitiesRequest,
    Request,
    lower,
)
from busted.events import Event, to_json
from busted.sinks.channel import WrongOutput
from busted.sinks.event_filter import agrees
from busted.sinks.history import HistoryError
from busted.sinks.history_query import Filter, HistoryReader
from busted.sinks.recent import Entry, Recent

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
_SO_PEERGROUPS = 59  # asm-generic/socket.h
# As many as Python's getsockopt takes, in 1,024 bytes. Whoever is in more groups is known by the
# one that is its process's own.
_MAX_GROUPS = 256
# Filtering asks for the same few events for each client.
_DECODED = 128


class Limits(msgspec.Struct, frozen=True):
    """Bounds of the socket; all times in seconds."""

    # A dashboard, some terminals, a shipper; each costs a descriptor and two buffers.
    clients: int = 64
    # Of one request. The longest filter is far shorter.
    request_bytes: int = 64 << 10
    # Who connects and says nothing, or half a line, has a descriptor no longer than that.
    request_seconds: float = 30.0
    # Written at once; what one client holds of our memory.
    chunk_bytes: int = 256 << 10
    ping_seconds: float = 15.0
    # For a reader that takes nothing at all, such as one that was stopped.
    stall_seconds: float = 60.0
    # For the last lines to one that may be slow.
    farewell_seconds: float = 30.0
    # For what clients have still to read when the monitor ends; whoever stopped it is waiting.
    close_seconds: float = 2.0
    # For an answer of the monitor's own loop.
    answer_seconds: float = 10.0


class Access(msgspec.Struct, frozen=True):
    """Who may ask beside root and the monitor's own user."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()


class Answers(Protocol):
    """What the monitor's loop is asked."""

    def status(self) -> bytes:
        """Return the status as JSON."""

    def identities(self, request: IdentitiesRequest) -> list[bytes]:
        """Return identities as lines of JSON. Raises ValueError where there is no such one."""

    def reveal(self, event: str, asker: Asker) -> bytes:
        """Return an event as it was said, as JSON. Raises ValueError and PermissionError."""

    def coverage(self) -> list[bytes]:
        """Return the lines of the coverage ledger as JSON."""


class SocketServer:
    """Serves until closed, from a thread of its own; `counts` tells what was refused, by reason."""

    def __init__(
        self,
        path: Path,
        recent: Recent,
        answers: Answers,
        ask: Callable[[Callable[[], object]], object],
        show: Callable[[Level], ContentFilter],
        level: Level,
        *,
        history: Path | None = None,
        access: Access = Access(),  # noqa: B008  (frozen)
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        """Listen. `recent` holds events at `level`, and is filled by whoever makes them.

        `ask` has a call made by the monitor's loop. `show` gives the filter for a lower level.
        Raises WrongOutput.
        """
        self.path = path
        self.counts: Counter[str] = Counter()
        self._recent, self._answers, self._ask = recent, answers, ask
        self._level, self._history, self._access, self._limits = level, history, access, limits
        self._show = functools.lru_cache(show)
        self._event = functools.lru_cache(_DECODED)(_decoded)
        self._shown = functools.lru_cache(_DECODED)(self._at_level)
        self._clients: set[asyncio.Task[None]] = set()
        self._socket, self._inode = _listen(path, access)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="busted-socket", daemon=True)
        self._thread.start()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def close(self) -> None:
        """Give clients what is left, for a moment at most, and take the socket away."""
        with contextlib.suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(self._limits.close_seconds)
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(self._limits.close_seconds)
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == self._inode:  # another monitor may have taken over
                os.unlink(self.path)

    # The loop

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_unix_server(
            self._connected, sock=self._socket, limit=self._limits.request_bytes
        )
        await self._stopping.wait()
        server.close()
        waiting = {asyncio.ensure_future(self._ended.wait()), *self._clients}
        while len(waiting) > 1:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.is_set():
                break
        for task in waiting:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        writer.transport.set_write_buffer_limits(high=self._limits.chunk_bytes)
        try:
            await self._talk(reader, writer)
            # What was written last is to be read, whether or not the buffer has room for it.
            writer.transport.set_write_buffer_limits(high=0)
            async with asyncio.timeout(self._limits.farewell_seconds):
                await writer.drain()
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # it left, or takes nothing
        except Exception as error:
            # The message is left out, since it may quote an event.
            self.counts["failed"] += 1
            log.error("socket: a client was let go: %s", type(error).__name__)
        finally:
            self._clients.discard(task)
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # it would wait for a reader that takes nothing
            else:
                writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not _may_ask(writer.get_extra_info("socket"), self._access):
            return await self._refuse(writer, "peers", "this user may not ask")
        if len(self._clients) > self._limits.clients:
            return await self._refuse(writer, "clients", "there are too many clients")
        while not self._stopping.is_set():
            try:
                line = await self._line(reader)
            except ValueError:
                return await self._refuse(writer, "requests", "the request is too long")
            if not line:
                return None
            try:
                request = _REQUEST.decode(line)
                _one_of(request)
            except (ValueError, RecursionError) as error:
                return await self._refuse(writer, "requests", f"no request: {error}"[:500])
            if request.events:
                return await self._follow(writer, request.events)
            await self._answer(writer, request)
        return None

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """Return the next request, nothing at its end or when the monitor ends."""
        reading = asyncio.ensure_future(reader.readline())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait(
                (reading, stopping),
                timeout=self._limits.request_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return reading.result() if reading.done() else b""
        finally:
            reading.cancel()
            stopping.cancel()

    async def _refuse(self, writer: asyncio.StreamWriter, what: str, why: str) -> None:
        self.counts[what] += 1
        await self._write(writer, _control(Control("error", why=why)))

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        async with asyncio.timeout(self._limits.stall_seconds):
            await writer.drain()

    # Status, identities and coverage

    async def _answer(self, writer: asyncio.StreamWriter, request: Request) -> None:
        try:
            if request.identities or request.coverage:
                lines = await self._from_monitor(
                    functools.partial(self._answers.identities, request.identities)
                    if request.identities
                    else self._answers.coverage
                )
                lines.append(_control(Control("end")).rstrip())
            elif request.reveal:
                pid, uid, _ = _peer(writer.get_extra_info("socket"))
                asker = Asker(pid, uid, request.reveal.by)
                shown = functools.partial(self._answers.reveal, request.reveal.event, asker)
                lines = [await self._from_monitor(shown)]
            else:
                lines = [await self._from_monitor(self._answers.status)]
            answer = b"".join(line + b"\n" for line in lines)
        except ValueError as error:
            answer = _control(Control("error", why=str(error), code="not_found"))
        except PermissionError as error:
            answer = _control(Control("error", why=str(error), code="refused"))
        except TimeoutError:
            self.counts["unanswered"] += 1
            answer = _control(Control("error", why="the monitor is too busy to answer"))
        await self._write(writer, answer)

    async def _from_monitor(self, question: Callable[[], Answer]) -> Answer:
        answered: Future[Answer] = Future()

        def answer() -> None:
            try:
                answered.set_result(question())
            except Exception as error:
                answered.set_exception(error)

        self._ask(answer)
        async with asyncio.timeout(self._limits.answer_seconds):
            return await asyncio.wrap_future(answered)

    # Events

    async def _follow(self, writer: asyncio.StreamWriter, request: EventsRequest) -> None:
        level = lower(self._level, request.content)
        here = self._recent.all()
        position = here[-1].number if here else self._recent.newest
        found = self._agreeing(here, request.filter)[-request.last :] if request.last else []
        if self._history and len(found) < request.last:
            older = await asyncio.to_thread(self._older, request, level, {e.id for e in here})
            for line in older[len(found) - request.last :]:
                await self._write(writer, line + b"\n")
        for entry in found:
            await self._write(writer, self._shown(entry, level) + b"\n")
        await self._write(writer, _control(Control("live")))
        while True:
            entries, missed = self._recent.after(position, self._limits.chunk_bytes)
            if missed:
                return await self._drop(writer, missed)
            if entries:
                position = entries[-1].number
                chosen = self._agreeing(entries, request.filter)
                lines = (self._shown(entry, level) + b"\n" for entry in chosen)
                if data := b"".join(lines):
                    await self._write(writer, data)
            elif self._stopping.is_set():
                return await self._write(writer, _control(Control("end")))
            elif not await self._more(position):
                await self._write(writer, _control(Control("ping")))

    async def _more(self, position: int) -> bool:
        """Wait for events, or the monitor's end; False when neither came for a while."""
        came = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(came.set)

        self._recent.when_more(position, wake)
        waiting = [asyncio.ensure_future(e.wait()) for e in (came, self._stopping)]
        try:
            done, _ = await asyncio.wait(
                waiting,
                timeout=self._limits.ping_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return bool(done)
        finally:
            for one in waiting:
                one.cancel()

    async def _drop(self, writer: asyncio.StreamWriter, missed: int) -> None:
        self.counts["dropped"] += 1
        why = "events came faster than they were read"
        await self._write(writer, _control(Control("dropped", missed, why)))

    def _agreeing(self, entries: Sequence[Entry], filter: Filter) -> list[Entry]:
        if filter == _ALL:
            return list(entries)
        return [entry for entry in entries if agrees(self._event(entry), filter)]

    def _at_level(self, entry: Entry, level: Level) -> bytes:
        if level == self._level:
            return entry.event
        return to_json(self._show(level)(self._event(entry)))

    def _older(self, request: EventsRequest, level: Level, known: set[str]) -> list[bytes]:
        """Return the newest of the history that are not known, as many as are asked for."""
        assert self._history is not None
        try:
            with closing(HistoryReader(self._history)) as reader:
                events = reader.last(request.filter, request.last + len(known))
        except (HistoryError, sqlite3.Error) as error:
            self.counts["history"] += 1
            log.warning("socket: %s", error)
            return []
        # A history may have been written at another level than this monitor's.
        return [to_json(self._show(level)(event)) for event in events if event.id not in known]


_REQUEST = msgspec.json.Decoder(Request)
_EVENT = msgspec.json.Decoder(Event)
_ALL = Filter()


def _decoded(entry: Entry) -> Event:
    return _EVENT.decode(entry.event)


def _control(control: Control) -> bytes:
    return msgspec.json.encode(control) + b"\n"


def _one_of(request: Request) -> None:
    asked = [getattr(request, name) for name in request.__struct_fields__]
    if sum(value is not None for value in asked) != 1:
        raise ValueError(f"it must have one of {', '.join(request.__struct_fields__)}")


def _peer(peer: socket.socket) -> tuple[int, int, int]:
    """Return pid, uid and gid of who connected, as they were then (SO_PEERCRED)."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return pid, uid, gid


def _may_ask(peer: socket.socket, access: Access) -> bool:
    _, uid, gid = _peer(peer)
    if uid in (0, os.geteuid()) or uid in access.uids:
        return True
    return not access.gids.isdisjoint({gid, *_groups(peer)}) if access.gids else False


def _groups(peer: socket.socket) -> Iterator[int]:
    """Yield the other groups of who connected (SO_PEERGROUPS, Linux 4.13)."""
    groups = array.array("I")
    with contextlib.suppress(OSError):
        groups.frombytes(peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MAX_GROUPS))
    yield from groups


def _listen(path: Path, access: Access) -> tuple[socket.socket, int]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # Readable for all, as /run itself is: what may be asked is decided by the socket.
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _remove_stale(path)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        if access.uids or access.gids:
            path.chmod(0o666)
        listener.listen(socket.SOMAXCONN)
        return listener, os.stat(path).st_ino
    except OSError as error:
        listener.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise WrongOutput(f"cannot listen on {path}: {why}") from error


def _remove_stale(path: Path) -> None:
    """Remove the socket of a monitor that was killed. Raises OSError when one is alive."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "exists")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "in use")
