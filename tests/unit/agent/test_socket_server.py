"""The monitor's socket and its client, over a real Unix socket; the monitor is a double."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busted.agent import socket_client
from busted.agent.content import ContentFilter
from busted.agent.local_socket import parse
from busted.agent.socket_client import NoMonitor, SocketError
from busted.agent.socket_messages import Asker, Control, EventsRequest, IdentitiesRequest
from busted.agent.socket_server import Access, Limits, SocketServer
from busted.events import Event, to_json
from busted.sinks.channel import WrongOutput
from busted.sinks.history import History
from busted.sinks.history_query import Filter
from busted.sinks.recent import Recent
from tests.e2e.deadline import until
from tests.requirements import require
from tests.unit.sinks.samples import PROMPT, RESPONSE, TOOL_CALL, event

KEY = b"k" * 32
DEADLINE = 30.0


class Double:
    """Answers as a monitor would."""

    def status(self) -> bytes:
        return b'{"version":"1"}'

    def identities(self, request: IdentitiesRequest) -> list[bytes]:
        if request.identity == "nobody":
            raise ValueError("no identity in memory is called 'nobody'")
        return [b'{"id":"1"}', b'{"id":"2"}']

    def reveal(self, event: str, asker: Asker) -> bytes:
        raise PermissionError("nothing is shown")

    def coverage(self) -> list[bytes]:
        return [b'{"pid":1}']


def at_once(call: Callable[[], object]) -> object:
    return call()


def made(number: int, action: Any = PROMPT) -> Event:
    return msgspec.structs.replace(event(action), id=f"{number:026}")


def put(recent: Recent, *events: Event) -> None:
    for one in events:
        recent.put(one.id, to_json(one))


class Served:
    """A server, what it gives, and how to ask it."""

    def __init__(self, directory: Path, recent: Recent | None = None, **options: Any) -> None:
        self.recent = recent or Recent()
        self.path = directory / "run" / "busted.sock"
        options.setdefault("level", "redacted")
        options.setdefault("ask", at_once)
        self.server = SocketServer(
            self.path,
            self.recent,
            options.pop("answers", None) or Double(),
            show=lambda level: ContentFilter(level, KEY),
            **options,
        )

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(DEADLINE)
        connection.connect(str(self.path))
        return connection

    def said(self, raw: bytes) -> list[Any]:
        """All lines that the answer to some bytes has, until the end."""
        with self.connect() as connection:
            with contextlib.suppress(OSError):  # it may have been answered, and let go, before
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as lines:
                return [json.loads(line) for line in lines]


@contextmanager
def serve(directory: Path, **options: Any) -> Iterator[Served]:
    served = Served(directory, **options)
    with closing(served.server):
        yield served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(tmp_path) as served:
        yield served


def ids(lines: Iterator[bytes | Control]) -> Iterator[int | str]:
    """The numbers of events, and the words of control lines."""
    for line in lines:
        yield line.control if isinstance(line, Control) else int(json.loads(line)["id"])


def test_the_last_come_first_and_then_those_that_happen(served: Served) -> None:
    put(served.recent, *(made(n) for n in range(5)))
    with socket_client.following(served.path, EventsRequest(last=2)) as lines:
        told = ids(lines)
        assert [next(told) for _ in range(3)] == [3, 4, "live"]
        put(served.recent, made(5))
        assert next(told) == 5


def test_an_event_is_the_line_that_standard_output_has(served: Served) -> None:
    put(served.recent, made(1))
    with socket_client.following(served.path, EventsRequest(last=1)) as lines:
        assert next(lines) == to_json(made(1))


def test_a_filter_holds_before_and_after(served: Served) -> None:
    put(served.recent, made(1), made(2, TOOL_CALL), made(3))
    wanted = Filter(type="ToolCall")
    with socket_client.following(served.path, EventsRequest(10, wanted)) as lines:
        told = ids(lines)
        assert [next(told), next(told)] == [2, "live"]
        put(served.recent, made(4), made(5, TOOL_CALL))
        assert next(told) == 5


def test_a_lower_level_is_given_and_a_higher_one_is_not(served: Served) -> None:
    put(served.recent, made(1))
    for asked, text in (("none", None), ("full", PROMPT.user_message)):
        request = EventsRequest(1, content=asked)  # type: ignore[arg-type]
        with socket_client.following(served.path, request) as lines:
            first = next(lines)
            assert isinstance(first, bytes)
            assert json.loads(first)["action"].get("user_message") == text


def test_a_history_at_a_higher_level_is_lowered(tmp_path: Path) -> None:
    said = f"write to {'anna' + '@' + 'example.org'}"
    one = made(1, msgspec.structs.replace(PROMPT, user_message=said, messages=()))
    with closing(History(tmp_path / "history.db")) as history:
        history.add([one])
    with (
        serve(tmp_path, history=tmp_path / "history.db") as served,
        socket_client.following(served.path, EventsRequest(1)) as lines,
    ):
        first = next(lines)
        assert isinstance(first, bytes)
        assert "<email:" in json.loads(first)["action"]["user_message"]


def test_the_history_has_what_is_no_more_in_memory_and_nothing_comes_twice(tmp_path: Path) -> None:
    events = [made(n) for n in range(8)]
    with closing(History(tmp_path / "history.db")) as history:
        history.add(events)  # a history is late, or as far as memory
    recent = Recent(max_events=3)
    put(recent, *events, made(8))
    with (
        serve(tmp_path, recent=recent, history=tmp_path / "history.db") as served,
        socket_client.following(served.path, EventsRequest(6)) as lines,
    ):
        told = ids(lines)
        assert [next(told) for _ in range(7)] == [3, 4, 5, 6, 7, 8, "live"]


def test_a_history_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    with serve(tmp_path, history=tmp_path / "none.db") as served:
        put(served.recent, made(1))
        with socket_client.following(served.path, EventsRequest(5)) as lines:
            told = ids(lines)
            assert [next(told), next(told)] == [1, "live"]
        assert served.server.counts["history"] == 1


def test_status_and_identities_are_what_the_monitor_says(served: Served) -> None:
    assert socket_client.status(served.path) == b'{"version":"1"}'
    found = socket_client.identities(served.path, IdentitiesRequest())
    assert found == [b'{"id":"1"}', b'{"id":"2"}']
    with pytest.raises(SocketError, match="nobody"):
        socket_client.identities(served.path, IdentitiesRequest("nobody"))


def test_coverage_is_what_the_monitor_says_and_nothing_else_is_asked_with_it(
    served: Served,
) -> None:
    assert socket_client.coverage(served.path) == [b'{"pid":1}']
    (refused,) = served.said(b'{"coverage":{},"status":{}}\n')
    assert "`coverage`" in refused["why"]


def test_a_connection_may_ask_more_than_once(served: Served) -> None:
    told = served.said(b'{"status":{}}\n{"status":{}}\n')
    assert told == [{"version": "1"}, {"version": "1"}]


def test_a_long_answer_is_whole_though_who_asked_has_nothing_more_to_say(served: Served) -> None:
    # More than the buffers of a socket, read once all of it was written.
    told = served.said(b'{"status":{}}\n' * 4000 + b'{"identities":{}}\n' * 4000)
    assert len(told) == 4000 + 3 * 4000


def test_a_monitor_that_does_not_answer_is_told(tmp_path: Path) -> None:
    limits = Limits(answer_seconds=0.05)
    with (
        serve(tmp_path, ask=lambda call: None, limits=limits) as served,
        pytest.raises(SocketError, match="busy"),
    ):
        socket_client.status(served.path)


@pytest.mark.parametrize(
    "raw",
    [
        b"\n",
        b"hello\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"{}\n",
        b'{"events":{},"status":{}}\n',
        b'{"events":{"last":-1}}\n',
        b'{"events":{"last":1000000}}\n',
        b'{"events":{"filter":{"colour":"red"}}}\n',
        b'{"events":{"content":"all"}}\n',
        b'{"unknown":{}}\n',
        b"[" * 60_000 + b"\n",
    ],
    ids=range(13),
)
def test_what_is_no_request_is_answered_counted_and_ended(served: Served, raw: bytes) -> None:
    (told,) = served.said(raw)
    assert told["control"] == "error"
    assert served.server.counts["requests"] == 1
    assert socket_client.status(served.path)


def test_a_giant_line_is_refused_before_its_end(served: Served) -> None:
    with served.connect() as connection, connection.makefile("rb") as lines:
        with pytest.raises(OSError):
            while True:
                connection.sendall(b"x" * 65536)
        assert json.loads(lines.readline())["control"] == "error"


def test_who_says_nothing_or_half_a_line_is_let_go(tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(request_seconds=0.05)) as served:
        for raw in (b"", b'{"status"'):
            with served.connect() as connection, contextlib.suppress(ConnectionError):
                connection.sendall(raw)
                assert connection.recv(100) == b""
        until(lambda: served.server.clients == 0, "both are let go")


def test_a_hundred_connections_are_too_many_and_the_others_are_answered(tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(clients=4)) as served:
        held = [served.connect() for _ in range(4)]
        try:
            until(lambda: served.server.clients == 4, "all are served")
            for _ in range(100):
                (told,) = served.said(b"")
                assert "too many" in told["why"]
            assert served.server.counts["clients"] == 100
            held[0].sendall(b'{"status":{}}\n')
            assert b"version" in held[0].recv(1000)
        finally:
            for connection in held:
                connection.close()
        until(lambda: served.server.clients == 0, "all are let go")
        assert socket_client.status(served.path)


def test_a_slow_reader_is_told_what_it_missed_and_let_go_and_others_are_not(tmp_path: Path) -> None:
    recent = Recent(max_events=50)
    large = msgspec.structs.replace(RESPONSE, text="x" * 50_000)
    with (
        serve(tmp_path, recent=recent) as served,
        socket_client.following(served.path, EventsRequest()) as slow,
        socket_client.following(served.path, EventsRequest()) as fast,
    ):
        assert [next(ids(slow)), next(ids(fast))] == ["live", "live"]
        sent = 500
        received: list[int | str] = []
        for number in range(sent):
            put(recent, made(number, large))
            received.append(next(ids(fast)))
        assert received == list(range(sent))
        *read, last = slow
        assert isinstance(last, Control)
        assert last.control == "dropped"
        assert last.count
        # What it got is without a hole, and the hole is where it was told.
        assert list(ids(iter(read))) == list(range(len(read)))
        assert len(read) + last.count <= sent
        assert served.server.counts["dropped"] == 1


def test_putting_never_waits_for_who_does_not_read(tmp_path: Path) -> None:
    recent = Recent(max_events=10)
    large = made(1, msgspec.structs.replace(RESPONSE, text="x" * 100_000))
    with serve(tmp_path, recent=recent) as served:
        connections = [served.connect() for _ in range(20)]
        try:
            for connection in connections:
                connection.sendall(b'{"events":{}}\n')
            until(lambda: served.server.clients == 20, "all follow")
            done = threading.Event()

            def fill() -> None:
                for _ in range(2000):
                    put(recent, large)
                done.set()

            threading.Thread(target=fill, daemon=True).start()
            assert done.wait(DEADLINE)
        finally:
            for connection in connections:
                connection.close()


def test_when_nothing_happens_a_ping_says_that_it_is_there(tmp_path: Path) -> None:
    with (
        serve(tmp_path, limits=Limits(ping_seconds=0.05)) as served,
        served.connect() as connection,
        connection.makefile("rb") as lines,
    ):
        connection.sendall(b'{"events":{}}\n')
        assert [json.loads(lines.readline())["control"] for _ in range(3)] == [
            *("live", "ping", "ping")
        ]


def test_at_the_end_followers_get_what_is_left_and_are_told(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        with socket_client.following(served.path, EventsRequest()) as lines:
            assert next(ids(lines)) == "live"
            put(served.recent, made(1))
            served.server.close()
            assert list(ids(lines)) == [1, "end"]
        assert not served.path.exists()


def test_only_its_owner_may_connect(served: Served) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600


def test_who_was_not_named_is_not_answered(tmp_path: Path) -> None:
    require("root")
    tmp_path.chmod(0o755)
    for directory in tmp_path.parents[:2]:
        directory.chmod(0o755)
    code = (
        "import os, socket, sys; os.setgroups([4242]); os.setgid(4343); os.setuid(4444);"
        "c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]);"
        "sent = c.send(b'{\"status\":{}}\\n') if sys.argv[2] == 'True' else 0;"
        "print(c.recv(1000).decode())"
    )
    for access, answered in (
        (Access(uids=frozenset({5})), False),
        (Access(uids=frozenset({4444})), True),
        (Access(gids=frozenset({4343})), True),
        (Access(gids=frozenset({4242})), True),
        (Access(gids=frozenset({1})), False),
    ):
        with serve(tmp_path, access=access) as served:
            done = subprocess.run(
                [sys.executable, "-c", code, str(served.path), str(answered)],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            assert ("version" in done.stdout) is answered
            assert ("may not ask" in done.stdout) is not answered


def test_a_socket_that_was_left_behind_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run" / "busted.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serve(tmp_path) as served:
        assert socket_client.status(served.path)
        with pytest.raises(WrongOutput, match="in use"):
            Served(tmp_path)
        assert socket_client.status(served.path)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "busted.sock"
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(WrongOutput, match="exists"):
        Served(tmp_path)
    assert path.read_text() == "precious"


def test_where_no_monitor_listens_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoMonitor, match="--socket"):
        socket_client.status(tmp_path / "none.sock")
    assert not socket_client.is_there(tmp_path / "none.sock")


def test_who_may_ask_is_written_as_settings() -> None:
    found = parse("/run/x.sock?uids=1000,root&gids=5")
    assert found.path == Path("/run/x.sock")
    assert found.access == Access(frozenset({0, 1000}), frozenset({5}))
    for wrong in ("", "/x?colour=red", "/x?uids=nobody-is-called-so", "/x?uids"):
        with pytest.raises(WrongOutput):
            parse(wrong)


def test_the_clients_of_a_server_that_is_gone_are_told(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        with pytest.raises(SocketError, match="no answer"):
            socket_client.status(path)


def test_the_socket_is_where_systemd_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from busted.agent.socket_messages import default_socket

    assert default_socket() == Path("/run/busted/busted.sock") or os.environ["RUNTIME_DIRECTORY"]
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/other:/run/more")
    assert default_socket() == Path("/run/other/busted.sock")
