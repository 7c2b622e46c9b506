"""Functions found by the tables that have them, in what the compiler makes and in bytes."""

from __future__ import annotations

import os
import platform
import struct
import subprocess
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.kernel import tables
from busted.kernel.elf import ElfFile
from busted.kernel.tables import Table, functions_in_tables
from tests.requirements import require
from tests.unit.kernel.elf_bytes import BASE, TEXT_OFFSET, elf, opened

SOURCE = """
#define FUNCTION(name, n) int name(int a) { return a * n; }
FUNCTION(init_128, 3) FUNCTION(init_256, 5) FUNCTION(seal, 7) FUNCTION(unseal, 9)
FUNCTION(other, 11) FUNCTION(init, 13)
typedef struct { int (*init)(int), (*seal)(int), (*open)(int); long key; char id; } algorithm;
const algorithm aes_128 = {init_128, seal, unseal, 16, 0};
const algorithm aes_256 = {init_256, seal, unseal, 32, 1};
const algorithm third = {init, other, other, 32, 2};
const algorithm fourth = {init, seal, other, 48, 4}, fifth = {init, unseal, other, 48, 4};
/* No functions: before the numbers stand others, or what is within one. */
const struct { long a, b, c, d, e; } numbers = {1, 2, 3, 64, 5};
struct { char *a, *b, *c; long d, e; } within = {
    (char *)init + 1, (char *)seal + 1, (char *)other + 1, 80, 6};
int main(void) { return 0; }
"""
NAMES = ("seal", "unseal", "other")
AES_SEAL: tuple[Table, ...] = (("init", "this", "open", 16, 0), ("init", "this", "open", 32, 1))
AES_OPEN: tuple[Table, ...] = (("init", "seal", "this", 16, 0), ("init", "seal", "this", 32, 1))

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64 code")


@contextmanager
def elf_file(path: Path) -> Iterator[ElfFile]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield ElfFile(fd)
    finally:
        os.close(fd)


@pytest.fixture(scope="module", params=["-pie -fPIE", "-no-pie", "-shared -fPIC -Wl,-Bsymbolic"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, int]]:
    """A program that is stripped, and where its functions are."""
    require("gcc")
    whole, bare = (tmp_path_factory.mktemp("built") / name for name in ("whole", "bare"))
    command = ["gcc", "-O1", *request.param.split(), "-x", "c", "-", "-o", str(whole)]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    with elf_file(whole) as file:
        offsets = {name: file.functions([name])[name] for name in NAMES if file.functions([name])}
    assert len(offsets) == len(NAMES)
    bare.write_bytes(whole.read_bytes())
    subprocess.run(["strip", "-s", bare], check=True)
    return bare, offsets


def test_a_function_is_found_by_the_tables_that_have_it(
    built: tuple[Path, dict[str, int]],
) -> None:
    path, offsets = built
    with elf_file(path) as file:
        assert functions_in_tables(file, AES_SEAL) == {offsets["seal"]}
        assert functions_in_tables(file, AES_OPEN) == {offsets["unseal"]}
        assert functions_in_tables(file, (("a", "this", "b", 32, 2),)) == {offsets["other"]}


def test_tables_that_are_alike_give_all_their_functions(
    built: tuple[Path, dict[str, int]],
) -> None:
    path, offsets = built
    with elf_file(path) as file:
        found = functions_in_tables(file, (("a", "this", "b", 48, 4),))
        assert found == {offsets["seal"], offsets["unseal"]}


def test_what_is_in_one_table_only_or_begins_no_function_is_not_found(
    built: tuple[Path, dict[str, int]],
) -> None:
    path, _ = built
    with elf_file(path) as file:
        assert not functions_in_tables(file, (AES_SEAL[0], ("a", "this", "b", 32, 2)))
        assert not functions_in_tables(file, (("a", "this", "b", 16, 1),))
        assert not functions_in_tables(file, (("a", "this", "b", 64, 5),))
        assert not functions_in_tables(file, (("a", "this", "b", 80, 6),))
        assert not functions_in_tables(file, ())


def test_tables_across_the_pieces_that_are_read_are_found(
    built: tuple[Path, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, offsets = built
    monkeypatch.setattr(tables, "_PIECE_BYTES", 24)
    with elf_file(path) as file:
        assert functions_in_tables(file, AES_SEAL) == {offsets["seal"]}


def data_only(content: bytes, relocations: bytes = b"") -> bytes:
    """A file whose one segment is not run."""
    whole = bytearray(elf(content, {}, sections_by_name={".rela.dyn": relocations}))
    whole[68:72] = struct.pack("<I", 4)  # its flags: that it is read
    return bytes(whole)


def test_a_program_of_nothing_but_tables_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    content = struct.pack("<5q", 1, 1, 1, 16, 0) * 100
    with opened(data_only(content)) as fd:
        assert len(list(tables._candidates(ElfFile(fd), AES_SEAL[0]))) == 100
        monkeypatch.setattr(tables, "_MAX_CANDIDATES", 16)
        assert len(list(tables._candidates(ElfFile(fd), AES_SEAL[0]))) <= 16


def test_a_pointer_is_what_the_relocation_makes_of_it() -> None:
    table = BASE + TEXT_OFFSET
    content = struct.pack("<5q", 0, 0, BASE + 3, 16, 0)
    relocations = struct.pack(
        "<9q", table, 8, BASE + 1, table + 8, 8, BASE + 2, table + 16, 7, BASE
    )
    with opened(data_only(content, relocations + b"rest")) as fd:
        starts = array("q", [BASE + 1, BASE + 2, BASE + 3])
        assert list(tables._in_table(ElfFile(fd), AES_SEAL[0], starts)) == [BASE + 2]
        assert not list(tables._in_table(ElfFile(fd), AES_SEAL[0], starts[:2]))


@given(st.binary(max_size=512), st.binary(max_size=512))
def test_any_content_is_looked_at(before: bytes, relocations: bytes) -> None:
    content = before + struct.pack("<2q", 16, 0)
    with opened(data_only(content, relocations)) as fd:
        assert not list(tables._in_table(ElfFile(fd), AES_SEAL[0], array("q", [BASE])))
