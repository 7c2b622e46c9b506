"""Recordings: what the kernel said and what was found out beside it, in a file.

A recording holds the input of the pipeline, not its output: raw record bytes, what /proc told
about processes, which libraries were hooked, what was lost. So `busted replay` runs today's
parsers over yesterday's bytes, for golden tests, bug reports and the demo alike. It holds
prompts and keys in plain text whatever the content level, hence its mode 0600.

Strategy: a magic line, then frames. A frame is its payload's length (u32) and kind (u8), little
endian, then the payload. The first frame is the header; JSON payloads are msgspec structs. A
recording that was cut (disk full, power lost) is read up to its last whole frame and the cut is
told; anything else that does not fit is an error that names the place.

Left out: an index, compression, reading while it is being written.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from busted.events import Library, Process

FORMAT = 1
MAGIC = b"busted recording\n"

# A kernel record is at most 17 KB. The arguments of a process can reach 6 MB (three quarters of
# _STK_LIM, execve(2) "Limits on size of arguments"), so a larger length can only be garbage.
MAX_FRAME_BYTES = 8 << 20
# Records come in thousands a second; one write for many of them keeps the monitor cheap.
BUFFER_BYTES = 1 << 20

T = TypeVar("T")

_FRAME = struct.Struct("<IB")
_HEADER, _RECORD, _PROCESS, _LIBRARY, _LOST = range(1, 6)


class RecordingError(Exception):
    """A recording cannot be written or read; the message is one line that names the file."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What replaying needs to know before the first record.

    `wall_offset_ns` is CLOCK_REALTIME and `boot_offset_ns` CLOCK_BOOTTIME, each minus
    CLOCK_MONOTONIC, when the recording began. `seed` makes the event ids of a replay those of
    the live run. `settings` are those that change what the records mean.
    """

    format: int = FORMAT
    busted: str
    host: str
    wall_offset_ns: int
    boot_offset_ns: int
    seed: bytes
    settings: dict[str, int | str] = {}


class RawRecord(msgspec.Struct, frozen=True):
    """One record as the ring buffer gave it."""

    raw: bytes


class ProcessFacts(msgspec.Struct, frozen=True):
    """What /proc said of a process; a pid counts only with its start time."""

    pid: int
    start_ns: int
    process: Process


class LibraryFacts(msgspec.Struct, frozen=True):
    """A hooked library, by the cookie that records name it with."""

    cookie: int
    library: Library


class Lost(msgspec.Struct, frozen=True):
    """What was lost so far, counted by place."""

    counts: dict[str, int]


Frame = RawRecord | ProcessFacts | LibraryFacts | Lost


class RecordingWriter:
    """Writes a new recording; whoever writes decides when to `flush`."""

    def __init__(self, path: Path, header: Header) -> None:
        """Create `path`, which must not exist, readable by its owner only.

        A file that exists is never replaced: it could be a link planted by somebody else, or
        yesterday's evidence.
        """
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:
            raise RecordingError(
                f"cannot record to {path}: it exists already; remove it or choose another name"
            ) from None
        except OSError as error:
            raise RecordingError(f"cannot record to {path}: {error.strerror}") from error
        self._file = open(descriptor, "wb", buffering=BUFFER_BYTES)  # noqa: SIM115 (see close)
        self._write(MAGIC)
        self._frame(_HEADER, msgspec.json.encode(header))
        self.flush()

    def record(self, raw: bytes) -> None:
        """Add one kernel record."""
        self._frame(_RECORD, raw)

    def process(self, facts: ProcessFacts) -> None:
        """Add what was found out about a process."""
        self._frame(_PROCESS, msgspec.json.encode(facts))

    def library(self, facts: LibraryFacts) -> None:
        """Add a library that was hooked."""
        self._frame(_LIBRARY, msgspec.json.encode(facts))

    def lost(self, counts: dict[str, int]) -> None:
        """Add the loss counters, as they stand now."""
        self._frame(_LOST, msgspec.json.encode(counts))

    def flush(self) -> None:
        """Hand everything to the kernel, so that only a crash of the machine can lose it."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Write what is left and close the file; closing twice is fine."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _frame(self, kind: int, payload: bytes) -> None:
        if len(payload) > MAX_FRAME_BYTES:
            raise RecordingError(
                f"cannot record to {self._path}: a frame of {len(payload):,} bytes is over the "
                f"limit of {MAX_FRAME_BYTES:,}"
            )
        self._write(_FRAME.pack(len(payload), kind) + payload)

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> RecordingError:
        return RecordingError(f"cannot write the recording {self._path}: {error.strerror}")


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
                elif kind == _PROCESS:
                    yield self._decode(payload, ProcessFacts)
                elif kind == _LIBRARY:
                    yield self._decode(payload, LibraryFacts)
                elif kind == _LOST:
                    yield Lost(self._decode(payload, dict[str, int]))
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
