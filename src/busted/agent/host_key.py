"""This host's key for the hashes of findings: the same in every run, so that a secret can be
followed through weeks of events without being stored.

It is 32 random bytes in a file that only its owner can read, made by the first monitor. Removing
the file is how it is changed: the next monitor makes another, and no hash of before is ever given
again. Where it cannot be kept, a key of one run takes its place, and the operator is told.

Left out: anything that protects it from root, who can read what the agents say anyway.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

KEY_BYTES = 32
FILE_NAME = "findings.key"


class HostKey(msgspec.Struct, frozen=True):
    """A key, and why it is one of this run only; None when it is the host's."""

    key: bytes
    temporary: str | None = None


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where Busted keeps what outlives a run: systemd's choice, or /var/lib/busted.

    systemd.exec(5), StateDirectory: several are separated by colons.
    """
    return Path(environment.get("STATE_DIRECTORY", "/var/lib/busted").partition(":")[0])


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


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        return
    # Whole or not at all, also when two monitors start at once.
    new = path.with_name(f"{FILE_NAME}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, os.urandom(KEY_BYTES))
        os.fsync(descriptor)
        os.link(new, path)
    except FileExistsError:
        pass  # another monitor was faster: its key is the host's
    finally:
        os.close(descriptor)
        os.unlink(new)


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
