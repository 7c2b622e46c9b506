"""Asks a running monitor over its socket: sync and simple, one connection a question.

Left out: reconnecting. Who wants to follow over restarts of the monitor asks again, and says how
many of the last events it wants to see.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from busted.agent.socket_messages import (
    Control,
    CoverageRequest,
    EventsRequest,
    IdentitiesRequest,
    Request,
    RevealRequest,
    StatusRequest,
)

# Of one event; the largest prompts seen are 16 MB, told twice and escaped.
MAX_LINE_BYTES = 128 << 20
# For the monitor to take the request and to begin its answer.
ANSWER_SECONDS = 15.0
# Longer than its pings are apart: then it hangs.
SILENCE_SECONDS = 60.0

_CONTROL = b'{"control":'


class SocketError(Exception):
    """The monitor cannot be asked, or does not answer; says why and what to do."""


class NotFound(SocketError):
    """The monitor knows no such thing."""


class NotGiven(SocketError):
    """The monitor does not give that to anybody, or not now; says why."""


class NoMonitor(SocketError):
    """Nobody listens there, or it cannot be reached."""


def status(path: Path) -> bytes:
    """Return a monitor's status as JSON. Raises SocketError."""
    return _one(path, Request(status=StatusRequest()))


def _one(path: Path, request: Request) -> bytes:
    with _asked(path, request) as lines:
        for line in lines:
            _check(line)
            return line
    raise SocketError(f"the monitor at {path} gave no answer")


def reveal(path: Path, request: RevealRequest) -> bytes:
    """Return an event as it was said, as JSON. Raises SocketError."""
    return _one(path, Request(reveal=request))


def identities(path: Path, request: IdentitiesRequest) -> list[bytes]:
    """Return identities as lines of JSON. Raises SocketError."""
    return _list(path, Request(identities=request))


def coverage(path: Path) -> list[bytes]:
    """Return the lines of the coverage ledger as JSON. Raises SocketError."""
    return _list(path, Request(coverage=CoverageRequest()))


def _list(path: Path, request: Request) -> list[bytes]:
    found: list[bytes] = []
    with _asked(path, request) as lines:
        for line in lines:
            if (control := _check(line)) and control.control == "end":
                return found
            found.append(line)
    raise SocketError(f"the monitor at {path} ended in the middle of its answer")


@contextlib.contextmanager
def following(path: Path, request: EventsRequest) -> Iterator[Iterator[bytes | Control]]:
    """Give events as lines of JSON, and what the monitor says of the stream, until it ends.

    Pings are left out. A reader that is too slow gets `dropped` as its last. Raises SocketError.
    """
    with _asked(path, Request(events=request), SILENCE_SECONDS) as lines:
        yield _followed(lines)


def _followed(lines: Iterator[bytes]) -> Iterator[bytes | Control]:
    for line in lines:
        control = _check(line)
        if control is None:
            yield line
        elif control.control != "ping":
            yield control


def is_there(path: Path) -> bool:
    """Tell whether a monitor listens there that may be asked."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(ANSWER_SECONDS)
        try:
            trial.connect(str(path))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _asked(
    path: Path, request: Request, silence: float = ANSWER_SECONDS
) -> Iterator[Iterator[bytes]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
        except BrokenPipeError:
            pass  # it answers, why not, before it was asked
        except OSError as error:
            raise NoMonitor(
                f"no monitor answers at {path} ({error.strerror or error}): start one with "
                f"`busted monitor --socket {path}`"
            ) from error
        connection.settimeout(silence)
        with connection.makefile("rb") as stream:
            yield _lines(path, stream)


def _lines(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            line = stream.readline(MAX_LINE_BYTES)
        except TimeoutError as error:
            raise SocketError(f"the monitor at {path} says nothing any more") from error
        except ConnectionError:
            return
        if not line.endswith(b"\n"):
            return
        yield line[:-1]


def _check(line: bytes) -> Control | None:
    """Return what the monitor says of itself, None for an answer. Raises SocketError."""
    if not line.startswith(_CONTROL):
        return None
    try:
        control = msgspec.json.decode(line, type=Control)
    except msgspec.DecodeError as error:
        raise SocketError(f"the monitor says what cannot be understood: {error}") from error
    if control.control == "error" and control.code == "not_found":
        raise NotFound(str(control.why))
    if control.control == "error" and control.code == "refused":
        raise NotGiven(str(control.why))
    if control.control == "error":
        raise SocketError(f"the monitor does not answer: {control.why}")
    return control
