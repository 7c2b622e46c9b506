"""Where a TLS library keeps a connection's client random and its socket, read from its own code.

The random of the ClientHello is known to the library and seen on the wire, so it ties the two
exactly. Where it lies in the connection object differs between versions and builds, but
SSL_get_client_random(connection, output, 32) copies it out. That function is followed here
instruction by instruction, with what each register holds, as far as the copy begins: the
address that is read there is the place. Whatever is not known for certain (an instruction, a
value that a jump depends on) ends the walk without an answer, and then no random is told.

Since OpenSSL 3.2 an object is of several kinds (ssl/ssl_local.h, SSL_CONNECTION_FROM_SSL): the
walk takes the way of kind 0, a plain connection, and the kernel side asks for that kind.

What the connection reads from (a BIO) is found the same way, from SSL_get_rbio(): its result.

Left out: other processors than x86-64; libraries that do not export the function.

Reference: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2
(ModRM and SIB) and the opcode map in appendix A.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from busted.kernel.elf import ElfFile

FUNCTION = "SSL_get_client_random"
BIO_FUNCTION = "SSL_get_rbio"
# The random of a ClientHello (RFC 8446, 4.1.2).
RANDOM_BYTES = 32

# The longest way seen is 27 instructions in 150 bytes, clang's with a frame (node 26).
_MAX_STEPS = 64
_MAX_BYTES = 512
# Connection objects have some thousand bytes; more is another thing misread.
_MAX_OFFSET = 1 << 14


class RandomPath(msgspec.Struct, frozen=True):
    """From a connection object to its client random, in bytes.

    Where `zero` is set, a 32-bit zero must stand there. Where `pointer` is set, what it points at
    holds the random at `offset`, else the connection itself does. `bio` is where the connection
    has the address of what it reads from, None when that is not certain.
    """

    offset: int
    pointer: int | None = None
    zero: int | None = None
    bio: int | None = None


class _Address(NamedTuple):
    """An address: `base` is "connection", "output", or where in the connection a pointer is."""

    base: str | int
    offset: int


class _Loaded(NamedTuple):
    """What memory holds: `size` bytes at an address."""

    address: _Address
    size: int


_Value = int | _Address | _Loaded | None
"""What a register holds; None when that is not known."""


class _Unknown(Exception):
    """The walk cannot go on; caught in this module."""


def random_path(elf: ElfFile, machine: str) -> RandomPath | None:
    """Return where connections of this library have their random, None where that is not certain.

    `machine` is what `platform.machine()` says.
    """
    if machine != "x86_64":
        return None
    found = elf.functions([FUNCTION, BIO_FUNCTION])
    path = follow(elf.read(found[FUNCTION], _MAX_BYTES)) if FUNCTION in found else None
    if path is None or BIO_FUNCTION not in found:
        return path
    bio = follow_bio(elf.read(found[BIO_FUNCTION], _MAX_BYTES), path.zero)
    return msgspec.structs.replace(path, bio=bio)


def follow(code: bytes) -> RandomPath | None:
    """Return the place that the code of SSL_get_client_random copies from, or None."""
    walk = _Walk(code)
    try:
        for _ in range(_MAX_STEPS):
            if (copied := walk.step()) is not None:
                return _path(copied, walk.zero)
    except (_Unknown, IndexError, struct.error):
        pass
    return None


def follow_bio(code: bytes, zero: int | None = None) -> int | None:
    """Return where the pointer stands that the code of SSL_get_rbio returns, or None.

    At `zero`, and nowhere else, the code may ask for a zero, too.
    """
    walk = _Walk(code)
    try:
        for _ in range(_MAX_STEPS):
            if walk.returns:
                return _field(walk.result) if walk.zero in (None, zero) else None
            walk.step()
    except (_Unknown, IndexError, struct.error):
        pass
    return None


def _field(value: _Value) -> int | None:
    match value:
        case _Loaded(address=_Address(base="connection", offset=offset), size=8) if (
            0 <= offset < _MAX_OFFSET
        ):
            return offset
    return None


def _path(copied: _Address, zero: int | None) -> RandomPath | None:
    pointer = copied.base if isinstance(copied.base, int) else None
    if copied.base == "output":
        return None
    offsets = (copied.offset, pointer or 0, zero or 0)
    if not all(0 <= offset < _MAX_OFFSET for offset in offsets):
        return None
    return RandomPath(copied.offset, pointer, zero)


# The first three arguments are in RDI, RSI and RDX (System V ABI for x86-64, 3.2.3).
_RAX, _RDX, _RSI, _RDI = 0, 2, 6, 7
_RETURN = 0xC3

# condition codes of Jcc and CMOVcc after `cmp a, b` on unsigned numbers
_CONDITIONS: dict[int, Callable[[int, int], bool]] = {
    0x2: lambda a, b: a < b,
    0x3: lambda a, b: a >= b,
    0x4: lambda a, b: a == b,
    0x5: lambda a, b: a != b,
    0x6: lambda a, b: a <= b,
    0x7: lambda a, b: a > b,
}


class _Operand(NamedTuple):
    """The ModRM byte's second operand: a register, or memory at an address we know or not."""

    register: int | None
    address: _Address | None


class _Walk:
    """One run of the function, for a connection, an output and a length of 32."""

    def __init__(self, code: bytes) -> None:
        self._code, self._at = code, 0
        self._registers: list[_Value] = [None] * 16
        self._registers[_RDI] = _Address("connection", 0)
        self._registers[_RSI] = _Address("output", 0)
        self._registers[_RDX] = RANDOM_BYTES
        self._compared: tuple[int, int] | None = None
        self.zero: int | None = None

    @property
    def returns(self) -> bool:
        """Whether the next instruction ends the function."""
        return self._code[self._at] == _RETURN

    @property
    def result(self) -> _Value:
        """What the function returns, if it ends here."""
        return self._registers[_RAX]

    def step(self) -> _Address | None:
        """Run one instruction; return the address that is copied to the output, once it is."""
        if self._code.startswith(b"\xf3\x0f\x1e\xfa", self._at):  # endbr64
            self._at += 4
            return None
        rex = self._byte() if 0x40 <= self._code[self._at] <= 0x4F else 0
        size = 8 if rex & 8 else 4
        opcode = self._byte()
        match opcode:
            case 0x89:  # mov register, operand
                register, operand = self._operand(rex)
                return self._move(self._registers[register], operand, size)
            case 0x8B:  # mov operand, register
                register, operand = self._operand(rex)
                self._registers[register] = self._read(operand, size)
            case 0x8D:  # lea
                register, operand = self._operand(rex)
                self._registers[register] = operand.address
            case 0x85 | 0x39 | 0x3B:  # test, cmp
                register, operand = self._operand(rex)
                self._compare(opcode, self._registers[register], self._read(operand, size))
            case 0x83 | 0x81:  # add, and, sub, cmp with a number
                self._number_group(rex, size, opcode)
            case 0x05:  # add number, %rax
                self._registers[_RAX] = _add(self._registers[_RAX], self._signed(4), size)
            case 0x31 | 0x33:  # xor
                register, operand = self._operand(rex)
                self._set(operand, 0 if operand.register == register else None)
            case _ if 0x50 <= opcode <= 0x57:  # push
                pass
            case _ if 0xB8 <= opcode <= 0xBF and size == 4:  # mov number, register
                self._registers[opcode - 0xB8 | (rex & 1) << 3] = self._signed(4) & 0xFFFFFFFF
            case 0x0F:
                self._two_bytes(rex, size)
            case 0xEB:
                self._jump(self._signed(1))
            case 0xE9:
                self._jump(self._signed(4))
            case 0xE8:
                return self._call()
            case _ if opcode >> 4 == 7:
                self._jump_if(opcode & 15, self._signed(1))
            case _:
                raise _Unknown
        return None

    # Operands

    def _byte(self) -> int:
        self._at += 1
        return self._code[self._at - 1]

    def _signed(self, size: int) -> int:
        (number,) = struct.unpack_from("<b" if size == 1 else "<i", self._code, self._at)
        self._at += size
        return int(number)

    def _operand(self, rex: int) -> tuple[int, _Operand]:
        """Read the ModRM byte: a register's number, and a register or memory."""
        modrm = self._byte()
        mode, register, base = modrm >> 6, modrm >> 3 & 7 | (rex & 4) << 1, modrm & 7
        if mode == 3:
            return register, _Operand(base | (rex & 1) << 3, None)
        if mode == 0 and base == 5:  # relative to the instruction
            self._signed(4)
            return register, _Operand(None, None)
        known = base != 4
        if not known:
            sib = self._byte()
            base = sib & 7
            known = sib >> 3 & 7 == 4 and not rex & 2  # no index
            if mode == 0 and base == 5:
                raise _Unknown
        distance = self._signed((1, 4)[mode - 1]) if mode else 0
        address = _add(self._registers[base | (rex & 1) << 3], distance, 8) if known else None
        return register, _Operand(None, address if isinstance(address, _Address) else None)

    def _read(self, operand: _Operand, size: int) -> _Value:
        if operand.register is not None:
            value = self._registers[operand.register]
            return value & 0xFFFFFFFF if isinstance(value, int) and size == 4 else value
        return None if operand.address is None else _Loaded(operand.address, size)

    def _set(self, operand: _Operand, value: _Value) -> None:
        if operand.register is not None:
            self._registers[operand.register] = value
        elif operand.address is not None:
            raise _Unknown  # nothing is changed before the copy

    # Instructions

    def _move(self, value: _Value, operand: _Operand, size: int) -> _Address | None:
        if operand.register is not None:
            if size == 4:
                value = value & 0xFFFFFFFF if isinstance(value, int) else None
            self._registers[operand.register] = value
            return None
        if operand.address == ("output", 0) and isinstance(value, _Loaded) and size == 8:
            return value.address
        if operand.address is not None:
            raise _Unknown
        return None  # to the stack

    def _number_group(self, rex: int, size: int, opcode: int) -> None:
        what, operand = self._operand(rex)
        number = self._signed(1 if opcode == 0x83 else 4)
        value = self._read(operand, size)
        match what & 7:
            case 0:
                self._set(operand, _add(value, number, size))
            case 4:  # and: to align what is copied after the first bytes
                self._set(operand, None)
            case 5:
                self._set(operand, _add(value, -number, size))
            case 7:
                self._compare(0x39, number, value)
            case _:
                raise _Unknown

    def _two_bytes(self, rex: int, size: int) -> None:
        opcode = self._byte()
        if opcode >> 4 == 8:
            self._jump_if(opcode & 15, self._signed(4))
        elif opcode >> 4 == 4:  # cmov
            register, operand = self._operand(rex)
            if self._holds(opcode & 15):
                self._registers[register] = self._read(operand, size)
        elif opcode == 0x1F:  # nop
            self._operand(rex)
        else:
            raise _Unknown

    def _compare(self, opcode: int, register: _Value, operand: _Value) -> None:
        if opcode == 0x85:
            self._compared = None if register != operand else (self._number(register), 0)
        elif isinstance(register, int) and isinstance(operand, int):
            pair = (operand, register) if opcode == 0x39 else (register, operand)
            self._compared = pair if min(pair) >= 0 else None
        else:
            self._compared = None

    def _number(self, value: _Value) -> int:
        """What a test for zero makes of a value."""
        match value:
            case int():
                return value
            case _Address():
                return 1  # no null pointer
            case _Loaded(address=_Address(base="connection", offset=offset), size=4):
                if self.zero not in (None, offset):
                    raise _Unknown
                self.zero = offset
                return 0  # the kind of object that we ask for
            case _:
                raise _Unknown

    def _holds(self, condition: int) -> bool:
        if self._compared is None or condition not in _CONDITIONS:
            raise _Unknown
        return _CONDITIONS[condition](*self._compared)

    def _jump_if(self, condition: int, distance: int) -> None:
        if self._holds(condition):
            self._jump(distance)

    def _jump(self, distance: int) -> None:
        self._at += distance
        if self._at < 0:
            raise _Unknown

    def _call(self) -> _Address | None:
        """A call of memcpy(output, random, 32) is the copy; any other is not understood."""
        target, source, length = (self._registers[r] for r in (_RDI, _RSI, _RDX))
        if target != ("output", 0) or length != RANDOM_BYTES or not isinstance(source, _Address):
            raise _Unknown
        return source


def _add(value: _Value, number: int, size: int) -> _Value:
    match value:
        case int():
            return value + number & (1 << 8 * size) - 1
        case _Address(base, offset) if size == 8:
            return _Address(base, offset + number)
        case _Loaded(address=_Address(base="connection", offset=offset), size=8) if size == 8:
            return _Address(offset, number)  # what was loaded is a pointer
        case _:
            return None
