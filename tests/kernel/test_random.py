"""The client random that the kernel side tells, against the one that the server saw on the wire."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from busted.kernel.client_random import RandomPath
from busted.kernel.features import probe
from busted.kernel.programs import best_way
from busted.records import TlsData, TlsRandom
from tests.kernel.harness import DEADLINE_SECONDS, Watched, objects, open_target, watched_target
from tests.requirements import require, tls_libraries

pytestmark = pytest.mark.needs("kernel", "attach cookie", "gcc")

CLIENT = Path(__file__).parent / "tls_client.py"
NODE_CLIENT = """
const [port] = process.argv.slice(1);
const socket = require("tls").connect({host: "127.0.0.1", port, rejectUnauthorized: false});
socket.end("hello"); socket.resume();
"""


class Server:
    """A TLS server on loopback that remembers the random of each ClientHello as it came."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.authority = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("example.com").configure_cert(self._context)
        self.randoms: list[bytes] = []

    @contextmanager
    def serving(self) -> Iterator[int]:
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            thread = threading.Thread(target=self._serve, args=[listener])
            thread.start()
            try:
                yield listener.getsockname()[1]
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with plain:
                # RFC 8446: a record (5.1) of 5 bytes, a handshake (4) of 4, a version, the random.
                hello = plain.recv(43, socket.MSG_PEEK | socket.MSG_WAITALL)
                self.randoms.append(hello[11:43])
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    while b"hello" not in secure.recv(4096):
                        pass
                    secure.sendall(b"welcome")
                    # What a closed socket has not read becomes a reset, which a slow client sees.
                    with suppress(OSError):
                        secure.unwrap()


def told(kernel: Watched) -> dict[bytes, list[str]]:
    """The kinds of records of each connection, by its random."""
    records = kernel.all()
    return {
        one.random: [type(r).__name__ for r in records if r.key == one.key]
        for one in records
        if isinstance(one, TlsRandom)
    }


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_connection_of_libssl_is_told_with_the_random_on_the_wire(
    server: Server, tmp_path: Path
) -> None:
    require("shared libssl")
    # A copy of its own, so that no other program of this host is probed.
    for library in tls_libraries():
        shutil.copy(library, tmp_path)
    (libssl,) = tmp_path.glob("libssl.so*")
    way = best_way(probe())
    with server.serving() as port, watched_target(way, open_target(libssl)) as kernel:
        for _ in range(3):
            subprocess.run(
                [sys.executable, CLIENT, str(port), server.authority, "example.com"],
                input=b"hello",
                env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
                timeout=DEADLINE_SECONDS,
                check=True,
            )
        found = told(kernel)
        assert list(found) == server.randoms
        assert len(found) == 3
        for kinds in found.values():
            assert kinds.count("TlsRandom") == 1
            assert kinds.index("TlsRandom") < kinds.index("TlsData")
        assert kernel.programs.shared.lost() == {}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_connection_of_node_is_told_with_the_random_on_the_wire(
    server: Server, version: str
) -> None:
    require("node")
    node = shutil.which("node")
    assert node is not None
    target = open_target(Path(node).resolve())
    with server.serving() as port, watched_target(best_way(probe()), target) as kernel:
        limits = [f"--tls-{bound}-v{version}" for bound in ("min", "max")]
        process = subprocess.Popen([node, *limits, "-e", NODE_CLIENT, "--", str(port)])
        assert process.wait(DEADLINE_SECONDS) == 0
        ours = {
            r.random for r in kernel.all() if isinstance(r, TlsRandom) and r.key.pid == process.pid
        }
        assert ours == set(server.randoms)
        assert len(ours) == 1


RANDOM = bytes(range(1, 33))


def randoms(kernel: Watched) -> list[bytes]:
    return [r.random for r in kernel.all() if isinstance(r, TlsRandom)]


def test_the_random_is_in_the_object_or_behind_a_pointer_in_it(tmp_path: Path) -> None:
    for name, path in {"direct": RandomPath(16), "behind": RandomPath(0, pointer=8)}.items():
        directory = tmp_path / name
        directory.mkdir()
        with objects(directory, path) as kernel:
            kernel.run("one = make(0, random); say(one); say(one)")
            assert randoms(kernel) == [RANDOM]
            assert len(kernel.data()) == 2


def test_an_object_of_another_kind_tells_no_random(tmp_path: Path) -> None:
    with objects(tmp_path, RandomPath(16, zero=0)) as kernel:
        kernel.run("say(make(128, random)); say(make(0, random))")
        assert [type(r).__name__ for r in kernel.all()].count("TlsRandom") == 1
        assert len(kernel.data()) == 2


def test_a_random_that_is_zero_or_cannot_be_read_is_none(tmp_path: Path) -> None:
    with objects(tmp_path, RandomPath(16)) as kernel:
        kernel.run("say(make(0, bytes(32))); say(ssl(1))")
        assert randoms(kernel) == []
        assert [r.data for r in kernel.data() if isinstance(r, TlsData)] == [b"x", b"x"]
