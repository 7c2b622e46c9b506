"""Verifying an audit log: is every line there, as it was written, and in its place?

Strategy: one pass over the files in the order of their first lines. Each line is checked by itself
(its own hash), then against the one before (number and `previous`), and the end
against `FILE.head`. So each kind of damage is told by name and place, and once: after a damaged
line the check goes on with the next whole one.

Left out: who did it, and damage by somebody who made the rest of the chain anew. For that give
`known`, a hash that was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from busted.agent.audit_log import (
    FIRST_PREVIOUS,
    MAX_LINE_BYTES,
    AuditError,
    Entry,
    Link,
    Started,
    links,
    read_head,
)


class Damage(msgspec.Struct, frozen=True):
    """What is wrong, at which line (from 1) of which file; `line` 0 is the file as a whole."""

    file: Path
    line: int
    what: str


class Verified(msgspec.Struct):
    """What a check found."""

    lines: int = 0
    first: int = 0
    """Number of the first line; more than 1 where older files were not given."""
    last: Link = Link()
    damages: list[Damage] = []
    cut: Path | None = None
    """The file whose last line a crash cut short: no damage, the next start goes on behind."""
    known_found: bool = False


class _Numbered(msgspec.Struct):
    number: int


class _Expected:
    """The chain so far, and what the next line must be like."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.broken = 0  # lines since then that are none

    def fits(self, link: Link, previous: str) -> str | None:
        """Return what is wrong with a line that is whole; None when it is the next one."""
        last, broken = self.link, self.broken
        if last is None:
            # Nothing is known before the first line; what is broken above it is told already.
            if link.number == 1 and previous != FIRST_PREVIOUS:
                return "it is number 1, and yet follows another"
            self._accept(link)
            return None
        if link.number <= last.number:
            return f"number {link.number} stands behind number {last.number}: moved or put in"
        skipped = link.number - last.number - 1
        follows = previous == last.hash
        self._accept(link)
        if skipped > broken:
            return f"{_lines_are(skipped - broken)} missing before it"
        if broken and skipped == broken:
            return None  # the broken ones were told where they stand
        if not follows:
            return "it does not follow the line before: that one was replaced"
        return None

    def _accept(self, link: Link) -> None:
        self.link, self.broken = link, 0


def verify(paths: Sequence[Path], known: str | None = None) -> Verified:
    """Check the files of one log, in whatever order they are named; `FILE.head` may be among them.

    `known` is the hash of a line that must be among them. Raises AuditError where a file cannot
    be read.
    """
    found, expected = Verified(), _Expected()
    ordered = sorted((path for path in paths if not _is_head(path)), key=_first_number)
    for path in ordered:
        _verify_file(path, found, expected, known)
    if expected.link is not None:
        found.last = expected.link
    if ordered:
        _verify_end(ordered[-1], found)
    return found


def _verify_file(path: Path, found: Verified, expected: _Expected, known: str | None) -> None:
    for number, raw in enumerate(_lines(path), 1):
        if not raw.endswith(b"\n") and links(raw) is None:
            # Only the end of a file can lack its line break.
            found.cut = path
            continue
        found.lines += 1
        whole = links(raw.removesuffix(b"\n"))
        if whole is None:
            expected.broken += 1
            found.damages.append(Damage(path, number, "it is not as it was written"))
            continue
        link, previous = whole
        found.first = found.first or link.number
        found.known_found |= link.hash == known
        if wrong := expected.fits(link, previous):
            found.damages.append(Damage(path, number, wrong))
        if told := _told_by_start(raw):
            found.damages.append(Damage(path, number, told))


def _told_by_start(raw: bytes) -> str | None:
    if b'"type":"start"' not in raw:
        return None
    try:
        entry = msgspec.json.decode(raw, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "it says what no audit log says"
    if isinstance(entry, Started) and entry.missing:
        return f"{_lines_are(entry.missing)} missing before it, and were when the monitor started"
    if isinstance(entry, Started) and entry.changed:
        return "the line before it was another when the monitor started"
    return None


def _verify_end(path: Path, found: Verified) -> None:
    head = read_head(path)
    if found.cut is not None and found.cut != path:
        found.damages.append(Damage(found.cut, 0, "its last line is cut, and it is not the end"))
        found.cut = None
    if head is None:
        return  # a rotated file, or a copy without it
    missing = head.number - found.last.number
    if missing > 0:
        found.damages.append(Damage(path, 0, f"{_lines_are(missing)} missing at its end"))
        found.cut = None
    elif missing == 0 and head.hash != found.last.hash:
        found.damages.append(Damage(path, 0, "its last line is not the one that was written last"))


def _lines_are(count: int) -> str:
    return "1 line is" if count == 1 else f"{count:,} lines are"


def _is_head(path: Path) -> bool:
    name = path.name.removesuffix(".head")
    return name != path.name and read_head(path.with_name(name)) is not None


def _first_number(path: Path) -> int:
    for raw in _lines(path):
        if whole := links(raw.removesuffix(b"\n")):
            return whole[0].number
    return 0


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while raw := file.readline(MAX_LINE_BYTES):
                yield raw
    except OSError as error:
        raise AuditError(f"cannot read {path}: {error.strerror}") from error
