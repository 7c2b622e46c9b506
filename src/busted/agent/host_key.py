"""This host's key for the hashes of findings: the same in every run, so that a secret can be
followed through weeks of events without being stored.

It is 32 random bytes in a file that only its owner can read, made by the first monitor. Where it
cannot be kept, a key of one run takes its place, and the operator is told. After `rotate` no hash
of before is ever given again.

Left out: anything that protects it from root, who can read what the agents say anyway.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

KEY_BYTES = 32
FILE_NAME = "findings.key"


class KeyFileError(Exception):
    """The key cannot be changed; the message is one line that names the file."""


class HostKey(msgspec.Struct, frozen=True):
    """A key, and why it is one of this run only; None when it is the host's."""

    key: bytes
    temporary: str | None = None


def load(directory: Path, *, create: bool) -> HostKey:
    """Return the host's key, made if there is none and `create`, or one of this run."""
    path = directory / FILE_NAME
    try:
        if create:
            _make(path)
        return HostKey(_read(path))
    except OSError as error:
        why = f"cannot use {path}: {error.strerror or error}"
        return HostKey(os.urandom(KEY_BYTES), why)


def rotate(directory: Path) -> Path:
    """Put a new key in the place of the host's, or make the first; return its file.

    What runs keeps the key it has. Raises KeyFileError.
    """
    path = directory / FILE_NAME
    try:
        with _new(path) as new:
            os.replace(new, path)
    except OSError as error:
        raise KeyFileError(f"cannot change {path}: {error.strerror or error}") from error
    return path


def _make(path: Path) -> None:
    if path.exists():
        return
    # Another monitor may be faster: its key is the host's.
    with _new(path) as new, contextlib.suppress(FileExistsError):
        os.link(new, path)


@contextlib.contextmanager
def _new(path: Path) -> Iterator[Path]:
    """Have a new key in a file beside `path`, so that it gets there whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp: 0600, and a name that nobody else has.
    descriptor, name = tempfile.mkstemp(prefix=f"{FILE_NAME}.", dir=path.parent)
    new = Path(name)
    try:
        with open(descriptor, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        yield new
    finally:
        new.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid not in (0, os.geteuid()):
            raise OSError("others can read it; remove it, and a new one is made")
        key = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(key) != KEY_BYTES:
        raise OSError(f"it has not {KEY_BYTES} bytes; remove it, and a new one is made")
    return key
