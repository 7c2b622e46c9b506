"""What is held stays in the kernel until it is allowed, and what is denied never leaves it."""

from __future__ import annotations

import os
import resource
import selectors
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trustme

from busted.classifier.options import DEFAULT_OPTIONS
from busted.kernel.destroy import destroy
from busted.kernel.features import probe
from busted.kernel.held_sockets import HeldSockets
from busted.kernel.hold import undecided
from busted.kernel.programs import Way, best_way
from busted.records import LostPlace, TlsData, TlsHold
from tests.e2e.deadline import until
from tests.kernel.harness import (
    DEADLINE_SECONDS,
    HELD_HOST,
    Watched,
    open_target,
    watched,
    watched_target,
)
from tests.requirements import require, tls_libraries

pytestmark = pytest.mark.needs("kernel", "attach cookie", "bpf_loop", "cgroups")

CLIENT = Path(__file__).parent / "hold_client.py"
# Longer than any test takes.
LONG = 100.0


class Server:
    """A TLS server on loopback that answers each message with its own words, in capitals."""

    def __init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert(HELD_HOST).configure_cert(self._context)
        self.received: list[str] = []
        self._stopped = False

    @contextmanager
    def serving(self) -> Iterator[int]:
        with closing(socket.create_server(("127.0.0.1", 0), backlog=2048)) as listener:
            thread = threading.Thread(target=self._serve, args=[listener])
            thread.start()
            try:
                yield listener.getsockname()[1]
            finally:
                self._stopped = True
                thread.join()

    def _serve(self, listener: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(listener, selectors.EVENT_READ)
            while not self._stopped:
                for key, _ in ready.select(0.05):
                    if key.fileobj is listener:
                        plain, _ = listener.accept()
                        accepted = self._context.wrap_socket(plain, server_side=True)
                        ready.register(accepted, selectors.EVENT_READ)
                    elif not self._answers(key.fileobj):
                        ready.unregister(key.fileobj)
            for key in list(ready.get_map().values()):
                if isinstance(key.fileobj, ssl.SSLSocket):
                    key.fileobj.close()

    def _answers(self, connection: object) -> bool:
        assert isinstance(connection, ssl.SSLSocket)
        try:
            text = connection.recv(4096).decode()
            if text:
                self.received.append(text)
                connection.sendall(text.upper().encode())
                return True
        except OSError:
            pass
        connection.close()
        return False


class Client:
    """The client as a process."""

    def __init__(self, port: int, library: Path, name: str, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, CLIENT, str(port), name, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"LD_LIBRARY_PATH": str(library.parent)},
        )
        assert self._line() == "open"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def _say(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._line()

    def write(self, text: str, number: int = 0) -> None:
        assert self._say(f"write {number} {text}") == "written"

    def read(self, number: int = 0) -> str:
        return self._say(f"read {number}")

    def end(self) -> None:
        self.process.communicate(timeout=DEADLINE_SECONDS)


class Bed:
    """A server, a client, and the programs between them."""

    def __init__(self, kernel: Watched, server: Server, client: Client) -> None:
        self.kernel, self.server, self.client = kernel, server, client
        self.sockets = HeldSockets()

    def holds(self, count: int = 1) -> list[TlsHold]:
        """Wait for so many connections to be held."""
        records = self.kernel.wait(
            lambda records: sum(isinstance(r, TlsHold) for r in records) >= count
        )
        return [record for record in records if isinstance(record, TlsHold)]

    def dropped(self, hold: TlsHold) -> None:
        """Wait until the kernel has dropped something of a connection."""
        look = self.kernel.hold.look
        before = look(hold.cookie).dropped
        until(lambda: look(hold.cookie).dropped > before, "TCP tries again")

    def allow(self, hold: TlsHold, position: int | None = None) -> None:
        self.kernel.hold.allow(hold.cookie, position)
        assert self.sockets.flush(self.client.process.pid, hold.cookie)


@contextmanager
def bed(
    directory: Path,
    *,
    way: Way | None = None,
    name: str = HELD_HOST,
    count: int = 1,
    seconds: float = LONG,
    fails_open: bool = False,
) -> Iterator[Bed]:
    require("shared libssl")
    # A copy of its own, so that no other program of this host is probed.
    for library in tls_libraries():
        shutil.copy(library, directory)
    (libssl,) = directory.glob("libssl.so*")
    server = Server()
    with (
        server.serving() as port,
        watched_target(
            way or best_way(probe()),
            open_target(libssl),
            hold_seconds=seconds,
            fails_open=fails_open,
        ) as kernel,
    ):
        client = Client(port, libssl, name, count)
        try:
            yield Bed(kernel, server, client)
        finally:
            client.end()


@pytest.mark.parametrize("way", ["session", "multi", "perf"])
def test_what_is_written_is_told_and_stays_until_it_is_allowed(way: Way, tmp_path: Path) -> None:
    if way != "perf":
        require(f"{way} uprobe")
    with bed(tmp_path, way=way) as tested:
        tested.client.write("one")
        (hold,) = tested.holds()
        (told,) = tested.kernel.data()
        assert told.data == b"one"
        tested.dropped(hold)
        assert tested.server.received == []
        tested.allow(hold, 3)
        assert tested.client.read() == "ONE"
        assert tested.kernel.programs.shared.lost() == {}


def test_a_request_does_not_pass_by_the_permission_of_the_one_before(tmp_path: Path) -> None:
    with bed(tmp_path) as tested:
        tested.client.write("one")
        (hold,) = tested.holds()
        tested.allow(hold, 3)
        assert tested.client.read() == "ONE"
        tested.client.write("two")
        tested.dropped(hold)
        assert tested.server.received == ["one"]
        tested.allow(hold, 6)
        assert tested.client.read() == "TWO"
        written = [r for r in tested.kernel.all() if isinstance(r, TlsData) and not r.direction]
        assert [(r.position, r.data) for r in written] == [(0, b"one"), (3, b"two")]
        assert len(tested.holds()) == 1


def test_what_is_denied_never_leaves_though_its_time_is_over(tmp_path: Path) -> None:
    with bed(tmp_path, seconds=0.2, fails_open=True) as tested:
        tested.client.write("one")
        (hold,) = tested.holds()
        tested.kernel.hold.deny(hold.cookie)
        for _ in range(2):  # the second time its time has passed
            tested.dropped(hold)
        maps = tested.kernel.hold.kept[1:]
        ((connection, pid),) = undecided(*maps)
        assert pid == tested.client.process.pid
        assert destroy(connection, pid).result == "done"
        assert tested.client.read() == "ended"
        assert tested.server.received == []
        assert tested.kernel.hold.look(hold.cookie).passed == 0


def test_without_a_decision_it_passes_in_time_where_that_was_chosen(tmp_path: Path) -> None:
    with bed(tmp_path, seconds=0.2, fails_open=True) as tested:
        tested.client.write("one")
        (hold,) = tested.holds()
        assert tested.client.read() == "ONE"
        assert tested.kernel.hold.look(hold.cookie).passed > 0


def test_without_a_decision_it_stays_where_that_was_chosen(tmp_path: Path) -> None:
    with bed(tmp_path, seconds=0.2) as tested:
        tested.client.write("one")
        (hold,) = tested.holds()
        for _ in range(3):
            tested.dropped(hold)
        assert tested.server.received == []
        assert tested.kernel.hold.look(hold.cookie).passed == 0


def test_connections_to_other_hosts_are_not_held(tmp_path: Path) -> None:
    with bed(tmp_path, name="www.example.com") as tested:
        tested.client.write("one")
        assert tested.client.read() == "ONE"
        assert not [r for r in tested.kernel.all() if isinstance(r, TlsHold)]
        assert tested.kernel.programs.shared.lost() == {}


def test_each_host_of_the_table_is_held_and_no_other(tmp_path: Path) -> None:
    hosts = [host.replace("*", "some-name") for host in DEFAULT_OPTIONS.providers.hosts]
    others = [
        *("www.example.com", "notapi.openai.com.example", "api.openai.com.evil.example", "com"),
        *("s3.us-east-1.amazonaws.com", "www.googleapis.com", "bedrock-runtime.example.com", "x"),
    ]
    script = "for n, host in enumerate({}): name(n, host.encode()); then(1); write(n, b'x')"
    with watched(best_way(probe()), tmp_path, hold_seconds=LONG) as kernel:
        kernel.hold.hold_names(DEFAULT_OPTIONS.providers.hosts)
        kernel.run(script.format([*hosts, "API.OpenAI.com"]))
        # These objects have no random, so that no socket is found: each is counted.
        held = {LostPlace.UNHELD: len(hosts) + 1}
        assert kernel.programs.shared.lost() == held
        kernel.run(script.format(others))
        assert kernel.programs.shared.lost() == held
        kernel.hold.hold_names(["x", "*.example.com"])
        kernel.run(script.format(["x", "www.example.com", "xx", "x.org"]))
        assert kernel.programs.shared.lost() == {LostPlace.UNHELD: len(hosts) + 3}


def test_nothing_is_held_when_the_program_is_gone(tmp_path: Path) -> None:
    with bed(tmp_path) as tested:
        tested.client.write("one")
        (hold,) = tested.holds()
        tested.kernel.hold.detach()
        assert tested.sockets.flush(tested.client.process.pid, hold.cookie)
        assert tested.client.read() == "ONE"


def test_a_thousand_connections_are_held_at_once_and_each_is_decided_alone(
    tmp_path: Path,
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = 1000
    with bed(tmp_path, count=count) as tested:
        for number in range(count):
            tested.client.write(f"{number:04}", number)
        holds = tested.holds(count)
        assert len(undecided(*tested.kernel.hold.kept[1:])) == count
        told = {r.key: r.data.decode() for r in tested.kernel.data()}
        assert tested.server.received == []
        allowed = {told[hold.key] for hold in holds if int(told[hold.key]) % 2}
        for hold in holds:
            if told[hold.key] in allowed:
                tested.allow(hold, 4)
            else:
                tested.kernel.hold.deny(hold.cookie)
        until(lambda: len(tested.server.received) == count // 2, "half of them arrive")
        assert set(tested.server.received) == allowed
        assert tested.kernel.programs.shared.lost() == {}
