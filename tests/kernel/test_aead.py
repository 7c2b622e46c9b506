"""What rustls says by AWS-LC and by ring, in the running kernel: records, and the sockets that tie
them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from busted.kernel.elf import ElfFile
from busted.kernel.places import AEAD_PROGRAMS, Place
from busted.kernel.programs import Way
from busted.kernel.targets import Target
from busted.records import Direction, TlsClose, TlsSocket
from tests.kernel.harness import Watched, watched_target
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "gcc")

PROGRAMS = Path(__file__).parent / "programs"
NEEDS = {"session": "session uprobe", "multi": "multi uprobe", "perf": "kernel"}
WRITE, READ = Direction.WRITE, Direction.READ

# Sockets a and b are two clients', whose other ends are A and B, and hold an answer already.
SCRIPT = """
import socket
a, A = socket.socketpair()
b, B = socket.socketpair()
a.getsockopt(socket.SOL_SOCKET, 57, 8)  # SO_COOKIE: now it has one, as those of TCP do
A.send(b"answer")
B.send(b"answer")
TLS13, TLS12 = b"\\x17\\x03\\x03", bytes(8) + b"\\x17\\x03\\x03"
def buffer(data): return ctypes.create_string_buffer(data, len(data) + 1)
def lengthy(header, length):
    return header + (length + 16 * (header == TLS13)).to_bytes(2, "big")
"""
AWS_LC_SCRIPT = """
def crypt(name, context, data, header):
    header, room = lengthy(header, len(data)), buffer(data)
    getattr(library, name)(
        ctypes.c_void_p(context), room, ctypes.byref(size_t()), size_t(len(data)), None, size_t(0),
        room, size_t(len(data)), header, size_t(len(header)))
def seal(context, data, header=TLS13): crypt("EVP_AEAD_CTX_seal", context, data, header)
def unseal(context, data, header=TLS13): crypt("EVP_AEAD_CTX_open", context, data, header)
"""
RING_SCRIPT = """
def crypt(name, context, data, header, length, *start):
    header = lengthy(header, length)
    getattr(library, name)(
        ctypes.create_string_buffer(17), ctypes.c_void_p(context), bytes(12), header,
        size_t(len(header)), buffer(data), size_t(len(data)), *map(size_t, start))
def seal(context, data, header=TLS13, more=0):
    crypt("ring_seal", context, data, header, len(data) + more)
def unseal(context, data, header=TLS13, start=0):
    crypt("ring_open", context, bytes(start) + data, header, len(data), start)
"""


class Library(NamedTuple):
    """What stands for a library, how a script calls it, and its functions by their programs."""

    source: str
    script: str
    functions: dict[str, str]


LIBRARIES = {
    "aws-lc": Library(
        "aead_library.c",
        AWS_LC_SCRIPT,
        {"tls_seal": "EVP_AEAD_CTX_seal", "tls_unseal": "EVP_AEAD_CTX_open"},
    ),
    "ring": Library(
        "ring_library.c",
        RING_SCRIPT,
        {"tls_ring_seal": "ring_seal", "tls_ring_open": "ring_open"},
    ),
}
only_aws_lc = pytest.mark.parametrize("name", ["aws-lc"])
only_ring = pytest.mark.parametrize("name", ["ring"])


@pytest.fixture(params=LIBRARIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=get_args(Way))
def kernel(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> Iterator[Watched]:
    require(NEEDS[request.param])
    path, library = tmp_path / f"{name}.so", LIBRARIES[name]
    source = PROGRAMS / library.source
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", path, source], check=True)
    fd = os.open(path, os.O_RDONLY)
    found = ElfFile(fd).functions(library.functions.values())
    places = tuple(
        Place(program, found[function], AEAD_PROGRAMS[program])
        for program, function in library.functions.items()
    )
    with watched_target(request.param, Target(fd, str(path), name, places)) as programs:
        yield programs
        assert programs.programs.shared.lost() == {}


def told(kernel: Watched, script: str) -> list[tuple[int, Direction, bytes]]:
    """What was told when `script` had run: connection, direction and bytes."""
    kernel.run(SCRIPT + LIBRARIES[kernel.library.stem].script + script)
    return [(r.key.connection, Direction(r.direction), r.data) for r in kernel.data()]


def test_both_directions_are_one_connection_by_their_socket(kernel: Watched) -> None:
    script = (
        "seal(1, b'question\\x17'); a.send(b'x'); a.recv(9); unseal(2, b'answer\\x17');"
        "seal(1, b'again\\x17'); a.send(b'x')"
    )
    assert told(kernel, script) == [
        (1, WRITE, b"question"),
        (1, READ, b"answer"),
        (1, WRITE, b"again"),
    ]
    assert [r.key.connection for r in kernel.all() if isinstance(r, TlsSocket)] == [1]


def test_connections_of_one_thread_are_not_mixed(kernel: Watched) -> None:
    script = (
        "seal(1, b'one\\x17'); a.send(b'x'); seal(3, b'two\\x17'); b.send(b'x');"
        "a.recv(9); unseal(2, b'uno\\x17'); b.recv(9); unseal(4, b'due\\x17')"
    )
    assert told(kernel, script) == [
        (1, WRITE, b"one"),
        (3, WRITE, b"two"),
        (1, READ, b"uno"),
        (3, READ, b"due"),
    ]


def test_only_data_is_told(kernel: Watched) -> None:
    script = (
        "seal(1, b'handshake\\x16'); seal(1, b'warning\\x15'); seal(1, b'other\\x17', b'7777777');"
        "seal(1, b'\\x17'); unseal(2, b'ticket\\x16');"
        "seal(5, b'old\\x17', TLS12); unseal(6, b'older', TLS12)"
    )
    assert told(kernel, script) == [(5, WRITE, b"old\x17"), (6, READ, b"older")]


@only_aws_lc
def test_what_is_forged_is_not_told(kernel: Watched) -> None:
    assert told(kernel, "unseal(2, b'!forged\\x17')") == []


@only_ring
def test_a_record_that_follows_its_nonce_is_told_without_it(kernel: Watched) -> None:
    assert told(kernel, "unseal(2, b'answer', TLS12, start=8)") == [(2, READ, b"answer")]


@only_ring
def test_what_has_another_length_than_its_header_says_is_not_believed(kernel: Watched) -> None:
    script = (
        "seal(1, b'one\\x17', more=1); seal(1, b'two', TLS12, more=-1);"
        "unseal(2, b'three\\x17', start=3)"
    )
    assert told(kernel, script) == []


def test_what_is_heard_before_anything_is_said_stands_for_itself(kernel: Watched) -> None:
    script = "unseal(2, b'early\\x17'); a.recv(9); unseal(2, b'still\\x17')"
    assert told(kernel, script) == [(2, READ, b"early"), (2, READ, b"still")]


def test_a_closed_socket_ends_its_connection(kernel: Watched) -> None:
    script = (
        "seal(1, b'one\\x17'); a.send(b'x'); a.close(); seal(1, b'two\\x17'); b.send(b'x');"
        "b.recv(9); unseal(2, b'due\\x17')"
    )
    assert told(kernel, script) == [(1, WRITE, b"one"), (1, WRITE, b"two"), (1, READ, b"due")]
    first, second, third = (record.key for record in kernel.data())
    assert first != second
    assert second == third
    assert [r.key for r in kernel.all() if isinstance(r, TlsClose)] == [first, second]
