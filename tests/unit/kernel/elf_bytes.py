"""Small ELF files made by hand, and open files that hold given bytes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

BASE = 0x400000
"""Where the file says it is loaded: addresses are not file offsets."""

TEXT_OFFSET = 0x100
"""Where the text begins in the file, hence what is taken off a call's distance."""

FUNCTION, INDIRECT_FUNCTION, OBJECT = 2, 10, 1

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")


def elf(
    text: bytes,
    functions: dict[str, int],
    *,
    kind: int = FUNCTION,
    defined: bool = True,
    build_id: bytes = b"",
    sections_by_name: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """An ELF file with `text`, symbols at offsets in it, and other sections of these names."""
    names, symbols = b"\0", bytes(_SYMBOL.size)
    for name, offset in functions.items():
        address = BASE + TEXT_OFFSET + offset
        symbols += _SYMBOL.pack(len(names), 1 << 4 | kind, 0, 1 if defined else 0, address, 16)
        names += name.encode() + b"\0"
    note = struct.pack("<III", 4, len(build_id), 3) + b"GNU\0" + build_id if build_id else b""

    body, sections, section_names = text, [], b"\0.text\0"
    for name, section_type, content, link in (
        ("", 1, b"", 0),  # what `defined` symbols say they are in
        ("", 11, symbols, 3),
        ("", 3, names, 0),
        ("", 7, note, 0),
        *((name, 1, content, 0) for name, content in sections_by_name.items()),
    ):
        offset, index = TEXT_OFFSET + len(body), len(section_names) if name else 0
        sections.append(
            _SECTION.pack(
                *(index, section_type, 0, BASE + offset, offset, len(content), link, 0, 1, 0)
            )
        )
        section_names += name.encode() + b"\0" if name else b""
        body += content
    sections.append(_SECTION.pack(1, 1, 0, BASE + TEXT_OFFSET, TEXT_OFFSET, len(text), 0, 0, 1, 0))
    offset = TEXT_OFFSET + len(body)
    sections.append(_SECTION.pack(0, 3, 0, 0, offset, len(section_names), 0, 0, 1, 0))
    body += section_names
    sections.insert(0, bytes(_SECTION.size))
    size = TEXT_OFFSET + len(body)
    header = _HEADER.pack(
        b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, size, 0, 64, 56, 1, 64, len(sections), len(sections) - 1
    )  # fmt: skip
    segment = _SEGMENT.pack(1, 5, 0, BASE, BASE, size, size, 0x1000)
    return (header + segment).ljust(TEXT_OFFSET, b"\0") + body + b"".join(sections)


@contextmanager
def opened(content: bytes) -> Iterator[int]:
    """A file descriptor of a file with `content`."""
    fd = os.memfd_create("elf")
    try:
        os.write(fd, content)
        yield fd
    finally:
        os.close(fd)
