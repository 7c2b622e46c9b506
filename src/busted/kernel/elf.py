"""The little of an ELF file that probes need: where functions are, bytes, the build id.

Strategy: find the name in the string table, then the symbol that points at it. A general
reader visits every symbol in Python, which takes seconds on node's hundred thousand; this
takes milliseconds. Files are foreign: whatever is wrong with one, it has no symbols. They are read,
not mapped: one that shrinks under a mapping would end the monitor with SIGBUS.

Left out: 32-bit and big-endian files, symbols outside .dynsym.

Reference: System V ABI, chapters 4 and 5; elf(5).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_NOTE = struct.Struct("<III")
_DYNSYM, _NOTE_SECTION, _LOAD = 11, 7, 1
_GNU_BUILD_ID = 3
_FUNCTION_TYPES = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
# A header may claim any size; node, the largest we know, has tables of 8 MB.
_MAX_TABLE = 64 << 20


class ElfFile:
    """An open 64-bit little-endian ELF file."""

    def __init__(self, fd: int) -> None:
        """Read the headers of the file behind `fd`, which stays the caller's. Raises ValueError."""
        self._fd = fd
        try:
            ident, *_, phoff, shoff, _, _, _, phnum, _, shnum, _ = _HEADER.unpack(
                self.read(0, _HEADER.size)
            )
            self._segments = list(_SEGMENT.iter_unpack(self.read(phoff, phnum * _SEGMENT.size)))
            self._sections = list(_SECTION.iter_unpack(self.read(shoff, shnum * _SECTION.size)))
        except (OSError, OverflowError, struct.error) as error:
            raise ValueError(f"not a 64-bit ELF file: {error}") from error
        if ident[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")

    def functions(self, names: Iterable[str]) -> dict[str, int]:
        """Return the file offsets of those functions that the file defines for others to call."""
        found: dict[str, int] = {}
        for section in self._sections:
            if section[1] != _DYNSYM or section[6] >= len(self._sections):
                continue
            symbols, strings = self._content(section), self._content(self._sections[section[6]])
            for name in names:
                offset = self._function(symbols, strings, name.encode())
                if offset is not None:
                    found[name] = offset
        return found

    def _function(self, symbols: bytes, strings: bytes, name: bytes) -> int | None:
        for index in _places(strings, name + b"\0"):
            for place in _places(symbols, struct.pack("<I", index)):
                if place % _SYMBOL.size or place + _SYMBOL.size > len(symbols):
                    continue
                _, info, _, section, address, _ = _SYMBOL.unpack_from(symbols, place)
                if section and info & 15 in _FUNCTION_TYPES:
                    return self.file_offset(address)
        return None

    def file_offset(self, address: int) -> int | None:
        """Return where in the file the byte at a virtual address is, or None."""
        for kind, _, offset, start, _, size, _, _ in self._segments:
            if kind == _LOAD and start <= address < start + size:
                return int(address - start + offset)
        return None

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at a file offset."""
        return os.pread(self._fd, size, offset)

    def build_id(self) -> str | None:
        """Return the GNU build id in hex, or None."""
        for section in self._sections:
            if section[1] != _NOTE_SECTION:
                continue
            note = self._content(section)
            if len(note) < _NOTE.size:
                continue
            name_size, size, kind = _NOTE.unpack_from(note)
            start = _NOTE.size + (name_size + 3 & ~3)
            if kind == _GNU_BUILD_ID and note[_NOTE.size : start].startswith(b"GNU"):
                return note[start : start + size].hex()
        return None

    def _content(self, section: tuple[int, ...]) -> bytes:
        try:
            return self.read(section[4], min(section[5], _MAX_TABLE))
        except (OSError, OverflowError):
            return b""


def _places(data: bytes, part: bytes) -> Iterator[int]:
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
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)
