"""What rustls says by AWS-LC, in the running kernel: records, and the sockets that tie them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from busted.kernel.elf import ElfFile
from busted.kernel.places import Place
from busted.kernel.programs import Way
from busted.kernel.targets import Target
from busted.records import Direction, TlsClose, TlsSocket
from tests.kernel.harness import Watched, watched_target
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "gcc")

SOURCE = Path(__file__).parent / "programs" / "aead_library.c"
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
TLS13, TLS12 = b"\\x17\\x03\\x03\\0\\1", bytes(8) + b"\\x17\\x03\\x03\\0\\1"
def crypt(name, context, data, header):
    room = ctypes.create_string_buffer(data, len(data) + 1)
    getattr(library, name)(
        ctypes.c_void_p(context), room, ctypes.byref(size_t()), size_t(len(data)), None, size_t(0),
        room, size_t(len(data)), header, size_t(len(header)))
def seal(context, data, header=TLS13): crypt("EVP_AEAD_CTX_seal", context, data, header)
def unseal(context, data, header=TLS13): crypt("EVP_AEAD_CTX_open", context, data, header)
"""


@pytest.fixture(params=get_args(Way))
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    require(NEEDS[request.param])
    library = tmp_path / "libaead.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    fd = os.open(library, os.O_RDONLY)
    found = ElfFile(fd).functions(["EVP_AEAD_CTX_seal", "EVP_AEAD_CTX_open"])
    places = (
        Place("tls_seal", found["EVP_AEAD_CTX_seal"], False),
        Place("tls_unseal", found["EVP_AEAD_CTX_open"], True),
    )
    with watched_target(request.param, Target(fd, str(library), "aws-lc", places)) as programs:
        yield programs
        assert programs.programs.shared.lost() == {}


def told(kernel: Watched, script: str) -> list[tuple[int, Direction, bytes]]:
    """What was told when `script` had run: connection, direction and bytes."""
    kernel.run(SCRIPT + script)
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
        "seal(1, b'\\x17'); unseal(2, b'ticket\\x16'); unseal(2, b'!forged\\x17');"
        "seal(5, b'old\\x17', TLS12); unseal(6, b'older', TLS12)"
    )
    assert told(kernel, script) == [(5, WRITE, b"old\x17"), (6, READ, b"older")]


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
