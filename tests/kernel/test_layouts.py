"""bpf/records.h and records.py are two spellings of one thing. This proves it.

The programs themselves are compiled, by the build's own recipe, with one variable of each
type added: clang leaves types that only inlined functions use out of BTF.
"""

from __future__ import annotations

import enum
import json
import subprocess
from typing import Any

import pytest

from busted import records
from busted.records import LAYOUTS, Layout
from tests.requirements import bpftool, require
from xtask import ebpf

ENUMS: dict[str, type[enum.IntEnum]] = {
    "record_type": records.Type,
    "direction": records.Direction,
    "verdict": records.Verdict,
    "lost_place": records.LostPlace,
    "file_operation": records.FileOperation,
}
CONSTANTS = {
    "RECORDS_VERSION": records.VERSION,
    "MAX_DATA": records.MAX_DATA,
    "NO_OFFSET": records.NO_OFFSET,
    "PLAIN_SOCKET": records.PLAIN_SOCKET,
    "MAX_PATH": records.MAX_PATH,
    "WORD_FACTOR": records.WORD_FACTOR,
}

Btf = dict[int, dict[str, Any]]


@pytest.fixture(scope="module", params=ebpf.ARCHITECTURES)
def btf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Btf:
    require("clang", "bpftool")
    directory = tmp_path_factory.mktemp("bpf")
    for source in ebpf.SOURCES.glob("*.[ch]"):
        (directory / source.name).write_bytes(source.read_bytes())
    types = [f"struct {layout.c_name}" for layout in LAYOUTS] + [f"enum {name}" for name in ENUMS]
    variables = [f"{c_type} variable_{i};" for i, c_type in enumerate(types)]
    constants = ", ".join(f"CONSTANT_{name} = {name}" for name in CONSTANTS)
    source = directory / "layouts.bpf.c"
    source.write_text(
        "\n".join(['#include "tls.bpf.c"', *variables, f"enum constants {{ {constants} }} all;"])
    )
    target = directory / "layouts.o"
    ebpf.compile_program(source, request.param, target)
    tool = bpftool()
    assert tool is not None
    dump = subprocess.check_output([tool, "-j", "btf", "dump", "file", target])
    return {t["id"]: t for t in json.loads(dump)["types"]}


def named(btf: Btf, kind: str, name: str) -> dict[str, Any]:
    (found,) = (t for t in btf.values() if t["kind"] == kind and t["name"] == name)
    return found


def enumerators(btf: Btf, name: str) -> dict[str, int]:
    return {value["name"]: value["val"] for value in named(btf, "ENUM", name)["values"]}


def offsets(btf: Btf, struct: dict[str, Any], base: int = 0) -> dict[str, int]:
    """Field offsets in bytes; fields of an embedded struct count as the struct's own."""
    found: dict[str, int] = {}
    for member in struct["members"]:
        offset = base + member["bits_offset"] // 8
        inner = btf[member["type_id"]]
        found |= (
            offsets(btf, inner, offset) if inner["kind"] == "STRUCT" else {member["name"]: offset}
        )
    return found


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.c_name)
def test_a_struct_has_the_same_layout_on_both_sides(layout: Layout, btf: Btf) -> None:
    struct = named(btf, "STRUCT", layout.c_name)

    assert offsets(btf, struct) == layout.offsets
    assert struct["size"] == layout.size


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_has_the_same_values_on_both_sides(name: str, btf: Btf) -> None:
    # RECORD_TLS_DATA is Type.TLS_DATA, LOST_RING_FULL is LostPlace.RING_FULL, and so on.
    prefix = {"record_type": "RECORD_", "lost_place": "LOST_", "file_operation": "FILE_"}.get(
        name, f"{name.upper()}_"
    )
    values = enumerators(btf, name)
    # Not a place but their number.
    values.pop("LOST_PLACES", None)

    assert values == {prefix + member.name: member.value for member in ENUMS[name]}


def test_constants_have_the_same_values_on_both_sides(btf: Btf) -> None:
    values = enumerators(btf, "constants")

    assert values == {f"CONSTANT_{name}": value for name, value in CONSTANTS.items()}


def test_every_record_type_has_a_layout() -> None:
    names = {layout.c_name for layout in LAYOUTS}

    assert {member.name.lower() for member in records.Type} <= names


def test_the_objects_that_the_wheel_ships_are_for_the_bpf_machine_and_have_btf() -> None:
    require("clang")
    ebpf.build()
    shipped = [path.name for path in ebpf.OBJECTS.glob("*.bpf.o")]
    wanted = {"shared", "tls"}

    assert set(shipped) == ebpf.object_names()
    for machine in ebpf.ARCHITECTURES:
        assert {f"{name}.{machine}.bpf.o" for name in wanted} <= set(shipped)
    assert {f"{name}.perf.x86_64.bpf.o" for name in wanted} <= set(shipped)
    assert all(b".BTF" in (ebpf.OBJECTS / name).read_bytes() for name in shipped)
