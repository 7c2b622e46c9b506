"""Signatures of programs (`kernel/stripped.py`): made from one, and what fits one."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from busted.kernel.elf import ElfFile
from busted.kernel.go import find_go
from busted.kernel.places import find_stack
from busted.kernel.stripped import Signature, Site, find_stripped

# How a stack is found: by what.
_FINDERS = (("symbols", find_stack), ("Go's table", find_go), ("a signature", find_stripped))


class SignatureError(Exception):
    """A program of which no signature can be made, or that has no TLS stack that is known."""


def make(path: Path, symbols: Path | None = None, name: str | None = None) -> str:
    """Return a signature of a program, as it stands in a file. Raises SignatureError."""
    with _opened(path) as elf, contextlib.ExitStack() as opened:
        debug = opened.enter_context(_opened(symbols)) if symbols else None
        return _to_toml(_derive(elf, name or path.name, path.name, debug))


def check(path: Path) -> list[str]:
    """Return lines that say what would be probed in a program. Raises SignatureError."""
    with _opened(path) as elf:
        for how, find in _FINDERS:
            stack = find(elf, platform.machine())
            if stack is not None:
                found = [f"{place.offset:#12x}  {place.program}" for place in stack.places]
                return [f"{stack.kind}, by {how}; build id {elf.build_id() or 'none'}", *found]
    raise SignatureError(f"{path} has no TLS stack that is known: try `busted signature add`")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[ElfFile]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SignatureError(f"cannot read {path}: {error.strerror}") from error
    try:
        yield ElfFile(fd)
    except ValueError as error:
        raise SignatureError(f"cannot read {path}: {error}") from error
    finally:
        os.close(fd)


# As long as the longest of those that are shipped: no other function begins so.
_START_BYTES = 32


def _derive(elf: ElfFile, name: str, seen_in: str, symbols: ElfFile | None) -> Signature:
    """Return a signature of this very build, by its symbols or those of another file.

    Raises SignatureError where it has no build id, or no symbols of a TLS stack that we know.
    """
    machine = platform.machine()
    build = elf.build_id()
    if build is None:
        raise SignatureError("it has no build id to know it by: link it with --build-id")
    if symbols is not None and symbols.build_id() != build:
        raise SignatureError("the debug information is of another build")
    stack = find_stack(elf, machine, symbols)
    if stack is None:
        raise SignatureError("it has no symbols of a TLS stack that is known; give --symbols FILE")
    sites = tuple(
        Site(place.program, place.offset, elf.read(place.offset, _START_BYTES).hex(" "))
        for place in stack.places
    )
    return Signature(name, stack.kind, machine, (seen_in,), 0, builds={build: sites})


def _to_toml(signature: Signature) -> str:
    """Return a derived signature as it stands in a file."""
    lines = [
        f"name = {json.dumps(signature.name)}",
        f"kind = {json.dumps(signature.kind)}",
        f"machine = {json.dumps(signature.machine)}",
        f"seen_in = {json.dumps(signature.seen_in)}",
        f"min_code_bytes = {signature.min_code_bytes}",
    ]
    for build, sites in signature.builds.items():
        for site in sites:
            lines += ["", f"[[builds.{build}]]", f'program = "{site.program}"']
            lines += [f"offset = {site.offset}", f'start = "{site.start}"']
    return "\n".join(lines) + "\n"
