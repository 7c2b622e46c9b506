"""Events into a file, one JSON object a line, with rotation and compression.

Strategy: a batch is appended with one write; where the disk takes only a part of it, that part is
cut off again and the batch is offered later, so a full disk costs no line twice and none by half.
When the file is large or old enough it is renamed, with the time in its name, and compressed in a
thread of its own, since that takes seconds; the oldest beyond `keep` are deleted. A file
that something else has moved away (logrotate) is opened anew.

Left out: fsync. A power failure may cost what the kernel had not yet written; a kill does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, cast

import zstandard

from busted.sinks.channel import ALL_TAKEN, Item, Sent, Unavailable, WrongOutput
from busted.sinks.settings import Count, Positive, QueuedSettings

log = logging.getLogger(__name__)

_SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst"}


class FileSettings(QueuedSettings, frozen=True, kw_only=True):
    """Settings of a file; sizes in bytes, times in seconds."""

    rotate_bytes: Count = 100 << 20
    rotate_seconds: Positive = 86400.0
    keep: Count = 10
    compress: Literal["none", "gzip", "zstd"] = "gzip"


class FileChannel:
    """Appends to a file that only its owner can read."""

    def __init__(
        self, target: str, settings: FileSettings, now: Callable[[], float] = time.time
    ) -> None:
        """Open the file. Raises WrongOutput."""
        self._path, self._settings, self._now = Path(target), settings, now
        self._compressing: threading.Thread | None = None
        try:
            self._open()
        except OSError as error:
            raise WrongOutput(f"cannot write to {target}: {error.strerror}") from error

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Append a batch."""
        data = b"".join(item.event + b"\n" for item in batch)
        try:
            await asyncio.to_thread(self._append, data)
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}") from error
        return ALL_TAKEN

    async def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
        if self._compressing:
            await asyncio.to_thread(self._compressing.join)

    def _append(self, data: bytes) -> None:
        if self._moved():
            os.close(self._descriptor)
            self._open()
        if self._size and (
            self._size + len(data) > self._settings.rotate_bytes
            or self._now() - self._since > self._settings.rotate_seconds
        ):
            self._rotate()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def _moved(self) -> bool:
        ours = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        # Its age is not known; from now on it is.
        self._since = self._now()
        # Killed within a line: what follows must not be lost with it.
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._size += os.write(self._descriptor, b"\n")

    def _rotate(self) -> None:
        stamp = datetime.fromtimestamp(self._now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        os.rename(self._path, f"{self._path}.{stamp}")
        os.close(self._descriptor)
        self._open()
        if self._compressing and self._compressing.is_alive():
            return  # the next rotation takes this one's file, too
        self._compressing = threading.Thread(
            target=tidy, args=(self._path, self._settings), name="busted-compress", daemon=True
        )
        self._compressing.start()


def tidy(path: Path, settings: FileSettings) -> None:
    """Compress what was rotated and is not compressed yet, then delete all but the newest."""
    suffix = _SUFFIXES[settings.compress]
    # Ends in the time; other files of a similar name are not ours.
    stamp = "[0-9]" * 8 + "T" + "[0-9]" * 6 + "." + "[0-9]" * 6 + "Z"
    try:
        if suffix:
            for rotated in sorted(path.parent.glob(f"{path.name}.{stamp}")):
                _compress(rotated, suffix)
        kept = sorted(path.parent.glob(f"{path.name}.{stamp}*"), reverse=True)
        for old in kept[settings.keep :]:
            old.unlink()
    except OSError as error:
        log.warning("cannot tidy up %s: %s", path, error.strerror)


def _compress(rotated: Path, suffix: str) -> None:
    part, done = Path(f"{rotated}{suffix}.part"), Path(f"{rotated}{suffix}")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as raw, rotated.open("rb") as source:
            if suffix == ".gz":
                # Level 6 gains 2 per cent over this one and takes three times as long.
                packed = cast(BinaryIO, gzip.GzipFile("", "wb", 3, raw, mtime=0))
            else:
                packed = cast(BinaryIO, zstandard.ZstdCompressor(3).stream_writer(raw))
            with packed:
                shutil.copyfileobj(source, packed, 1 << 20)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    part.rename(done)
    rotated.unlink()
