"""How many instructions the kernel's verifier goes through to accept each program of each object.

`python -m tests.kernel.verifier`, as root, writes docs/verifier.md anew; a test compares.
"""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from collections.abc import Iterator

from busted.kernel.libbpf import (
    TRACE_UPROBE_MULTI,
    TRACE_UPROBE_SESSION,
    BpfObject,
    bpf_system_call,
)
from busted.kernel.shared import OBJECTS
from tests.requirements import ROOT

PAGE = ROOT / "docs" / "verifier.md"
# A kernel refuses a program at one million (Documentation/bpf/bpf_design_QA.rst of Linux).
LIMIT = 1_000_000

_OBJ_GET_INFO_BY_FD = 15
# Where struct bpf_prog_info of linux/bpf.h has verified_insns (Linux 5.16), and what we ask for.
_VERIFIED_AT, _INFO_BYTES = 216, 232
_ROW = re.compile(r"^\| `([\w.]+)` \| `(\w+)` \| ([\d,]+|-) \|$", re.MULTILINE)
_HEAD = """# What the verifier goes through

Before the kernel takes a program it follows all its ways, up to a million instructions; each
takes time when the monitor starts, and a count near the limit is a program that the next
compiler may break. A dash: this kernel or its policy refuses that kind of program.

Made by `python -m tests.kernel.verifier` on Linux {release}. A test compares.

| Object | Program | Instructions |
|---|---|---|
"""


class _Attributes(ctypes.Structure):
    """The `info` part of union bpf_attr."""

    _fields_ = (
        ("fd", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("info", ctypes.c_void_p),
    )


def objects() -> list[str]:
    """The names of the objects that were built for this machine."""
    end = f".{platform.machine()}.bpf.o"
    return sorted(path.name.removesuffix(end) for path in OBJECTS.glob("*" + end))


def programs(name: str) -> list[str]:
    """The programs of an object."""
    opened = _open(name)
    try:
        return opened.programs()
    finally:
        opened.close()


def instructions(name: str, program: str) -> int | None:
    """What the verifier went through for one program, None when the kernel refuses it."""
    opened = _open(name)
    try:
        for other in opened.programs():
            opened.autoload(other, other == program)
        if program.endswith("_session"):
            opened.attach_type(program, TRACE_UPROBE_SESSION)
        elif name.startswith("tls") and program != "thread_exit":
            opened.attach_type(program, TRACE_UPROBE_MULTI)
        try:
            opened.load()
        except OSError:
            return None
        return _verified(opened.program_fd(program))
    finally:
        opened.close()


def table() -> Iterator[tuple[str, str, int | None]]:
    """Object, program and instructions, of all that were built."""
    for name in objects():
        for program in programs(name):
            yield name, program, instructions(name, program)


def written() -> dict[tuple[str, str], int | None]:
    """What the page says."""
    return {
        (name, program): None if count == "-" else int(count.replace(",", ""))
        for name, program, count in _ROW.findall(PAGE.read_text())
    }


def _open(name: str) -> BpfObject:
    return BpfObject(OBJECTS / f"{name}.{platform.machine()}.bpf.o")


def _verified(fd: int) -> int:
    info = ctypes.create_string_buffer(_INFO_BYTES)
    bpf_system_call(_OBJ_GET_INFO_BY_FD, _Attributes(fd, _INFO_BYTES, ctypes.addressof(info)))
    return int.from_bytes(info.raw[_VERIFIED_AT : _VERIFIED_AT + 4], sys.byteorder)


def main() -> None:
    release = re.match(r"\d+\.\d+", platform.release())
    rows = "".join(
        f"| `{name}` | `{program}` | {'-' if count is None else f'{count:,}'} |\n"
        for name, program, count in table()
    )
    PAGE.write_text(_HEAD.format(release=release[0] if release else platform.release()) + rows)


if __name__ == "__main__":
    main()
