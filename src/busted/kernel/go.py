"""Where to probe Go's TLS (crypto/tls), which is in every Go program, stripped or not.

Go keeps a table of its functions for stack traces (pclntab), which stripping leaves. The name of a
function is sought in it, then the entry that points at the name, then the entry's address: a
reader of all hundred thousand would take seconds in Python.

No return probes: they put an address on the stack that Go's own unwinder does not know, and it
ends the program. Instead every `ret` of a function gets a probe of its own, found by decoding the
function from its start. Goroutines move between threads and their stacks grow, after which a
function begins anew; so a call is remembered by its goroutine, and told when it returns.

Left out: programs before Go 1.18, whose table is another; other processors than x86-64; programs
linked by a C linker since Go 1.26, whose table no longer says where the code begins.

Reference: go.dev/s/go12symtab; src/internal/abi/symtab.go and src/runtime/symtab.go of Go;
src/cmd/compile/abi-internal.md, "amd64 architecture".
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from busted.kernel.elf import ElfFile, occurrences
from busted.kernel.places import Place, Stack

# method of crypto/tls.(*Conn): the program for its entry, and whether its returns are probed
_METHODS = {
    "Write": ("tls_go_write", True),
    "Read": ("tls_go_read", True),
    "Close": ("tls_go_close", False),
}
_RETURN_PROGRAM = "tls_go_return"

_SECTIONS = (".gopclntab", ".data.rel.ro.gopclntab")  # the second in position-independent programs
# Since Go 1.18 and 1.20; one on another byte order or with smaller pointers is not for us.
_MAGICS = (0xFFFFFFF0, 0xFFFFFFF1)
_HEADER = struct.Struct("<IHBB8Q")
_POINTER_BYTES = 8
# Kubernetes, one of the largest, has 40 MB.
_MAX_TABLE = 128 << 20
_MAX_FUNCTION = 64 << 10
# A function looks first whether its stack has room: cmp 16(%r14) with %rsp or %r12.
_STACK_CHECK = b"\x3b\x66\x10"
_STACK_CHECK_WITHIN = 16


def find_go(elf: ElfFile, machine: str) -> Stack | None:
    """Return Go's TLS stack in a file, None when it is no such program or cannot be probed."""
    if machine != "x86_64":
        return None
    functions = _functions(elf)
    if not {"Write", "Read"} <= functions.keys():
        return None
    places: list[Place] = []
    for name, (program, has_returns) in _METHODS.items():
        if name not in functions:
            continue
        offset, code = functions[name]
        if has_returns:
            returns = list(_returns(code))
            if not returns:
                return None
            # Before the entry: a call without its return would stay remembered.
            places += [Place(_RETURN_PROGRAM, offset + at, False) for at in returns]
        places.append(Place(program, offset, False))
    return Stack("go", tuple(places))


def _functions(elf: ElfFile) -> dict[str, tuple[int, bytes]]:
    """Return where in the file the methods are, and their code."""
    section = next((s for name in _SECTIONS if (s := elf.section(name))), None)
    if section is None:
        return {}
    table = elf.read(section.offset, min(section.size, _MAX_TABLE))
    if len(table) < _HEADER.size:
        return {}
    magic, _, _, pointer, count, _, start, names, _, _, _, entries = _HEADER.unpack_from(table)
    if magic not in _MAGICS or pointer != _POINTER_BYTES:
        return {}
    if not start:
        text = elf.section(".text")
        start = text.address if text else 0
    # Pairs: where a function begins, from the first one, and where more of it is told; at last
    # where the last one ends.
    pairs = array("I", table[entries : entries + (2 * min(count, len(table)) + 1) * 4])
    begins, told = pairs[::2], pairs[1::2]
    found = {}
    for name in _METHODS:
        for begin, end in _spans(table, names, entries, begins, told, name):
            offset = elf.file_offset(start + begin)
            if offset is None or not 0 < end - begin <= _MAX_FUNCTION:
                continue
            code = elf.read(offset, end - begin)
            if _STACK_CHECK in code[:_STACK_CHECK_WITHIN]:
                found[name] = (offset, code)
    return found


def _spans(
    table: bytes, names: int, entries: int, begins: array[int], told: array[int], method: str
) -> Iterator[tuple[int, int]]:
    """Yield where functions of this name begin and end."""
    for place in occurrences(table, b"\0crypto/tls.(*Conn).%s\0" % method.encode()):
        # An entry begins with where the function does and where its name is (runtime2.go, _func).
        if place < names:
            continue
        wanted = struct.pack("<I", place + 1 - names)
        for at in occurrences(table, wanted):
            if at < entries + 4 or at % 4:
                continue
            (begin,) = struct.unpack_from("<I", table, at - 4)
            number = bisect_right(begins, begin) - 1
            if (
                0 <= number < len(begins) - 1
                and number < len(told)
                and begins[number] == begin
                and told[number] == at - 4 - entries
            ):
                yield begin, begins[number + 1]


def _returns(code: bytes) -> Iterator[int]:
    """Yield where in a function it returns; none when something in it is no instruction."""
    # 5 MB of memory, which hosts without Go programs need not spend.
    from iced_x86 import Decoder, Mnemonic

    found = []
    for instruction in Decoder(64, code):
        if not instruction:
            return
        if instruction.mnemonic == Mnemonic.RET:
            found.append(instruction.ip)
    yield from found
