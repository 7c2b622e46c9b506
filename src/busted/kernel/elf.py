"""The little of an ELF file that probes need: where functions are, bytes, the build id.

Strategy: find the name in the string table, then the symbol that points at it. A general
reader visits every symbol in Python, which takes seconds on node's hundred thousand; this
takes milliseconds. Files are foreign: whatever is wrong with one, it has no symbols, and whatever
it claims, looking at it takes bounded time. They are read, not mapped: one that shrinks under a
mapping would end the monitor with SIGBUS.

Left out: 32-bit and big-endian files, symbols in files of debug information, a build id that is
not the first note of its section.

Reference: System V ABI, chapters 4 and 5; elf(5).
"""

from __future__ import annotations

import operator
import os
import re
import struct
from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_NOTE = struct.Struct("<III")
_Symbol = tuple[int, int, int, int, int, int]
_SYMTAB, _NOTE_SECTION, _DYNSYM, _LOAD = 2, 7, 11, 1
_UNWIND = 0x6474E550  # PT_GNU_EH_FRAME
# Version 1; pointers of 32 bits, the count as it is, the table from here (LSB, 10.6.2).
_UNWIND_HEADER = re.compile(rb"\x01[\x03\x0b\x1b]\x03\x3b", re.DOTALL)
_EXECUTABLE = 1
_GNU_BUILD_ID = 3
_FUNCTION_TYPES = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
# A header may claim any size; node, the largest we know, has tables of 8 MB.
_MAX_TABLE = 24 << 20
# Names that end alike share their bytes, so one is found inside others; few end in SSL_read.
_MAX_OCCURRENCES = 16
_MAX_SECTION_NAMES = 64 << 10
# Code and data of one segment; more is no program, but a header that lies.
_MAX_SEGMENT = 1 << 30
# All notes of a section; a build id takes 36 bytes.
_MAX_NOTES = 64 << 10


class Section(NamedTuple):
    """Where a section is in memory and in the file."""

    address: int
    offset: int
    size: int


class Segment(NamedTuple):
    """What of a file is loaded, and where."""

    address: int
    offset: int
    size: int
    is_code: bool


class ElfFile:
    """An open 64-bit little-endian ELF file."""

    def __init__(self, fd: int) -> None:
        """Read the headers of the file behind `fd`, which stays the caller's. Raises ValueError."""
        self._fd = fd
        try:
            ident, *_, phoff, shoff, _, _, _, phnum, _, shnum, names = _HEADER.unpack(
                self.read(0, _HEADER.size)
            )
            self._segments = list(_SEGMENT.iter_unpack(self.read(phoff, phnum * _SEGMENT.size)))
            self._sections = list(_SECTION.iter_unpack(self.read(shoff, shnum * _SECTION.size)))
        except struct.error as error:
            raise ValueError(f"not a 64-bit ELF file: {error}") from error
        if ident[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self._names_section = names

    def functions(self, names: Iterable[str]) -> dict[str, int]:
        """Return the file offsets of those functions that the file defines.

        Those for others to call; where it has none of them, those of its own, as a library that is
        linked in has.
        """
        names = tuple(names)
        exported = self._offsets(self._functions(_DYNSYM, names))
        return exported or self._offsets(self._functions(_SYMTAB, names))

    def function_addresses(self, names: Iterable[str]) -> dict[str, int]:
        """Return the addresses of those functions, also of a file that has nothing but symbols."""
        names = tuple(names)
        return self._functions(_DYNSYM, names) or self._functions(_SYMTAB, names)

    def _offsets(self, addresses: dict[str, int]) -> dict[str, int]:
        offsets = {name: self.file_offset(address) for name, address in addresses.items()}
        return {name: offset for name, offset in offsets.items() if offset is not None}

    def _functions(self, table: int, names: Sequence[str]) -> dict[str, int]:
        # A file has one such section at most (System V ABI, chapter 4, "Sections").
        section = next((section for section in self._sections if section[1] == table), None)
        if section is None or section[6] >= len(self._sections):
            return {}
        strings = self._content(self._sections[section[6]], _MAX_TABLE)
        wanted = {
            index: name
            for name in names
            for index in islice(occurrences(strings, name.encode() + b"\0"), _MAX_OCCURRENCES)
        }
        found: dict[str, int] = {}
        for symbol in self._symbols(section, wanted) if wanted else ():
            index, info, _, section_number, address, _ = symbol
            if section_number and info & 15 in _FUNCTION_TYPES:
                found[wanted[index]] = address
        return found

    def section(self, name: str) -> Section | None:
        """Return the section of this name, or None."""
        number = self._names_section
        if number >= len(self._sections):
            return None
        names = self._content(self._sections[number], _MAX_SECTION_NAMES)
        for index, _, _, address, offset, size, *_ in self._sections:
            if names[index:].startswith(name.encode() + b"\0"):
                return Section(address, offset, size)
        return None

    def segments(self) -> list[Segment]:
        """Return what is loaded of the file, as the file claims it."""
        return [
            Segment(address, offset, size, bool(flags & _EXECUTABLE))
            for kind, flags, offset, address, _, size, _, _ in self._segments
            if kind == _LOAD
        ]

    def pieces(self, segment: Segment, size: int, overlap: int) -> Iterator[tuple[int, bytes]]:
        """Yield a segment piece by piece, with their offsets in the file.

        They overlap by so many bytes: a thing may begin in one and go on in the next.
        """
        offset, end = segment.offset, segment.offset + min(segment.size, _MAX_SEGMENT)
        while offset < end:
            piece = self.read(offset, min(size + overlap, end - offset))
            if not piece:
                return
            yield offset, piece
            offset += size

    def function_starts(self) -> array[int]:
        """Return the addresses at which its functions begin, in order, none when it does not say.

        They stand in the table that finds how to unwind a function's stack (Linux Standard Base,
        Core, 10.6.2 "The .eh_frame_hdr section"), which stripping leaves.
        """
        table = next((segment for segment in self._segments if segment[0] == _UNWIND), None)
        starts = array("q")
        if table is None:
            return starts
        _, _, offset, address, _, size, _, _ = table
        content = self.read(offset, min(size, _MAX_TABLE))
        if len(content) < 12 or not _UNWIND_HEADER.match(content):
            return starts
        pairs = array("i", content[12 : len(content) - (len(content) - 12) % 8])
        starts.extend(address + distance for distance in pairs[::2])
        # What is not sorted is no such table.
        return starts if all(map(operator.le, starts, starts[1:])) else array("q")

    def _symbols(self, section: tuple[int, ...], names: Container[int]) -> Iterator[_Symbol]:
        table = self._content(section, _MAX_TABLE)
        table = table[: len(table) - len(table) % _SYMBOL.size]
        # The name is the first of the six words of a symbol.
        indexes = array("I", table)[:: _SYMBOL.size // 4]
        for number, index in enumerate(indexes):
            if index in names:
                yield _SYMBOL.unpack_from(table, number * _SYMBOL.size)

    def file_offset(self, address: int) -> int | None:
        """Return where in the file the byte at a virtual address is, or None."""
        for kind, _, offset, start, _, size, _, _ in self._segments:
            if kind == _LOAD and start <= address < start + size:
                return int(address - start + offset)
        return None

    def address(self, offset: int) -> int | None:
        """Return the virtual address of the byte at a file offset, or None."""
        for start, begin, size, _ in self.segments():
            if begin <= offset < begin + size:
                return offset - begin + start
        return None

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at a file offset. Raises ValueError where there can be none."""
        try:
            return os.pread(self._fd, size, offset)
        except (OSError, OverflowError) as error:
            raise ValueError(f"cannot read {size} bytes at {offset}: {error}") from error

    def build_id(self) -> str | None:
        """Return the GNU build id in hex, or None."""
        for section in self._sections:
            if section[1] != _NOTE_SECTION:
                continue
            note = self._content(section, _MAX_NOTES)
            if len(note) < _NOTE.size:
                continue
            name_size, size, kind = _NOTE.unpack_from(note)
            start = _NOTE.size + (name_size + 3 & ~3)
            if kind == _GNU_BUILD_ID and note[_NOTE.size : start].startswith(b"GNU"):
                return note[start : start + size].hex()
        return None

    def _content(self, section: tuple[int, ...], limit: int) -> bytes:
        try:
            return self.read(section[4], min(section[5], limit))
        except ValueError:
            return b""


def occurrences(data: bytes, part: bytes) -> Iterator[int]:
    """Yield where in `data` a part is, overlapping ones too."""
    place = data.find(part)
    while place >= 0:
        yield place
        place = data.find(part, place + 1)


def build_id(path: Path) -> str | None:
    """Return the build id of the ELF file at `path`, None when it has none or cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return ElfFile(fd).build_id()
    except ValueError:
        return None
    finally:
        os.close(fd)
