"""Which files are sensitive, and which are of no interest at all, by their paths.

A row has patterns of paths: `.env` is any file of that name, `.aws/credentials` one in a directory
of that name, `.ssh/` all below such a directory, `/etc/shadow` that very file. A star stands for
any characters within a part.

Pure: a path in, a category out. What is told of a file, its content too, is not looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

# What nobody wants to know was read: libraries, their tables and caches, of which a program opens
# hundreds as it starts. Absolute, or the name of any directory.
QUIET_DIRECTORIES = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/usr/share"),
    *("/usr/libexec", "/usr/include", "/etc/ssl/certs", "/etc/alternatives", "/etc/ld.so.conf.d"),
    *("/var/cache/ldconfig", "/var/lib/sss", "/proc", "/sys", "/dev"),
    *("node_modules", "site-packages", "dist-packages", "lib-dynload", "__pycache__"),
)
_QUIET_FILES = frozenset(
    {
        *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/etc/locale.alias"),
        *("/etc/nsswitch.conf", "/etc/inputrc"),
    }
)
_QUIET = tuple(f"{name}/" for name in QUIET_DIRECTORIES if name.startswith("/"))
_QUIET_PARTS = frozenset(QUIET_DIRECTORIES)

# Parts that many harmless paths have: the kernel side looks for another part.
_COMMON = frozenset({"etc", "config", ".config", "cache", "token", "hosts.yml", "skills"})

# The category of rows whose files are not sensitive, whatever rows after them say.
NONE = "none"

# One part of it has to tell the kernel side what to look for.
Pattern = Annotated[str, Meta(pattern=r"[^*/]", max_length=256)]


class Sensitive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One category of files: the patterns of their paths, `but` not these."""

    category: str
    paths: tuple[Pattern, ...]
    but: tuple[Pattern, ...] = ()


class SensitiveFiles:
    """The categories; rows that come first win."""

    def __init__(self, rows: Iterable[Sensitive]) -> None:
        """Compile the rows."""
        rows = tuple(rows)
        self._rows = [
            (row.category, _compiled(row.paths), _compiled(row.but) if row.but else None)
            for row in rows
        ]
        self.words: frozenset[str] = frozenset(_word(path) for row in rows for path in row.paths)

    def category(self, path: str) -> str | None:
        """Return the category of an absolute path, or None when it is not sensitive."""
        for category, paths, but in self._rows:
            if paths.search(path) and not (but and but.search(path)):
                return None if category == NONE else category
        return None


def is_quiet(path: str) -> bool:
    """Tell whether nobody wants to know that a file was read, unless it is sensitive."""
    return (
        path.startswith(_QUIET)
        or path in _QUIET_FILES
        or not _QUIET_PARTS.isdisjoint(path.split("/")[:-1])
    )


def _compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(_expression(pattern) for pattern in patterns), re.DOTALL)


def _expression(pattern: str) -> str:
    text = r"[^/]*".join(re.escape(part) for part in pattern.split("*"))
    start = "^" if pattern.startswith("/") else r"(?:^|/)"
    return start + text + ("" if pattern.endswith("/") else r"\Z")


def _word(pattern: str) -> str:
    """Return what the kernel side looks for: a part, its beginning up to a dot, or its suffix.

    Empty where there is nothing of the kind.
    """
    parts = [part for part in pattern.split("/") if part and part not in _COMMON]
    whole = [part for part in parts if "*" not in part]
    if whole:
        return whole[-1]
    name = parts[-1] if parts else ""
    before, _, after = name.rpartition(".")
    if after and "*" not in after:
        return "." + after
    return "" if "*" in before else before
