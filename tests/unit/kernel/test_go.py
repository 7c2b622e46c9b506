"""Go's functions found by its table, on tables made as Go 1.20 makes them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.kernel.elf import ElfFile
from busted.kernel.go import find_go
from busted.kernel.places import Stack
from tests.unit.kernel.elf_bytes import BASE, TEXT_OFFSET, elf, opened

WRITE, READ, CLOSE = (f"crypto/tls.(*Conn).{name}" for name in ("Write", "Read", "Close"))
START = bytes.fromhex("49 3b 66 10")  # cmp 16(%r14),%rsp
RETURN = b"\xc3"
# The second c3 is part of mov $0xc3,%eax: no return.
CODE = START + b"\x90" * 9 + RETURN + bytes.fromhex("b8 c3 00 00 00") + b"\x90" + RETURN
ROOM = 64


def pclntab(
    names: list[str], *, magic: int = 0xFFFFFFF1, start: int = 0, pointer: int = 8
) -> bytes:
    """A table of functions that are `ROOM` bytes apart."""
    strings, entries = b"\0", b""
    pairs = b""
    told = 8 * len(names) + 8
    for number, name in enumerate(names):
        pairs += struct.pack("<II", number * ROOM, told + len(entries))
        entries += struct.pack("<II", number * ROOM, len(strings)) + bytes(32)
        strings += name.encode() + b"\0"
    pairs += struct.pack("<II", len(names) * ROOM, 0)
    strings += bytes(-len(strings) % 8)
    at = 72
    header = struct.pack(
        "<IHBB8Q", magic, 0, 1, pointer, len(names), 0, start, at, 0, 0, 0, at + len(strings)
    )
    return header + strings + pairs + entries


def program(
    names: list[str], code: bytes = CODE, section: str = ".gopclntab", **options: int
) -> bytes:
    text = code.ljust(ROOM, b"\xcc") * len(names)
    return elf(text, {}, sections_by_name={section: pclntab(names, **options)})


def found(content: bytes, machine: str = "x86_64") -> Stack | None:
    with opened(content) as fd:
        return find_go(ElfFile(fd), machine)


def told(stack: Stack | None) -> list[tuple[str, int]]:
    assert stack is not None
    assert stack.kind == "go"
    assert not any(place.at_return for place in stack.places)
    return [(place.program, place.offset - TEXT_OFFSET) for place in stack.places]


NAMES = ["runtime.main", WRITE, "fmt.Println", READ, CLOSE, "main.main"]
RETURNS = [CODE.index(RETURN), len(CODE) - 1]
EXPECTED = [
    *(("tls_go_return", ROOM + at) for at in RETURNS),
    ("tls_go_write", ROOM),
    *(("tls_go_return", 3 * ROOM + at) for at in RETURNS),
    ("tls_go_read", 3 * ROOM),
    ("tls_go_close", 4 * ROOM),
]


@pytest.mark.parametrize("section", [".gopclntab", ".data.rel.ro.gopclntab"])
@pytest.mark.parametrize("magic", [0xFFFFFFF0, 0xFFFFFFF1])
@pytest.mark.parametrize("start", [0, BASE + TEXT_OFFSET], ids=["by the section", "told"])
def test_entries_and_returns_are_found(section: str, magic: int, start: int) -> None:
    assert told(found(program(NAMES, section=section, magic=magic, start=start))) == EXPECTED


def test_longer_and_shorter_names_are_others() -> None:
    names = [f"{WRITE}.func1", f"x/{READ}", WRITE[:-1], *NAMES]
    assert told(found(program(names))) == [(name, at + 3 * ROOM) for name, at in EXPECTED]


@pytest.mark.parametrize(
    "content",
    [
        program(["main.main", READ, CLOSE]),
        program(["main.main", WRITE, CLOSE]),
        program(NAMES, magic=0xFFFFFFFA),
        program(NAMES, pointer=4),
        program(NAMES, section=".rodata"),
        program(NAMES, code=b"\x90" * 4 + CODE[4:]),
        program(NAMES, code=START + b"\x06" + RETURN),
        program(NAMES, code=START + b"\x90"),
        program(NAMES, start=1 << 60),
        elf(b"", {}, sections_by_name={".gopclntab": b"\xf1\xff\xff\xff"}),
    ],
    ids=[
        *("no write", "no read", "an older table", "32 bits", "another section"),
        *("no look at the stack", "no instruction", "no return", "outside of the file", "cut"),
    ],
)
def test_what_does_not_fit_in_all_is_not_probed(content: bytes) -> None:
    assert found(content) is None


def test_other_processors_are_left_alone() -> None:
    assert found(program(NAMES), "aarch64") is None


@given(st.data())
def test_any_table_is_looked_at_without_error(data: st.DataObject) -> None:
    content = bytearray(program(NAMES))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    try:
        stack = found(bytes(content))
    except ValueError:
        return  # what Targets takes as no target
    assert stack is None or {"tls_go_write", "tls_go_read"} <= {p.program for p in stack.places}
