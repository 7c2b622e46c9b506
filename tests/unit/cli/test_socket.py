"""`busted status`, `tail`, `identities` and `serve`: what they ask a monitor, and what they say."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from busted.agent.identities import Told
from busted.agent.socket_messages import IdentitiesRequest
from busted.agent.status import KernelStatus, PolicyStatus, SocketStatus, Status
from busted.cli.main import main
from busted.events import Library, to_json
from busted.sinks.delivery import Figures
from busted.sinks.metric_sources import ProgramRuns
from tests.e2e.deadline import until
from tests.unit.agent import test_socket_server
from tests.unit.agent.test_socket_server import Served, made, put, serve
from tests.unit.cli.command import DEADLINE, run, start
from tests.unit.sinks.samples import TOOL_CALL

STATUS = Status(
    version="1.2.3",
    host="here",
    started="2026-11-22T14:00:00Z",
    libraries=(Library(path="/lib/libssl.so.3", kind="openssl", processes=2),),
    unreadable={"/lib/evil\x1b[2Jso": "Permission denied"},
    left_out={"names": "no cgroups"},
    lost={"ring_full": 1234},
    kernel=KernelStatus("6.18", "session", "ring", 0.25, {"BTF": "yes"}),
    programs=(ProgramRuns("tls_write", 4, 2e-6),),
    identities=3,
    policy=PolicyStatus("/etc/p", "audit", "off", {"decisions": 9}, refused="p.rego:1: broken"),
    outputs={"otlp": Figures(0, 9, 5, 4, {"spool_full": 1}, spooled=3, lag=60.0)},
    socket=SocketStatus(2, {"peers": 1}),
)


class Answers:
    def status(self) -> bytes:
        return msgspec.json.encode(STATUS)

    def identities(self, request: IdentitiesRequest) -> list[bytes]:
        told = Told("abc123", "codex", "2026-11-22T14:00:00Z", "2026-11-22T15:00:00Z", "It asks.")
        if request.identity not in (None, "codex"):
            raise ValueError(f"no identity in memory is called {request.identity!r}")
        return [msgspec.json.encode(told)]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(test_socket_server, "Double", Answers)
    with serve(tmp_path) as served:
        yield served


def busted(command: str, served: Served, *arguments: str) -> Result:
    line = [command, "--socket", str(served.path), *arguments]
    return CliRunner().invoke(main, line, prog_name="busted")


def test_status_says_all_that_matters_and_steers_no_terminal(served: Served) -> None:
    done = busted("status", served)
    assert done.exit_code == 0
    for part in (
        "1.2.3 on here",
        "ring buffer (25% full)",
        "lost: ring_full 1,234",
        "output otlp: 5 delivered, 4 waiting (3 on disk, the oldest for 60 s), lost spool_full 1",
        "policy: a change is not taken on: p.rego:1: broken",
        "socket: 2 clients; refused peers 1",
        "program tls_write: 4 runs, 500 ns each",
        "left out: names: no cgroups",
    ):
        assert part in done.stdout
    assert "\x1b" not in done.stdout


def test_status_is_json_for_programs(served: Served) -> None:
    told = busted("status", served, "--json").stdout
    assert msgspec.json.decode(told, type=Status) == STATUS


def test_without_a_monitor_they_end_with_3_and_say_what_to_do(tmp_path: Path) -> None:
    for command in ("status", "identities"):
        done = run(command, "--socket", tmp_path / "none.sock")
        assert done.returncode == 3
        assert b"busted monitor --socket" in done.stderr
        assert b"Traceback" not in done.stderr


def test_identities_are_those_in_the_monitors_memory(served: Served) -> None:
    assert "codex" in busted("identities", served).stdout
    assert json.loads(busted("identities", served, "codex", "--format", "json").stdout)["id"]
    unknown = busted("identities", served, "nobody")
    assert unknown.exit_code == 1
    assert "nobody" in unknown.stderr
    forget = busted("identities", served, "codex", "--forget")
    assert forget.exit_code == 2
    assert "--store" in forget.stderr


def test_tail_prints_what_was_and_what_happens_of_the_monitor(served: Served) -> None:
    put(served.recent, *(made(n) for n in range(3)), made(3, TOOL_CALL))
    tail = start("tail", "--socket", served.path, "--format", "json", "--type", "ToolCall")
    try:
        assert tail.stdout and tail.stderr
        assert json.loads(tail.stdout.readline()) == json.loads(to_json(made(3, TOOL_CALL)))
        put(served.recent, made(4), made(5, TOOL_CALL))
        assert json.loads(tail.stdout.readline())["id"] == made(5).id
        served.server.close()
        rest, complaint = tail.communicate(timeout=DEADLINE)
        assert (rest, tail.returncode) == (b"", 0)
        assert b"the monitor ended" in complaint
    finally:
        tail.kill()
        tail.communicate()


def test_tail_reads_the_history_where_no_monitor_listens(tmp_path: Path) -> None:
    done = run("tail", "--socket", tmp_path / "no.sock")
    assert done.returncode == 1
    assert b"history" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--listen", "0.0.0.0:8477"), "needs --token-file"),
        (("--listen", "nowhere"), "ADDRESS:PORT"),
        (("--token-file", "/nothing/there"), "token_file"),
    ],
)
def test_serving_for_strangers_is_a_mistake_in_use(
    arguments: tuple[str, ...], complaint: str
) -> None:
    done = CliRunner().invoke(main, ["serve", *arguments], prog_name="busted")
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_without_its_extra_serve_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = CliRunner().invoke(main, ["serve"], prog_name="busted")
    assert done.exit_code == 3
    assert "pip install 'busted[ui]'" in done.stderr


def test_serve_ends_when_it_is_told_to(served: Served) -> None:
    server = start("serve", "--listen", "127.0.0.1:0", "--socket", served.path)
    try:
        assert server.stderr
        assert b"serving on http://127.0.0.1:" in server.stderr.readline()
        until(lambda: served.server.clients == 1, "it follows")
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=DEADLINE)
        assert server.returncode in (0, 130)
    finally:
        server.kill()
        server.communicate()
