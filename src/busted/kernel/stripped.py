"""Where to probe a TLS stack that is linked into a program without symbols: by its code.

A signature (`signatures/*.toml`) says how the functions of a stack begin, and which errors they
report (`ERR_put_error(ERR_LIB_SSL, 0, reason, ...)` leaves both numbers in the code); or which
string they mention, see `kernel.mentions`; or in which tables their pointers stand, see
`kernel.tables`; or, by build id, where they are. A probe on an instruction's middle would break
the program, so a place counts only when everything fits, once in the whole file, for every
function that the signature needs. All else is no target.

That a function was found is no proof: what it is given has to look like HTTP, as with all stacks,
or the connection is muted. One file may have several stacks, of which it need not use all.

Code is read piece by piece: only programs that are as large as those of a signature, and each file
once, since 100 MB take a tenth of a second.
"""

from __future__ import annotations

import stat
import tomllib
from functools import cache
from pathlib import Path

import msgspec

from busted.kernel.elf import ElfFile, occurrences
from busted.kernel.mentions import functions_that_mention
from busted.kernel.places import PROGRAMS, Place, Stack
from busted.kernel.tables import THIS, Table, functions_in_tables

SIGNATURES = Path(__file__).parent / "signatures"
LOCAL_SIGNATURES = Path("/etc/busted/signatures")

# Errors are reported behind a function's last return, and the functions are short.
_BODY_BYTES = 512
_PIECE_BYTES = 8 << 20
# mov $16,%edi: ERR_LIB_SSL of BoringSSL's err.h, as the first argument of ERR_put_error().
_SSL_ERROR = b"\xbf\x10\0\0\0"
# Between functions stands what traps, should it ever be run.
_PADDING = b"\xcc\xcc"


def _check(program: str, start: str) -> None:
    if program not in PROGRAMS:
        raise ValueError(f"there is no program {program}")
    bytes.fromhex(start)


class _Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a function begins, in hex, or what it mentions, and the errors that it reports; or the
    tables that have it, as THIS.

    A signature does without one that is `optional`.
    """

    program: str
    start: str = ""
    mentions: str = ""
    tables: tuple[Table, ...] = ()
    reasons: tuple[int, ...] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        """Refuse what no place could be made of. Raises ValueError."""
        _check(self.program, self.start)
        for table in self.tables:
            numbers = [word for word in table if isinstance(word, int)]
            if THIS not in table or not numbers or not all(0 <= n < 1 << 63 for n in numbers):
                raise ValueError(f"a table without {THIS!r}, or without numbers of 63 bits")

    def fits(self, body: bytes) -> bool:
        """Tell whether these bytes, from its start on, report its errors."""
        own = body.partition(_PADDING)[0]
        # mov $reason,%edx, or %esi where the compiler made another function of it.
        return _SSL_ERROR in own and all(
            any(move + reason.to_bytes(4, "little") in own for move in (b"\xba", b"\xbe"))
            for reason in self.reasons
        )


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a function is in one build, and how it begins there, in hex."""

    program: str
    offset: int
    start: str

    def __post_init__(self) -> None:
        """Refuse what no place could be made of. Raises ValueError."""
        _check(self.program, self.start)


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A TLS stack as a compiler left it; `seen_in` names the programs that it was found in.

    `builds` has, by build id, where the functions are in programs that are known.
    """

    name: str
    kind: str
    machine: str
    seen_in: tuple[str, ...]
    min_code_bytes: int
    functions: dict[str, _Function] = {}
    builds: dict[str, tuple[Site, ...]] = {}

    def find(self, elf: ElfFile) -> tuple[Place, ...] | None:
        """Return the places of its functions, None unless each needed one is there exactly once."""
        if self.builds and (sites := self.builds.get(elf.build_id() or "")):
            return _known(elf, sites)
        places: list[Place] = []
        found = self._by_start(elf)
        for name, function in self.functions.items():
            offsets = found.get(name, set())
            if function.mentions:
                reasons = frozenset(function.reasons)
                near = places[0].offset if places else None
                offsets = functions_that_mention(elf, function.mentions, reasons, near)
            elif function.tables:
                offsets = functions_in_tables(elf, function.tables)
            if len(offsets) == 1:
                at_return = PROGRAMS[function.program]
                places.append(Place(function.program, offsets.pop(), at_return))
            elif not function.optional:
                return None
        return tuple(places) or None

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


def _known(elf: ElfFile, sites: tuple[Site, ...]) -> tuple[Place, ...] | None:
    for site in sites:
        start = bytes.fromhex(site.start)
        if not start or elf.read(site.offset, len(start)) != start:
            return None
    return tuple(Place(site.program, site.offset, PROGRAMS[site.program]) for site in sites)


def find_stripped(elf: ElfFile, machine: str) -> Stack | None:
    """Return the TLS stacks that a file has by its code, None when there is none that we know."""
    size = sum(segment.size for segment in elf.segments() if segment.is_code)
    kinds: list[str] = []
    places: list[Place] = []
    for signature in (*signatures(), *local_signatures()):
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


def local_signatures(directory: Path = LOCAL_SIGNATURES) -> tuple[Signature, ...]:
    """Return what this host's own files say; those that others than root can write are left out.

    Raises nothing: what is no signature is left out, too.
    """
    found = []
    for file in sorted(directory.glob("*.toml")):
        try:
            status = file.stat()
            if status.st_uid or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                continue
            found.append(msgspec.convert(tomllib.loads(file.read_text()), Signature))
        except (OSError, ValueError):
            continue
    return tuple(found)
