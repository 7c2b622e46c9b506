"""Reading small files of others: bounded, and never waiting for a pipe."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_file(path: Path, max_bytes: int, owner: int | None = None) -> bytes | None:
    """Return the beginning of a regular file, `max_bytes` at most; None where it cannot be read.

    With `owner`, only a file of that user, and no link to another. A pipe in its place is not
    waited for.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags | (os.O_NOFOLLOW if owner is not None else 0))
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or (owner is not None and status.st_uid != owner):
            return None
        pieces, left = [], max_bytes
        while left > 0 and (piece := os.read(descriptor, left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
    except OSError:
        return None
    finally:
        os.close(descriptor)
