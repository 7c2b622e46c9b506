"""Where to probe a TLS stack that is linked into a program without symbols: by its code.

A signature (`signatures/*.toml`) says how the functions of a stack begin, and by which errors they
report (`ERR_put_error(ERR_LIB_SSL, 0, reason, ...)` leaves both numbers in the code). A probe on
an instruction's middle would break the program, so a place counts only when everything fits, once
in the whole file, for every function that the signature needs. All else is no target.

Code is read piece by piece: only programs that are as large as those of a signature, and each file
once, since 100 MB take a tenth of a second.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from busted.kernel.elf import ElfFile, occurrences
from busted.kernel.places import PROGRAMS, Place, Stack

SIGNATURES = Path(__file__).parent / "signatures"

# Errors are reported behind a function's last return, and the functions are short.
_BODY_BYTES = 512
_PIECE_BYTES = 8 << 20
# More is no program, but a header that lies.
_MAX_CODE_BYTES = 1 << 30
# mov $16,%edi: ERR_LIB_SSL of BoringSSL's err.h, as the first argument of ERR_put_error().
_SSL_ERROR = b"\xbf\x10\0\0\0"
# Between functions stands what traps, should it ever be run.
_PADDING = b"\xcc\xcc"


class _Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a function begins, in hex, and the errors that it reports."""

    program: str
    start: str
    reasons: tuple[int, ...]

    def fits(self, body: bytes) -> bool:
        """Tell whether these bytes, from its start on, report its errors."""
        own = body.partition(_PADDING)[0]
        # mov $reason,%edx, or %esi where the compiler made another function of it.
        return _SSL_ERROR in own and all(
            any(move + reason.to_bytes(4, "little") in own for move in (b"\xba", b"\xbe"))
            for reason in self.reasons
        )


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A TLS stack as a compiler left it; `seen_in` names the programs that it was found in."""

    name: str
    kind: str
    machine: str
    seen_in: tuple[str, ...]
    min_code_bytes: int
    functions: dict[str, _Function]

    def find(self, elf: ElfFile) -> tuple[Place, ...] | None:
        """Return the places of all its functions, None unless each is there exactly once."""
        found: dict[str, set[int]] = {name: set() for name in self.functions}
        for offset, piece in _pieces(elf):
            for name, function in self.functions.items():
                for at in occurrences(piece, bytes.fromhex(function.start)):
                    if function.fits(elf.read(offset + at, _BODY_BYTES)):
                        found[name].add(offset + at)
        if any(len(places) != 1 for places in found.values()):
            return None
        return tuple(
            Place(function.program, found[name].pop(), PROGRAMS[function.program])
            for name, function in self.functions.items()
        )


def find_stripped(elf: ElfFile, machine: str) -> Stack | None:
    """Return the TLS stack that a file has by its code, None when it is none that we know."""
    size = sum(size for _, size in elf.code())
    for signature in signatures():
        if signature.machine != machine or size < signature.min_code_bytes:
            continue
        if found := signature.find(elf):
            return Stack(signature.kind, found)
    return None


@cache
def signatures(directory: Path = SIGNATURES) -> tuple[Signature, ...]:
    """Return what the files of a directory say, by their names."""
    return tuple(
        msgspec.convert(tomllib.loads(file.read_text()), Signature)
        for file in sorted(directory.glob("*.toml"))
    )


def _pieces(elf: ElfFile) -> Iterator[tuple[int, bytes]]:
    for offset, size in elf.code():
        end = offset + min(size, _MAX_CODE_BYTES)
        while offset < end:
            # They overlap: a function may begin in one and go on in the next.
            piece = elf.read(offset, min(_PIECE_BYTES + _BODY_BYTES, end - offset))
            if not piece:
                return
            yield offset, piece
            offset += _PIECE_BYTES
