"""Which functions of a program without symbols mention a string, such as their own name.

An error that is reported says where: in OpenSSL by the function's name, in AWS-LC by the file. So
the string is sought, then the instructions that take its address (x86-64's `lea` relative to
the next instruction), then the beginnings of the functions that those are in. A program of 250 MB
takes half a second, so other functions of a library are sought near the first.

The distance to the string differs at each place. Over 64 KiB of code its upper half takes but two
values, so those are sought, which bytes.find() does fast.

A function begins where the table for unwinding says so. Programs without one have frame pointers,
and begin each function with `push %rbp; mov %rsp,%rbp`; such a place counts when it is called.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from busted.kernel.elf import ElfFile, Segment, occurrences

_PIECE_BYTES = 8 << 20
_BLOCK_BYTES = 1 << 16
_DISTANCE_BYTES = 4
# What stands before the distance: lea n(%rip),%r64, and call.
_LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.DOTALL)
_CALL = re.compile(rb"..\xe8", re.DOTALL)
_BEFORE = 3
# How functions begin: endbr64, push, sub $n,%rsp. The part of one that a compiler moved elsewhere,
# since it is seldom run, does not.
_START = re.compile(rb"\xf3\x0f\x1e\xfa|[\x50-\x57]|\x41[\x50-\x57]|\x48\x83\xec", re.DOTALL)
_FRAME_START = b"\x55\x48\x89\xe5"
_MAX_FUNCTION = 4096
# The error that is reported, in the instructions behind: mov $reason,%edx; push $reason, pop %rdx.
_REASON = re.compile(rb"(?=\xba(.)\0\0\0|\x6a(.)\x5a)", re.DOTALL)
_REPORT_BYTES = 34
# A library is linked in one piece; OpenSSL, the largest, has 5 MB of code.
_NEAR_BYTES = 16 << 20
# A string, or the end of a path.
_MAX_PATH = 256
# More is no program, but one that was made to keep us busy.
_MAX_MENTIONS = 256


def functions_that_mention(
    elf: ElfFile, text: str, reasons: frozenset[int] = frozenset(), near: int | None = None
) -> set[int]:
    """Return where in the file functions begin that mention `text` and report these errors.

    `text` is a whole string, or the last parts of a path; reasons are numbers below 256. `near` is
    where in the file another function of the same library is.
    """
    code = [_nearer(segment, near) for segment in elf.segments() if segment.is_code]
    starts = elf.function_starts()
    found: dict[int, set[int]] = {}
    for string in _strings(elf, text.encode()):
        for place in _uses(elf, code, string, _LEA):
            start = _start(elf, starts, place)
            if start is not None:
                report = elf.read(place, _REPORT_BYTES)
                told = {(m[1] or m[2])[0] for m in _REASON.finditer(report)}
                found.setdefault(start, set()).update(told)
            if len(found) > _MAX_MENTIONS:
                return set()
    return {
        start
        for start, told in found.items()
        if told >= reasons and (starts or _is_called(elf, code, start))
    }


def _strings(elf: ElfFile, text: bytes) -> Iterator[int]:
    """Yield the addresses of the strings that are this one, or a path that ends in it."""
    ends = text + b"\0"
    for segment in elf.segments():
        for offset, piece in elf.pieces(segment, _PIECE_BYTES, _MAX_PATH):
            for at in occurrences(piece, ends):
                start = piece.rfind(b"\0", max(0, at - _MAX_PATH), at) + 1
                # A piece may begin within the path; then it is whole at the end of the one before.
                is_whole = start or offset == segment.offset
                if is_whole and (start == at or piece[at - 1 : at] == b"/"):
                    yield segment.address + offset - segment.offset + start


def _nearer(segment: Segment, near: int | None) -> Segment:
    if near is None:
        return segment
    begin = max(segment.offset, near - _NEAR_BYTES)
    end = min(segment.offset + segment.size, near + _NEAR_BYTES)
    address = segment.address + begin - segment.offset
    return Segment(address, begin, max(0, end - begin), segment.is_code)


def _uses(
    elf: ElfFile, code: list[Segment], address: int, before: re.Pattern[bytes]
) -> Iterator[int]:
    """Yield where in the file a distance leads to an address, behind these bytes."""
    for segment in code:
        for offset, piece in elf.pieces(segment, _PIECE_BYTES, _BEFORE + _DISTANCE_BYTES):
            # What the distance of the piece's first four bytes were.
            first = address - (segment.address + offset - segment.offset) - _DISTANCE_BYTES
            for begin in range(0, len(piece), _BLOCK_BYTES):
                uppers = {(first - begin) >> 16, (first - begin - _BLOCK_BYTES + 1) >> 16}
                for upper in uppers:
                    wanted = (upper & 0xFFFF).to_bytes(2, "little")
                    at = piece.find(wanted, begin + 2, begin + _BLOCK_BYTES + 3)
                    while at >= 0:
                        place = at - 2
                        distance = piece[place : place + _DISTANCE_BYTES]
                        if int.from_bytes(distance, "little", signed=True) == first - place and (
                            before.match(piece[max(0, place - _BEFORE) : place])
                        ):
                            yield offset + place
                        at = piece.find(wanted, at + 1, begin + _BLOCK_BYTES + 3)


def _start(elf: ElfFile, starts: array[int], place: int) -> int | None:
    """Return where in the file the function begins that has this place, None when in doubt."""
    if not starts:
        before = elf.read(max(0, place - _MAX_FUNCTION), min(place, _MAX_FUNCTION))
        at = before.rfind(_FRAME_START)
        return place - len(before) + at if at >= 0 else None
    address = elf.address(place)
    number = bisect_right(starts, address) - 1 if address is not None else -1
    found = elf.file_offset(starts[number]) if number >= 0 else None
    return found if found is not None and _START.match(elf.read(found, 4)) else None


def _is_called(elf: ElfFile, code: list[Segment], start: int) -> bool:
    address = elf.address(start)
    return address is not None and any(_uses(elf, code, address, _CALL))
