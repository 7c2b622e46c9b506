"""Compiles bpf/*.bpf.c for every architecture that Busted runs on.

Each program becomes `NAME.MACHINE.bpf.o`, MACHINE as `uname -m` says it, and, where user space
can read perf buffers, `NAME.perf.MACHINE.bpf.o`. An object is made
anew only when its stamp, a digest of all sources, the flags and the compiler, differs; it is
put in place by a rename, so a reader sees the old object or the new one.

Linking is left out: each program is one file. So are kernel headers: the programs declare
the few kernel types they read (bpf/kernel_types.h) and libbpf relocates them at load time.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "bpf"
OBJECTS = ROOT / "src" / "busted" / "kernel" / "objects"

# `uname -m`: the name that libbpf's bpf_tracing.h gives the architecture.
ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}

# How records travel: what stands behind the name of a program that sends some, the flags, and
# the machines where user space can read that.
VARIANTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "": ((), tuple(ARCHITECTURES)),
    ".perf": (("-DPERF_BUFFER",), ("x86_64",)),
}

# v3 brings the 32-bit ALU and jumps, and Linux 5.1 takes it
# (https://docs.kernel.org/bpf/bpf_design_QA.html). -Wpadded: padding must be spelled out, for
# what is not written would carry kernel memory to user space.
FLAGS = ("-g", "-O2", "-mcpu=v3", "-target", "bpf", "-Wall", "-Wpadded", "-Werror")


class BuildError(Exception):
    """The programs cannot be built; the message says what failed, why, and what to do."""


def build(
    sources: Path = SOURCES, objects: Path = OBJECTS, machines: Sequence[str] = tuple(ARCHITECTURES)
) -> list[Path]:
    """Compile what is out of date and return the objects that were made."""
    programs = sorted(sources.glob("*.bpf.c"))
    if not programs:
        raise BuildError(f"no *.bpf.c in {sources}: the eBPF sources are missing; clone anew.")
    objects.mkdir(parents=True, exist_ok=True)
    digest = _digest(sources)
    made = []
    for program, variant, machine in _wanted(programs, machines):
        target = objects / _name(program, variant, machine)
        stamp = target.with_suffix(".stamp")
        if target.exists() and stamp.exists() and stamp.read_text() == digest:
            continue
        # Gone while the object is being replaced: a build that dies half-way is redone.
        stamp.unlink(missing_ok=True)
        compile_program(program, machine, target, VARIANTS[variant][0])
        stamp.write_text(digest)
        made.append(target)
    return made


def object_names(sources: Path = SOURCES) -> set[str]:
    """Return the names of all objects that are built."""
    programs = sorted(sources.glob("*.bpf.c"))
    return {_name(*wanted) for wanted in _wanted(programs, tuple(ARCHITECTURES))}


def _wanted(programs: Sequence[Path], machines: Sequence[str]) -> Iterator[tuple[Path, str, str]]:
    """Yield each program with its variants and machines."""
    for program, variant, machine in itertools.product(programs, VARIANTS, machines):
        flags, readable = VARIANTS[variant]
        sends_records = b'"common.h"' in program.read_bytes()
        if machine in readable and (sends_records or not flags):
            yield program, variant, machine


def _name(program: Path, variant: str, machine: str) -> str:
    return f"{program.name.removesuffix('.bpf.c')}{variant}.{machine}.bpf.o"


def compile_program(program: Path, machine: str, target: Path, flags: Sequence[str] = ()) -> None:
    """Compile one program; `target` is replaced at once, or left as it was."""
    fresh = target.with_suffix(".new")
    # BTF names the source files: relative names keep the builder's paths out of the objects.
    _run(
        _tool("clang", "clang"),
        *FLAGS,
        *flags,
        f"-D__TARGET_ARCH_{ARCHITECTURES[machine]}",
        f"-ffile-prefix-map={program.parent}=.",
        "-fdebug-compilation-dir=.",
        "-c",
        str(program),
        "-o",
        str(fresh),
    )
    # DWARF is for debuggers; the kernel and libbpf read BTF, which stays.
    _run(_tool("llvm-strip", "llvm"), "-g", str(fresh))
    fresh.replace(target)


def _digest(sources: Path) -> str:
    digest = hashlib.sha256()
    for part in _inputs(sources):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _inputs(sources: Path) -> Iterator[bytes]:
    yield " ".join(FLAGS).encode()
    yield subprocess.check_output([_tool("clang", "clang"), "--version"])
    # The recipe is an input too.
    for path in sorted([*sources.glob("*.[ch]"), Path(__file__)]):
        yield path.name.encode()
        yield path.read_bytes()


def _tool(name: str, package: str) -> str:
    if path := shutil.which(name):
        return path
    raise BuildError(
        f"{name} was not found, and the eBPF programs cannot be built without it.\n"
        f"On Debian and Ubuntu: apt-get install {package}   (or: make setup, as root)"
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return
    hint = ""
    if "bpf/bpf_" in done.stderr and "file not found" in done.stderr:
        hint = (
            "\nlibbpf's headers were not found."
            "\nOn Debian and Ubuntu: apt-get install libbpf-dev   (or: make setup, as root)"
        )
    raise BuildError(f"{Path(command[0]).name} failed:\n{done.stderr.strip()}{hint}")
