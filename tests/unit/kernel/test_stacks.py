"""Which TLS stack a process has: by its libraries' names, else by what its program keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from busted.kernel.stacks import FoundStack, Stacks, stack_of_file


def built(directory: Path, constant: str, name: str = "program") -> Path:
    """Compile and strip a program that has a text among its constants."""
    source = directory / f"{name}.c"
    source.write_text(
        f'const char text[] __attribute__((used)) = "{constant}";\nint main(void) {{ return 0; }}\n'
    )
    program = directory / name
    subprocess.run(["gcc", "-s", "-o", program, source], check=True)
    return program


def stack_of(program: Path) -> str | None:
    fd = os.open(program, os.O_RDONLY)
    try:
        return stack_of_file(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/lib/jvm/java-17/lib/server/libjvm.so", "java_jsse"),
        ("/usr/lib/libmbedtls.so.14", "mbedtls"),
        ("/opt/libwolfssl.so.42", "wolfssl"),
        ("/usr/lib/libs2n.so.1", "s2n"),
    ],
)
def test_a_library_is_known_by_its_name(path: str, name: str) -> None:
    assert Stacks().find(os.getpid(), ["/usr/lib/libc.so.6", path]) == FoundStack(name, path)


@pytest.mark.parametrize(
    ("constant", "name"),
    [
        ("/registry/src/index/rustls-0.23.12/src/conn.rs", "rustls"),
        ("error:%08lx:%s:OPENSSL_internal:%s", "boringssl"),
        ("OpenSSL 3.0.15 3 Sep 2024", "openssl"),
        ("/home/user/rust/src/main.rs", None),
    ],
)
def test_a_stripped_program_is_known_by_its_constants(
    tmp_path: Path, constant: str, name: str | None
) -> None:
    assert stack_of(built(tmp_path, constant)) == name


def test_what_is_no_program_has_none(tmp_path: Path) -> None:
    for content in (b"", b"\x7fELF", b"#!/bin/sh\n/rustls-\n"):
        (tmp_path / "file").write_bytes(content)
        assert stack_of(tmp_path / "file") is None


def test_a_process_without_a_stack_and_one_that_is_gone_have_none() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert Stacks().find(ended.pid, []) is None
    assert Stacks().find(os.getpid(), []) is None


def test_a_running_program_is_looked_into_and_told_by_its_path(tmp_path: Path) -> None:
    source = tmp_path / "waits.c"
    source.write_text(
        '#include <unistd.h>\nconst char text[] __attribute__((used)) = "/rustls-0.23/src";\n'
        'int main(void) { char c; return write(1, "!", 1) != 1 || read(0, &c, 1) < 0; }\n'
    )
    program = tmp_path / "waits"
    subprocess.run(["gcc", "-s", "-o", program, source], check=True)
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.read(1)
        path = str(program)
        assert Stacks().find(process.pid, [path]) == FoundStack("rustls", path)
        assert Stacks().find(process.pid, [path], {path: "go"}) == FoundStack("go", path)
    finally:
        process.kill()
        process.communicate()
