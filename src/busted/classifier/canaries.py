"""Canaries: values that an operator planted, found wherever they are about to leave.

Nobody has a reason to send one, so there is no doubt to weigh: every spelling of it is a plain
word, and hyperscan looks for all of them at once. Base64 spells a value in three ways, by how
many bytes stand before it; the characters that others have a part in are left out.

Left out: values cut in two, compressed, encrypted, or spelled in two ways at once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Literal

import hyperscan
import msgspec

from busted.classifier import pii_encodings as encodings

# Shorter ones stand in other words by chance; longer ones say nothing more.
MIN_BYTES, MAX_BYTES = 8, 256

# Takes the row of what matched, where that begins if hyperscan was asked to know it, and where
# it ends; what is true ends the search.
Add = Callable[[int, int, int, int, object], bool | None]
Spelling = Literal["plain", "base64", "hex", "url", "json"]


class Canary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A planted value, and the name by which events tell it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    value: Annotated[str, msgspec.Meta(min_length=MIN_BYTES, max_length=MAX_BYTES)]


class Sighting(msgspec.Struct, frozen=True):
    """Where a canary stands, in bytes, and how it is spelled there."""

    start: int
    end: int
    name: str
    spelling: Spelling


class Canaries:
    """Looks for canaries; without any it costs nothing."""

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self._spellings = [
            (canary.name, spelling, word)
            for canary in canaries
            for spelling, word in _spellings(canary.value.encode("utf-8", "surrogatepass"))
        ]
        self._database: hyperscan.Database | None = None
        if self._spellings:
            self._database = hyperscan.Database()
            self._database.compile(
                expressions=[_literal(word) for _, _, word in self._spellings],
                ids=list(range(len(self._spellings))),
                elements=len(self._spellings),
                flags=[
                    hyperscan.HS_FLAG_CASELESS if spelling == "hex" else 0
                    for _, spelling, _ in self._spellings
                ],
            )

    def find(self, data: bytes) -> list[Sighting]:
        """Return where canaries stand in UTF-8, in order."""
        if self._database is None:
            return []
        found = set(self._words(data))
        views: tuple[tuple[bytes, encodings.Decoded, Spelling], ...] = ()
        if b"%" in data:
            views += ((b"%", encodings.url_text(data), "url"),)
        if b"\\" in data:
            views += ((b"\\", encodings.json(data, limit=None), "json"),)
        for mark, view, spelling in views:
            for one in self._words(view.plain):
                start, end = view.place(one.start, one.end)
                if mark in data[start:end]:  # else it stands there as it is
                    found.add(Sighting(start, end, one.name, spelling))
        return sorted(found, key=lambda one: (one.start, one.end))

    def _words(self, data: bytes) -> Iterator[Sighting]:
        ends: list[tuple[int, int]] = []

        def add(row: int, _: int, end: int, flags: int, context: object) -> None:
            ends.append((row, end))

        assert self._database is not None
        scan(self._database, data, add)
        for row, end in ends:
            name, spelling, word = self._spellings[row]
            yield Sighting(end - len(word), end, name, spelling)


def scan(database: hyperscan.Database, data: bytes, add: Add) -> None:
    """Search with a database that other threads may be using."""
    try:
        database.scan(data, match_event_handler=add)
    except hyperscan.ScratchInUseError:  # another thread is searching: this one needs its own
        database.scan(data, match_event_handler=add, scratch=hyperscan.Scratch(database))


def _literal(word: bytes) -> bytes:
    return b"".join([b"\\x%02x" % byte for byte in word])


def _spellings(value: bytes) -> Iterator[tuple[Spelling, bytes]]:
    yield "plain", value
    yield "hex", value.hex().encode()
    escaped = json.dumps(value.decode("utf-8", "surrogatepass"))[1:-1].encode()
    if escaped != value:
        yield "json", escaped
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            whole = encode(bytes(before) + value)
            # A character has 6 bits, a byte 8: the first and the last may be shared with others.
            yield "base64", whole[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
