"""Which TLS stack a process has, told from the files that it has mapped: for saying what cannot be
read, and never for probing.

A library tells by its name. A program that has its stack inside, stripped or not, keeps some of its
text: paths of its sources in what it says when it fails, names of errors. What was found in a file
is remembered by the file, for a program has up to 100 MB to look through.

Left out: what a program unpacks into memory that no file is behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from busted.kernel.elf import ElfFile

# The name of a library's file, and its stack. Java has its own in classes, which no file shows.
_LIBRARIES = (
    (re.compile(r"libjvm\.so"), "java_jsse"),
    (re.compile(r"libmbedtls\b.*\.so"), "mbedtls"),
    (re.compile(r"libwolfssl\b.*\.so"), "wolfssl"),
    (re.compile(r"libs2n\b.*\.so"), "s2n"),
    (re.compile(r"libbotan\b.*\.so"), "botan"),
    (re.compile(r"System\.Security\.Cryptography\.Native\.OpenSsl\.so"), "dotnet_openssl"),
)
# What a program's constants hold, and whose they are; the first that is found counts. BoringSSL
# spells where an error is raised as OPENSSL_internal (its err.h).
_MARKS = (
    (b"/rustls-", "rustls"),
    (b"OPENSSL_internal", "boringssl"),
    (b"OpenSSL 3.", "openssl"),
    (b"OpenSSL 1.", "openssl"),
    (b"mbedtls_ssl", "mbedtls"),
    (b"wolfSSL", "wolfssl"),
)
# Go links this into every program (debug/buildinfo).
_GO_SECTION = ".go.buildinfo"
# Constants of the largest programs known, of 100 MB, are half of that.
MAX_CONSTANTS = 64 << 20
_PIECE = 4 << 20
# Programs of agents are few.
MAX_FILES = 256


class FoundStack(msgspec.Struct, frozen=True):
    """A TLS stack, by its name, and the file that has it."""

    name: str
    path: str


class Stacks:
    """Finds the stacks of processes, and remembers those of files."""

    def __init__(self, proc: Path = Path("/proc"), max_files: int = MAX_FILES) -> None:
        """Nothing was looked at yet; beyond so many files, the first is looked at again."""
        self._proc, self._max_files = proc, max_files
        self._seen: dict[tuple[int, int, int], str | None] = {}

    def find(
        self, pid: int, paths: Iterable[str], known: Mapping[str, str] | None = None
    ) -> FoundStack | None:
        """Return the stack of a process that has these files mapped, None when none is known.

        `known` are the stacks of files that need not be looked into, by path.
        """
        for path in paths:
            base = path.rpartition("/")[2]
            for pattern, name in _LIBRARIES:
                if pattern.match(base):
                    return FoundStack(name, path)
        program = self._proc / str(pid) / "exe"
        try:
            if known and (path := os.readlink(program)) in known:
                return FoundStack(known[path], path)
            return self._of_program(program)
        except OSError:
            return None  # it is gone

    def _of_program(self, program: Path) -> FoundStack | None:
        fd = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            version = (status.st_dev, status.st_ino, status.st_ctime_ns)
            if version not in self._seen:
                self._seen[version] = stack_of_file(fd)
                if len(self._seen) > self._max_files:
                    del self._seen[next(iter(self._seen))]
            name = self._seen[version]
        finally:
            os.close(fd)
        return FoundStack(name, os.readlink(program)) if name else None


def stack_of_file(fd: int) -> str | None:
    """Return the TLS stack inside an open program, None when none that is known is in it."""
    try:
        elf = ElfFile(fd)
        if elf.section(_GO_SECTION):
            return "go"
        constants = elf.section(".rodata")
    except ValueError:
        return None
    if constants is None:
        return None
    found: set[bytes] = set()
    end = constants.offset + min(constants.size, MAX_CONSTANTS)
    overlap = max(len(mark) for mark, _ in _MARKS)
    for offset in range(constants.offset, end, _PIECE):
        piece = os.pread(fd, min(_PIECE + overlap, end - offset), offset)
        found |= {mark for mark, _ in _MARKS if mark in piece}
    return next((name for mark, name in _MARKS if mark in found), None)
