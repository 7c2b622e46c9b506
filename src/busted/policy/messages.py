"""What the monitor, the nursery and the workers say to one another, and how a frame looks.

A frame is four bytes of length, little-endian, and MessagePack. To the nursery go `Fork` (with the
worker's end of a socket pair beside it) and `End`; it answers each with one frame. To a worker go
`Load` first and `Ask` then; it answers `Load` with one frame, and `Ask` with one `Answer` for each
event as it is decided, so that after its death it is known which event it died of.
"""

from __future__ import annotations

import socket
import struct

import msgspec

from busted.events import Decision
from busted.policy.sources import Problem, Sources

# A batch of prompts with the pictures in them; a longer frame is garbage.
MAX_FRAME_BYTES = 64 << 20

# Exit statuses of a worker.
CRASHED, OUT_OF_MEMORY = 1, 2

_LENGTH = struct.Struct("<I")


class Fork(msgspec.Struct, frozen=True, tag=True):
    """Fork a worker; `memory_bytes` is how much it may take beyond what it has at its start."""

    memory_bytes: int


class End(msgspec.Struct, frozen=True, tag=True):
    """Kill a worker that the nursery forked, if it still lives."""

    pid: int


class Forked(msgspec.Struct, frozen=True, tag=True):
    """A worker is there; or 0 when it could not be forked."""

    pid: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A worker is gone: with this exit status, or by the signal that minus it is."""

    status: int


class Load(msgspec.Struct, frozen=True, tag=True):
    """The policy, and what counts where it fails; `tried`: it has been loaded before."""

    sources: Sources
    on_error: Decision
    tried: bool


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """Whether the policy can be loaded: it can if there are no problems.

    `versions` tells which Rego each deciding file is written in.
    """

    problems: tuple[Problem, ...] = ()
    versions: dict[str, str] = {}


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Decide these events, each as JSON, in this order; longer than `seconds` in all is a hang."""

    events: tuple[bytes, ...]
    seconds: float


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """What the policy says of one event.

    `error` says what went wrong, in `kind`: `conflict`, `failed`, `wrong_type`, `unknown`, `input`.
    `undefined`: no file says anything.
    """

    decision: Decision
    reasons: tuple[str, ...] = ()
    rule: str | None = None
    file: str | None = None
    error: str | None = None
    kind: str | None = None
    undefined: bool = False


Message = Fork | End | Forked | Ended | Load | Loaded | Ask | Answer

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class GarbageError(Exception):
    """What came is no frame of ours."""


def frame(message: Message) -> bytes:
    """Return the message as it is sent."""
    content = _ENCODER.encode(message)
    return _LENGTH.pack(len(content)) + content


class Frames:
    """Takes frames out of bytes as they come."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._waiting = bytearray()

    def feed(self, received: bytes) -> None:
        """Add what was received."""
        self._waiting += received

    def next(self) -> Message | None:
        """Return the next whole message, or None; raises GarbageError."""
        if len(self._waiting) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._waiting)
        if length > MAX_FRAME_BYTES:
            raise GarbageError(f"a frame of {length:,} bytes")
        end = _LENGTH.size + length
        if len(self._waiting) < end:
            return None
        content = bytes(self._waiting[_LENGTH.size : end])
        del self._waiting[:end]
        try:
            return _DECODER.decode(content)
        except msgspec.DecodeError as failure:
            raise GarbageError(str(failure)) from None


def receive(connection: socket.socket, frames: Frames) -> Message | None:
    """Wait for a message; None when the other end is closed. The socket's time-out counts."""
    while (message := frames.next()) is None:
        received = connection.recv(1 << 18)
        if not received:
            return None
        frames.feed(received)
    return message


def received_fds(connection: socket.socket, frames: Frames) -> tuple[Message | None, list[int]]:
    """Wait for a message and the descriptors beside it."""
    fds: list[int] = []
    while (message := frames.next()) is None:
        received, new, _flags, _address = socket.recv_fds(connection, 1 << 16, 4)
        fds += new
        if not received:
            return None, fds
        frames.feed(received)
    return message, fds
