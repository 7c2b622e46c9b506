"""Recordings: what the kernel said and what was found out beside it, in a file.

A recording holds the input of the pipeline, not its output: raw record bytes, what /proc told
about processes, which libraries were hooked, when the clock was looked at. So `busted replay`
runs today's parsers over yesterday's bytes, for golden tests, bug reports and the demo alike.
Only what the monitor says of itself is kept as its event. A recording holds prompts and keys in
plain text whatever the content level, hence its mode 0600.

Strategy: a magic line, then frames. A frame is its payload's length (u32) and kind (u8), little
endian, then the payload. The first frame is the header; JSON payloads are msgspec structs. A
recording that was cut (disk full, power lost) is read up to its last whole frame and the cut is
told; anything else that does not fit is an error that names the place.

Left out: an index, compression, reading while it is being written.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from busted import __version__
from busted.agent.config import Selection
from busted.agent.coverage import Stack
from busted.agent.file_access import Mode
from busted.agent.flows import Network
from busted.agent.loops import LoopTerms
from busted.agent.pipeline import Origin
from busted.enrich.containers import CgroupFacts
from busted.enrich.pods import PodFacts
from busted.enrich.processes import ProcessFacts
from busted.enrich.runtime_files import ContainerFacts
from busted.enrich.users import UserFacts
from busted.events import Event, Library
from busted.records import ProcessKey
from busted.sinks.writer import deliver

log = logging.getLogger(__name__)

FORMAT = 1
MAGIC = b"busted recording\n"

# A record has 17 KB, facts of a process 5 KB; a coverage event names each hooked library once,
# which is a few hundred bytes for each of some thousands at most. More can only be garbage.
MAX_FRAME_BYTES = 8 << 20
# Records come in thousands a second; one write for many of them keeps the monitor cheap.
BUFFER_BYTES = 1 << 20

T = TypeVar("T")

_FRAME = struct.Struct("<IB")
_HEADER, _RECORD, _PROCESS, _LIBRARY, _TICK, _EVENT, _AGENT = range(1, 8)
_CGROUP, _CONTAINER, _POD, _USER, _STACK = range(8, 13)


class RecordingError(Exception):
    """A recording cannot be written or read; the message is one line that names the file."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What replaying needs to know before the first record."""

    format: int = FORMAT
    busted: str = __version__
    origin: Origin
    selection: Selection = Selection()
    network: Network = "none"
    files: Mode = "sensitive"
    loops: LoopTerms = LoopTerms()
    foresees: bool = False


class RawRecord(msgspec.Struct, frozen=True):
    """One record as the ring buffer gave it."""

    raw: bytes


class LibraryFacts(msgspec.Struct, frozen=True):
    """A hooked library, by the cookie that records name it with."""

    cookie: int
    library: Library


class Tick(msgspec.Struct, frozen=True):
    """The pipeline was asked what has waited too long; `last` when the monitor stopped.

    `now_ns` is on the records' clock.
    """

    now_ns: int
    last: bool = False


class AgentProcess(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process that ran when all were looked at, and was found to be of an agent."""

    key: ProcessKey
    parent: ProcessKey
    name: str
    exe: str = ""
    argv: tuple[str, ...] = ()


Facts = ProcessFacts | CgroupFacts | ContainerFacts | PodFacts | UserFacts | Stack
Beside = Facts | LibraryFacts | AgentProcess | Tick | Event
Frame = RawRecord | Beside

_KINDS: dict[type[Beside], int] = {
    ProcessFacts: _PROCESS,
    CgroupFacts: _CGROUP,
    ContainerFacts: _CONTAINER,
    PodFacts: _POD,
    UserFacts: _USER,
    Stack: _STACK,
    LibraryFacts: _LIBRARY,
    AgentProcess: _AGENT,
    Tick: _TICK,
    Event: _EVENT,
}
_TYPES = {kind: type for type, kind in _KINDS.items()}


class RecordingWriter:
    """Writes a new recording; whoever writes decides when to `flush`.

    Only creating it raises. A disk that fills up later must not stop the monitor: the reason is
    logged once, what could not be written is counted in `lost`, and nothing more is written.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Create `path`, which must not exist, readable by its owner only.

        A file that exists is never replaced: it could be a link planted by somebody else, or
        yesterday's evidence. Raises RecordingError.
        """
        self.lost = 0
        self._path, self._failed = path, False
        self._taken_in_at = 0
        self._buffer, self._buffered = bytearray(), 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:
            raise RecordingError(
                f"cannot record to {path}: it exists already; remove it or choose another name"
            ) from None
        except OSError as error:
            raise RecordingError(f"cannot record to {path}: {error.strerror}") from error
        # Without Python's buffer: ours knows how many frames are lost with it.
        self._file = open(descriptor, "wb", buffering=0)  # noqa: SIM115 (see close)
        try:
            deliver(self._file, MAGIC + _frame(_HEADER, msgspec.json.encode(header)))
        except OSError as error:
            self._file.close()
            raise RecordingError(f"cannot record to {path}: {error.strerror}") from error

    def record(self, raw: bytes) -> None:
        """Add one kernel record."""
        self._take_in()
        self._write(_RECORD, raw)

    def answer(self, raw: bytes) -> None:
        """Add a kernel record that was asked for while the last record or tick was taken in.

        It goes before that one: a replay, which cannot ask, then has the answer already.
        """
        self._write_before(_RECORD, raw)

    def found(self, facts: Facts) -> None:
        """Add what was found out because of the last record or tick; it goes before that, too."""
        self._write_before(_KINDS[type(facts)], msgspec.json.encode(facts))

    def add(self, frame: Beside) -> None:
        """Add what happened beside the records, in its place among them."""
        if isinstance(frame, Tick):
            self._take_in()
        self._write(_KINDS[type(frame)], msgspec.json.encode(frame))

    def flush(self) -> None:
        """Hand everything to the kernel, so that only a crash of the machine can lose it."""
        buffer, frames = self._buffer, self._buffered
        self._buffer, self._buffered, self._taken_in_at = bytearray(), 0, 0
        try:
            deliver(self._file, buffer)
        except OSError as error:
            # Perhaps some of these frames were written: too many are counted, never too few.
            self.lost += frames
            self._failed = True
            log.warning("the recording %s ends here: %s", self._path, error.strerror)

    def close(self) -> None:
        """Write what is left and close the file; closing twice is fine."""
        self.flush()
        self._file.close()

    def _take_in(self) -> None:
        # Not later: answers are put before what is written next, so it must still be here.
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()
        self._taken_in_at = len(self._buffer)

    def _write_before(self, kind: int, payload: bytes) -> None:
        if self._failed:
            self.lost += 1
            return
        frame = _frame(kind, payload)
        self._buffer[self._taken_in_at : self._taken_in_at] = frame
        self._taken_in_at += len(frame)
        self._buffered += 1

    def _write(self, kind: int, payload: bytes) -> None:
        if self._failed or len(payload) > MAX_FRAME_BYTES:
            self.lost += 1
            return
        self._buffer += _frame(kind, payload)
        self._buffered += 1


def _frame(kind: int, payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), kind) + payload


class Frames:
    """The frames of a recording, once, in order; afterwards `cut` tells whether it was cut.

    Iterating raises RecordingError where the file is not a recording any more.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Read from `file`, and close it at its end."""
        self.cut = False
        self._path, self._file = path, file
        self._offset = self._frame_offset = 0

    def header(self) -> Header:
        """Return the header, which stands first; to be asked for once, before iterating."""
        if self._read(len(MAGIC)) != MAGIC:
            raise RecordingError(f"{self._path} is not a recording of `busted monitor --record`")
        frame = self._next()
        if frame is None:
            raise self._error("the header is cut")
        kind, payload = frame
        if kind != _HEADER:
            raise self._error(f"kind {kind} stands where the header should")
        header = self._decode(payload, Header)
        if header.format != FORMAT:
            raise RecordingError(
                f"{self._path} has recording format {header.format}, this Busted reads {FORMAT}; "
                f"replay it with Busted {header.busted}"
            )
        return header

    def __iter__(self) -> Iterator[Frame]:
        """Yield frame after frame, and close the file."""
        with self._file:
            while frame := self._next():
                kind, payload = frame
                if kind == _RECORD:
                    yield RawRecord(payload)
                elif kind in _TYPES:
                    yield self._decode(payload, _TYPES[kind])
                else:
                    raise self._error(f"unknown kind {kind}")

    def _next(self) -> tuple[int, bytes] | None:
        self._frame_offset = self._offset
        head = self._read(_FRAME.size)
        if len(head) < _FRAME.size:
            self.cut = bool(head)
            return None
        length, kind = _FRAME.unpack(head)
        if length > MAX_FRAME_BYTES:
            raise self._error(f"a frame of {length:,} bytes is over the limit")
        payload = self._read(length)
        if len(payload) < length:
            self.cut = True
            return None
        return kind, payload

    def _read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise RecordingError(f"cannot read {self._path}: {error.strerror}") from error
        self._offset += len(data)
        return data

    def _decode(self, payload: bytes, type: type[T]) -> T:
        try:
            return msgspec.json.decode(payload, type=type)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._error(f"not readable: {error}") from error

    def _error(self, what: str) -> RecordingError:
        return RecordingError(f"{self._path} is damaged at offset {self._frame_offset}: {what}")


def read(path: Path) -> tuple[Header, Frames]:
    """Open a recording; its frames are read as they are asked for.

    Raises RecordingError when there is none.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed by Frames)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    frames = Frames(path, file)
    try:
        return frames.header(), frames
    except RecordingError:
        file.close()
        raise
