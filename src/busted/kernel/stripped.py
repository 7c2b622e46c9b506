"""Where to probe a TLS stack that is linked into a program without symbols: by its code.

A signature (`signatures/*.toml`) says how the functions of a stack begin, and which errors they
report (`ERR_put_error(ERR_LIB_SSL, 0, reason, ...)` leaves both numbers in the code); or which
string they mention, see `kernel.mentions`. A probe on an instruction's middle would break the
program, so a place counts only when everything fits, once in the whole file, for every function
that the signature needs. All else is no target.

That a function was found is no proof: what it is given has to look like HTTP, as with all stacks,
or the connection is muted. One file may have several stacks, of which it need not use all.

Code is read piece by piece: only programs that are as large as those of a signature, and each file
once, since 100 MB take a tenth of a second.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import msgspec

from busted.kernel.elf import ElfFile, occurrences
from busted.kernel.mentions import functions_that_mention
from busted.kernel.places import PROGRAMS, Place, Stack

SIGNATURES = Path(__file__).parent / "signatures"

# Errors are reported behind a function's last return, and the functions are short.
_BODY_BYTES = 512
_PIECE_BYTES = 8 << 20
# mov $16,%edi: ERR_LIB_SSL of BoringSSL's err.h, as the first argument of ERR_put_error().
_SSL_ERROR = b"\xbf\x10\0\0\0"
# Between functions stands what traps, should it ever be run.
_PADDING = b"\xcc\xcc"


class _Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a function begins, in hex, or what it mentions, and the errors that it reports.

    A signature does without one that is `optional`.
    """

    program: str
    start: str = ""
    mentions: str = ""
    reasons: tuple[int, ...] = ()
    optional: bool = False

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
        """Return the places of its functions, None unless each needed one is there exactly once."""
        places: list[Place] = []
        found = self._by_start(elf)
        for name, function in self.functions.items():
            offsets = found.get(name, set())
            if function.mentions:
                reasons = frozenset(function.reasons)
                near = places[0].offset if places else None
                offsets = functions_that_mention(elf, function.mentions, reasons, near)
            if len(offsets) == 1:
                at_return = PROGRAMS[function.program]
                places.append(Place(function.program, offsets.pop(), at_return))
            elif not function.optional:
                return None
        return tuple(places)

    def _by_start(self, elf: ElfFile) -> dict[str, set[int]]:
        starts = {
            name: (bytes.fromhex(function.start), function)
            for name, function in self.functions.items()
            if function.start
        }
        found: dict[str, set[int]] = {name: set() for name in starts}
        for segment in elf.segments() if starts else ():
            if not segment.is_code:
                continue
            for offset, piece in elf.pieces(segment, _PIECE_BYTES, _BODY_BYTES):
                for name, (start, function) in starts.items():
                    for at in occurrences(piece, start):
                        if function.fits(elf.read(offset + at, _BODY_BYTES)):
                            found[name].add(offset + at)
        return found


def find_stripped(elf: ElfFile, machine: str) -> Stack | None:
    """Return the TLS stacks that a file has by its code, None when there is none that we know."""
    size = sum(segment.size for segment in elf.segments() if segment.is_code)
    kinds, places = [], []
    for signature in signatures():
        if signature.machine != machine or size < signature.min_code_bytes:
            continue
        if found := signature.find(elf):
            kinds.append(signature.kind)
            places += found
    return Stack(" and ".join(kinds), tuple(places)) if places else None


@cache
def signatures(directory: Path = SIGNATURES) -> tuple[Signature, ...]:
    """Return what the files of a directory say, by their names."""
    return tuple(
        msgspec.convert(tomllib.loads(file.read_text()), Signature)
        for file in sorted(directory.glob("*.toml"))
    )
