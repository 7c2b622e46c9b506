"""ELF files: real ones from the compiler, and whatever else may be mapped."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.kernel import elf as elf_module
from busted.kernel.elf import ElfFile, build_id
from tests.unit.kernel.elf_bytes import (
    BASE,
    INDIRECT_FUNCTION,
    OBJECT,
    TEXT_OFFSET,
    elf,
    opened,
)

NAMES = ("SSL_read", "SSL_write", "SSL_missing")
BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
LIBRARY = """
int SSL_write(int n) { return n * 3; }
int SSL_read(int n) { return n * 5; }
int my_SSL_read(int n) { return n * 7; }
"""
PROGRAM = "int SSL_write(int); int main(void) { return SSL_write(0); }"


def compiled(directory: Path, source: str, *options: str) -> Path:
    path = directory / "compiled"
    subprocess.run(
        ["gcc", "-O1", "-x", "c", "-", "-x", "none", "-o", path, *options],
        input=source.encode(),
        check=True,
    )
    return path


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ("-shared", "-fPIC", f"-Wl,--build-id=0x{BUILD_ID}")
    return compiled(tmp_path_factory.mktemp("library"), LIBRARY, *options)


def functions(path: Path) -> dict[str, int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return ElfFile(fd).functions(NAMES)
    finally:
        os.close(fd)


def functions_of(content: bytes) -> dict[str, int]:
    with opened(content) as fd:
        return ElfFile(fd).functions(NAMES)


def test_offsets_are_those_of_the_code_that_runs(library: Path) -> None:
    loaded, content = ctypes.CDLL(str(library)), library.read_bytes()
    found = functions(library)
    assert set(found) == {"SSL_read", "SSL_write"}
    for name, offset in found.items():
        address = ctypes.cast(getattr(loaded, name), ctypes.c_void_p).value
        assert address is not None
        assert content[offset : offset + 8] == ctypes.string_at(address, 8)


def test_a_stripped_library_still_has_its_functions(library: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    subprocess.run(["objcopy", "--strip-all", library, stripped], check=True)
    assert functions(stripped) == functions(library)


def test_a_function_that_a_program_only_calls_is_not_its_own(tmp_path: Path) -> None:
    library = tmp_path / "libtls.so"
    compiled(tmp_path, LIBRARY, "-shared", "-fPIC").rename(library)
    program = compiled(tmp_path, PROGRAM, str(library))
    assert functions(program) == {}


@pytest.mark.parametrize("option", ["-rdynamic", "-O0"], ids=["exported", "its own"])
def test_an_executable_has_the_functions_that_are_linked_in(tmp_path: Path, option: str) -> None:
    source = LIBRARY + "int main(void) { return 0; }"
    assert set(functions(compiled(tmp_path, source, option))) == {"SSL_read", "SSL_write"}


def test_an_executable_without_symbols_has_none(tmp_path: Path) -> None:
    assert functions(compiled(tmp_path, LIBRARY + "int main(void) { return 0; }", "-s")) == {}


def test_what_is_exported_comes_before_what_is_not(tmp_path: Path) -> None:
    source = LIBRARY.replace("SSL_read", "SSL_peek") + "static int SSL_read(void) { return 0; } "
    source += "int main(void) { return SSL_read(); }"
    assert set(functions(compiled(tmp_path, source, "-rdynamic", "-O0"))) == {"SSL_write"}


def test_addresses_become_file_offsets() -> None:
    content = elf(bytes(64), {"SSL_read": 16, "SSL_write": 48})
    assert functions_of(content) == {"SSL_read": TEXT_OFFSET + 16, "SSL_write": TEXT_OFFSET + 48}
    with opened(content) as fd:
        assert ElfFile(fd).file_offset(BASE - 1) is None
        assert ElfFile(fd).file_offset(BASE + (1 << 40)) is None


def test_a_name_inside_a_longer_one_is_told_apart() -> None:
    content = elf(bytes(64), {"my_SSL_read": 8, "SSL_read_ex": 16, "SSL_read": 24})
    assert functions_of(content) == {"SSL_read": TEXT_OFFSET + 24}


def test_functions_only_not_data_or_imports() -> None:
    assert functions_of(elf(bytes(64), {"SSL_read": 8}, kind=INDIRECT_FUNCTION)) != {}
    assert functions_of(elf(bytes(64), {"SSL_read": 8}, kind=OBJECT)) == {}
    assert functions_of(elf(bytes(64), {"SSL_read": 8}, defined=False)) == {}


def test_a_symbol_at_an_address_outside_the_file_is_none() -> None:
    assert functions_of(elf(bytes(64), {"SSL_read": 1 << 50, "SSL_write": 8})) == {
        "SSL_write": TEXT_OFFSET + 8
    }


def test_the_build_id_is_read(library: Path) -> None:
    assert build_id(library) == BUILD_ID
    with opened(elf(b"", {}, build_id=b"\xab\xcd")) as fd:
        assert ElfFile(fd).build_id() == "abcd"


def test_no_build_id_is_none(tmp_path: Path) -> None:
    assert build_id(compiled(tmp_path, LIBRARY, "-shared", "-Wl,--build-id=none")) is None
    assert build_id(tmp_path / "missing") is None
    assert build_id(tmp_path) is None
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert build_id(tmp_path / "text") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x7fELF",
        b"#!/bin/sh\n" * 20,
        elf(b"", {})[:63],
        b"\x7fELF\1" + elf(b"", {})[5:],  # 32-bit
        b"\x7fELF\2\2" + elf(b"", {})[6:],  # big-endian
        elf(bytes(64), {"SSL_read": 8})[:-1],  # cut in its section headers
    ],
    ids=["empty", "magic", "script", "cut", "32-bit", "big-endian", "cut sections"],
)
def test_what_is_not_a_whole_64_bit_elf_file_is_a_value_error(content: bytes) -> None:
    with opened(content) as fd, pytest.raises(ValueError, match="64-bit"):
        ElfFile(fd)


def test_what_cannot_be_read_is_a_value_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo"):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with pytest.raises(ValueError, match="cannot read"):
            ElfFile(fd)
        os.close(fd)


@pytest.mark.parametrize("offset", [-1, 1 << 62, 1 << 63, 1 << 64])
def test_reading_at_an_impossible_offset_is_nothing_or_a_value_error(offset: int) -> None:
    with opened(elf(b"", {})) as fd:
        file = ElfFile(fd)
        try:
            assert file.read(offset, 8) == b""
        except ValueError as error:
            assert "cannot read" in str(error)


def test_tables_beyond_the_limit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = elf(bytes(64), {f"f{n}": 0 for n in range(100)} | {"SSL_read": 8})
    assert functions_of(content) == {"SSL_read": TEXT_OFFSET + 8}
    monkeypatch.setattr(elf_module, "_MAX_TABLE", 64)
    assert functions_of(content) == {}


def test_a_name_repeated_without_end_is_tried_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elf_module, "_MAX_OCCURRENCES", 3)
    longer = {f"{n}SSL_read": 0 for n in range(3)}
    assert functions_of(elf(bytes(64), longer | {"SSL_read": 8})) == {}
    del longer["0SSL_read"]
    assert functions_of(elf(bytes(64), longer | {"SSL_read": 8})) == {"SSL_read": TEXT_OFFSET + 8}


REAL = elf(bytes(256), {"SSL_read": 16, "SSL_write": 48, "SSL_ctrl": 0}, build_id=b"\1" * 20)
INTERESTING = st.sampled_from([0, 1, 7, 11, 0x7F, 0x80, 0xFF])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A real file with some bytes changed, mostly in its headers, and perhaps cut."""
    content = bytearray(REAL)
    headers = st.integers(0, TEXT_OFFSET) | st.integers(TEXT_OFFSET + 256, len(REAL) - 1)
    for place in draw(st.lists(headers, min_size=1, max_size=12)):
        for at in range(place, min(place + draw(st.sampled_from([1, 1, 4, 8])), len(content))):
            content[at] = draw(INTERESTING | st.integers(0, 255))
    return bytes(content[: draw(st.just(len(content)) | st.integers(0, len(content)))])


@given(damaged() | st.binary(max_size=300) | st.binary(max_size=300).map(lambda b: REAL[:64] + b))
def test_a_damaged_file_raises_nothing_but_value_error(content: bytes) -> None:
    with opened(content) as fd:
        try:
            file = ElfFile(fd)
        except ValueError:
            return
        assert set(file.functions(NAMES)) <= set(NAMES)
        assert all(offset >= 0 for offset in file.functions(NAMES).values())
        file.build_id()
