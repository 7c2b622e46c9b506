"""Which functions of a program without symbols stand in a table of the program, among known words.

Functions that are called by their pointers only need not mention anything, but the structure that
holds the pointers tells them: ring's `Algorithm` has three functions, the length of its key, and
which algorithm it is (src/aead/algorithm.rs of ring 0.17). A program that may be loaded anywhere
has its pointers in its relocations, others in the structure itself.

A pointer counts when the table for unwinding has a function that begins there; a program without
that table has no functions that are found so.

Reference: System V ABI, AMD64 supplement, "Relocation" (R_X86_64_RELATIVE).
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator

from busted.kernel.elf import ElfFile, occurrences

THIS = "this"
"""What a table calls the function that is sought; other words are other functions."""

Table = tuple[str | int, ...]
"""The words of a structure: functions by any name, and numbers, which stand in a row."""

_WORD = 8
_PIECE_BYTES = 8 << 20
_RELATIVE = 8
_RELOCATION_WORDS = 3
_MAX_RELOCATIONS = 24 << 20
# More is no program, but one that was made to keep us busy.
_MAX_CANDIDATES = 1 << 16


def functions_in_tables(elf: ElfFile, tables: tuple[Table, ...]) -> set[int]:
    """Return where in the file the functions begin that are the one sought in each table."""
    starts = elf.function_starts()
    found: set[int] | None = None
    for table in tables if starts else ():
        addresses = set(_in_table(elf, table, starts))
        found = addresses if found is None else found & addresses
    offsets = {elf.file_offset(address) for address in found or ()}
    return {offset for offset in offsets if offset is not None}


def _in_table(elf: ElfFile, table: Table, starts: array[int]) -> Iterator[int]:
    """Yield the addresses of what is the function sought, in each structure that fits."""
    names = [number for number, word in enumerate(table) if isinstance(word, str)]
    candidates = list(_candidates(elf, table))
    relocated = _relocated(elf, {place + _WORD * n for place, _ in candidates for n in names})
    for place, words in candidates:
        pointers = {n: relocated.get(place + _WORD * n, words[n]) for n in names}
        if all(_begins(starts, pointer) for pointer in pointers.values()):
            yield pointers[table.index(THIS)]


def _candidates(elf: ElfFile, table: Table) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the addresses and words of what has the numbers of a table."""
    numbers = [word for word in table if isinstance(word, int)]
    sought = struct.pack(f"<{len(numbers)}q", *numbers)
    ahead = _WORD * next(n for n, word in enumerate(table) if isinstance(word, int))
    size = _WORD * len(table)
    count = 0
    for segment in elf.segments():
        if segment.is_code:
            continue
        for offset, piece in elf.pieces(segment, _PIECE_BYTES, size):
            for at in occurrences(piece, sought):
                begin = at - ahead
                place = segment.address + offset - segment.offset + begin
                count += 1
                if count > _MAX_CANDIDATES:
                    return
                if begin >= 0 and place % _WORD == 0 and begin + size <= len(piece):
                    yield place, struct.unpack_from(f"<{len(table)}q", piece, begin)


def _relocated(elf: ElfFile, wanted: set[int]) -> dict[int, int]:
    """Return what the pointers at these addresses will be, of those that depend on the load."""
    section = elf.section(".rela.dyn") if wanted else None
    if section is None:
        return {}
    content = elf.read(section.offset, min(section.size, _MAX_RELOCATIONS))
    words = array("q", content[: len(content) - len(content) % (_WORD * _RELOCATION_WORDS)])
    places, kinds, addends = (words[n::_RELOCATION_WORDS] for n in range(_RELOCATION_WORDS))
    return {
        place: addend
        for place, kind, addend in zip(places, kinds, addends, strict=True)
        if kind == _RELATIVE and place in wanted
    }


def _begins(starts: array[int], address: int) -> bool:
    number = bisect_left(starts, address)
    return number < len(starts) and starts[number] == address
