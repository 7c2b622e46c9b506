"""Functions found by the strings that they mention, in what the compiler makes and in bytes."""

from __future__ import annotations

import os
import platform
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.kernel import mentions
from busted.kernel.elf import ElfFile
from busted.kernel.mentions import functions_that_mention
from tests.requirements import require
from tests.unit.kernel.elf_bytes import TEXT_OFFSET, elf, opened

SOURCE = """
void report(const char *function, int line, int reason, const char *file);
#define FAIL(reason) (report(__func__, __LINE__, reason, "/build/crypto/aead.c"), -1)
int work(int n);
int seal(int n) { n = work(n); return n > 1000 ? FAIL(117) : n < 0 ? FAIL(103) : n * 3; }
int open_(int n) { n = work(n); return n > 1000 ? FAIL(101) : n < 0 ? FAIL(103) : n * 5; }
int unseal(int n) { n = work(n); return n > 1000 ? FAIL(99) : n * 7; }
int late(int n) { return n > 1000 ? FAIL(98) : n * 7; }
"""
NAMES = ("seal", "open_", "unseal")

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64 code")


@contextmanager
def elf_file(path: Path) -> Iterator[ElfFile]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield ElfFile(fd)
    finally:
        os.close(fd)


@pytest.fixture(scope="module", params=["-O1", "-O2 -fcf-protection=none", "-O0"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, int]]:
    """A library that is stripped, and where its functions are."""
    require("gcc")
    whole, bare = (tmp_path_factory.mktemp("built") / name for name in ("whole", "bare"))
    command = ["gcc", *request.param.split(), "-shared", "-fPIC", "-x", "c", "-", "-o", str(whole)]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    with elf_file(whole) as file:
        offsets = file.functions(NAMES)
    bare.write_bytes(whole.read_bytes())
    subprocess.run(["strip", "-s", bare], check=True)
    return bare, offsets


def test_a_function_is_found_by_its_own_name(built: tuple[Path, dict[str, int]]) -> None:
    path, offsets = built
    with elf_file(path) as file:
        for name in NAMES:
            assert functions_that_mention(file, name) == {offsets[name]}


def test_functions_of_one_file_are_told_apart_by_their_errors(
    built: tuple[Path, dict[str, int]],
) -> None:
    path, offsets = built
    with elf_file(path) as file:
        assert functions_that_mention(file, "crypto/aead.c") >= set(offsets.values())
        for reasons, name in (({117, 103}, "seal"), ({101, 103}, "open_"), ({99}, "unseal")):
            found = functions_that_mention(file, "crypto/aead.c", frozenset(reasons))
            assert found == {offsets[name]}
        assert not functions_that_mention(file, "crypto/aead.c", frozenset({117, 101}))


def test_a_part_of_a_string_is_no_mention(built: tuple[Path, dict[str, int]]) -> None:
    path, _ = built
    with elf_file(path) as file:
        for text in ("ead.c", "crypto/aead", "eal", "nobody"):
            assert not functions_that_mention(file, text)


def test_what_does_not_look_like_the_start_of_a_function_is_left_alone(tmp_path: Path) -> None:
    require("gcc")
    path = tmp_path / "late"
    command = [
        "gcc",
        "-O2",
        "-fcf-protection=none",
        "-shared",
        "-fPIC",
        "-x",
        "c",
        "-",
        "-o",
        str(path),
    ]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    with elf_file(path) as file:
        assert file.functions(["late"])
        assert not functions_that_mention(file, "late")


def test_it_does_not_matter_where_pieces_and_blocks_are_cut(
    built: tuple[Path, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, offsets = built
    with elf_file(path) as file:
        for size in (1, 2, 3, 117, 4096):
            monkeypatch.setattr(mentions, "_PIECE_BYTES", max(size, 64))
            monkeypatch.setattr(mentions, "_BLOCK_BYTES", size)
            assert functions_that_mention(file, "seal") == {offsets["seal"]}


def test_only_what_is_near_is_found_when_that_is_asked(
    built: tuple[Path, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, offsets = built
    monkeypatch.setattr(mentions, "_NEAR_BYTES", 1024)
    with elf_file(path) as file:
        near = offsets["unseal"]
        assert functions_that_mention(file, "seal", near=near) == {offsets["seal"]}
        assert not functions_that_mention(file, "seal", near=near + (1 << 20))


START = b"\x55\x48\x89\xe5"
# sub $8,%rsp: stands in a function, not at the start of one
INNER = b"\x48\x83\xec\x08"


def without_a_table(*, is_called: bool) -> bytes:
    """A function behind another, that mentions a string; whether the first calls it."""
    function = 32
    call = b"\xe8" + struct.pack("<i", function - 9) if is_called else b"\x90" * 5
    first = (START + call + b"\xc3").ljust(function, b"\xcc")
    lea = function + len(START) + len(INNER)
    second = START + INNER + b"\x48\x8d\x05" + struct.pack("<i", 64 - lea - 7) + b"\xc3"
    return elf((first + second).ljust(63, b"\xcc") + b"\0its_name\0", {})


def test_without_a_table_a_function_begins_with_a_frame_and_is_called() -> None:
    with opened(without_a_table(is_called=True)) as fd:
        assert functions_that_mention(ElfFile(fd), "its_name") == {TEXT_OFFSET + 32}
    with opened(without_a_table(is_called=False)) as fd:
        assert not functions_that_mention(ElfFile(fd), "its_name")


@given(st.binary(max_size=2048), st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_any_code_at_any_address_and_of_any_size_is_looked_at(
    text: bytes, address: int, size: int
) -> None:
    content = bytearray(elf(text + without_a_table(is_called=True)[TEXT_OFFSET:], {}))
    content[80:88] = address.to_bytes(8, "little")
    content[96:104] = size.to_bytes(8, "little")
    with opened(bytes(content)) as fd:
        found = functions_that_mention(ElfFile(fd), "its_name", frozenset({1}))
        assert not found


def test_the_table_of_functions_is_one_or_nothing(built: tuple[Path, dict[str, int]]) -> None:
    path, offsets = built
    content = bytearray(path.read_bytes())
    with elf_file(path) as file:
        starts = file.function_starts()
        assert {file.address(offset) for offset in offsets.values()} <= set(starts)
    (headers,) = struct.unpack_from("<Q", content, 32)
    at = next(
        place
        for place in range(headers, len(content), 56)
        if content[place : place + 4] == struct.pack("<I", 0x6474E550)
    )
    (table,) = struct.unpack_from("<Q", content, at + 8)
    content[table + 12 : table + 16] = struct.pack("<i", 0x7FFFFFFF)
    with opened(bytes(content)) as fd:
        assert not ElfFile(fd).function_starts()
        assert not functions_that_mention(ElfFile(fd), "its_name")
