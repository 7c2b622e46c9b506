import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import require
from xtask import ebpf

PROGRAM = """
#include "types.h"
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
SEC("uprobe")
int on_write(void *ctx) { return ANSWER; }
"""
HEADER = """
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
typedef unsigned long long __u64; typedef int __s32; typedef long long __s64;
typedef __u16 __be16; typedef __u32 __be32; typedef __u32 __wsum;
#define ANSWER 7
"""


@pytest.fixture(autouse=True)
def compiler() -> None:
    require("clang")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    sources = tmp_path / "bpf"
    sources.mkdir()
    (sources / "small.bpf.c").write_text(PROGRAM)
    (sources / "types.h").write_text(HEADER)
    return sources


def test_every_program_is_compiled_for_every_architecture(sources: Path, tmp_path: Path) -> None:
    made = ebpf.build(sources, tmp_path / "objects")

    assert {path.name for path in made} == {"small.x86_64.bpf.o", "small.aarch64.bpf.o"}
    for path in made:
        # e_machine, at byte 18 of an ELF header, is EM_BPF = 247 (linux/elf-em.h).
        assert struct.unpack_from("<H", path.read_bytes(), 18) == (247,)


def test_objects_carry_btf_and_no_dwarf_and_no_path_of_the_builder(
    sources: Path, tmp_path: Path
) -> None:
    for path in ebpf.build(sources, tmp_path / "objects"):
        data = path.read_bytes()
        assert b".BTF" in data
        assert b".debug_info" not in data
        assert os.fsencode(tmp_path) not in data


def test_an_object_is_made_again_only_when_its_sources_changed(
    sources: Path, tmp_path: Path
) -> None:
    first = ebpf.build(sources, tmp_path / "objects")
    os.utime(sources / "small.bpf.c")
    assert ebpf.build(sources, tmp_path / "objects") == []

    (sources / "types.h").write_text(HEADER.replace("ANSWER 7", "ANSWER 8"))
    assert ebpf.build(sources, tmp_path / "objects") == first

    first[0].unlink()
    assert ebpf.build(sources, tmp_path / "objects") == first[:1]


def test_a_failed_build_keeps_the_last_good_object_and_is_tried_again(
    sources: Path, tmp_path: Path
) -> None:
    (first, _) = ebpf.build(sources, tmp_path / "objects")
    good = first.read_bytes()

    (sources / "types.h").write_text(HEADER.replace("ANSWER 7", "ANSWER unknown"))
    for _ in range(2):
        with pytest.raises(ebpf.BuildError, match="unknown"):
            ebpf.build(sources, tmp_path / "objects")

    assert first.read_bytes() == good


def test_padding_that_is_not_spelled_out_is_an_error(sources: Path, tmp_path: Path) -> None:
    hole = "struct hole { __u8 small; __u64 large; } hole;"
    (sources / "types.h").write_text(HEADER + hole)

    with pytest.raises(ebpf.BuildError, match="padding"):
        ebpf.build(sources, tmp_path / "objects")


def test_a_missing_tool_is_named_with_what_to_install(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ebpf.BuildError, match=r"clang was not found.*\n.*apt-get install clang"):
        ebpf.build(sources, tmp_path / "objects")


def test_missing_libbpf_headers_are_told_with_what_to_install(
    sources: Path, tmp_path: Path
) -> None:
    (sources / "small.bpf.c").write_text('#include <bpf/bpf_nowhere.h>\n#include "types.h"')

    with pytest.raises(ebpf.BuildError, match="apt-get install libbpf-dev"):
        ebpf.build(sources, tmp_path / "objects")


def test_missing_sources_are_an_error_not_an_empty_build(tmp_path: Path) -> None:
    with pytest.raises(ebpf.BuildError, match="sources are missing"):
        ebpf.build(tmp_path, tmp_path / "objects")


def test_the_command_says_a_build_error_in_words_not_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xtask", "build-ebpf"],
        cwd=ebpf.ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("xtask build-ebpf: clang was not found")
    assert "Traceback" not in done.stderr
