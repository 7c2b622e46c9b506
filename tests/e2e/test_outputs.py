"""Outputs of the locked-down monitor: all work, and an outage and a kill cost nothing spooled."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from busted.sinks.history_query import Filter, HistoryReader
from tests.e2e.bed import Bed
from tests.e2e.deadline import until
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Event, Monitor
from tests.outputs.test_kafka import broker, consumed
from tests.outputs.test_nats import Nats
from tests.outputs.test_syslog import Rsyslog
from tests.requirements import require


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


class Receiver:
    """A web server over TLS that keeps the events it is sent."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.ca = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self.events: list[Event] = []
        self.port = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        events = self.events

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events.extend(map(json.loads, body.splitlines()))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", self.port), Handler) as server:
            self.port = server.server_port
            server.socket = self._context.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()

    def of(self, pid: int) -> list[Event]:
        """What a process exchanged, as `Monitor.of` has it."""
        return [
            event
            for event in tuple(self.events)
            if event["process"]["pid"] == pid and "exchange_id" in event
        ]


def test_a_locked_down_monitor_delivers_over_an_outage_and_a_kill(
    test_bed: Bed, tmp_path: Path
) -> None:
    receiver, lines = Receiver(tmp_path), tmp_path / "events.jsonl"
    with receiver.running():
        pass  # its port is known now, and nobody is there
    options = (
        *("--output", "stdout"),
        *("--output", f"file:{lines}?content=none&batch_seconds=0.05"),
        "--output",
        f"webhook:https://127.0.0.1:{receiver.port}/?spool={tmp_path / 'spool'}"
        f"&ca_file={receiver.ca}&batch_seconds=0.05",
    )
    with Monitor(*options) as monitor:
        first = test_bed.ask("curl_openai", PROMPT)
        shown = monitor.wait_for(first.pid, "Response")
        wanted = {event["id"] for event in shown}
        until(lambda: wanted <= ids(lines), "the file has them")
        until(lambda: all(id in spooled(tmp_path / "spool") for id in wanted), "they are spooled")
        monitor.process.kill()
        monitor.wait()
    assert receiver.of(first.pid) == []

    with receiver.running(), Monitor(*options) as monitor:
        second = test_bed.ask("curl_openai", PROMPT)
        monitor.wait_for(second.pid, "Response")
        until(lambda: len(receiver.of(second.pid)) >= 2, "the webhook has them")
        assert monitor.stop() == 130
        assert monitor.lost == {}
        assert monitor.of(second.pid) == receiver.of(second.pid)
    assert receiver.of(first.pid) == shown
    without = [json.loads(line) for line in lines.read_text().splitlines()]
    prompts = [e["action"] for e in without if e["action"]["type"] == "Prompt"]
    assert len(prompts) == 2
    assert all("user_message" not in prompt for prompt in prompts)


def test_figures_and_the_history_tell_what_was_said(test_bed: Bed, tmp_path: Path) -> None:
    history, token = tmp_path / "history.db", tmp_path / "token"
    token.write_text("a-token-of-the-test")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--output", "stdout", "--output", f"history:{history}?batch_seconds=0.05")
    served = ("--metrics", f"127.0.0.1:{port}", "--metrics-token-file", token)
    with Monitor(*options, *map(str, served)) as monitor:
        asked = test_bed.ask("curl_openai", PROMPT)
        shown = monitor.wait_for(asked.pid, "Response")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics",
            headers={"Authorization": f"Bearer {token.read_text()}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            figures = answer.read().decode()
        assert 'busted_events_total{provider="openai",type="Prompt"} 1.0' in figures
        assert 'busted_queued{sink="history"}' in figures
        assert monitor.stop() == 130
        assert monitor.lost == {}
    with closing(HistoryReader(history)) as reader:
        kept = reader.last(Filter(pid=asked.pid, text="grüße 世界", type="Prompt"), 10)
        every = reader.last(Filter(pid=asked.pid), 10)
    assert [event.id for event in kept] == [shown[0]["id"]]
    assert {event["id"] for event in shown} <= {event.id for event in every}


def test_every_protocol_works_once_the_monitor_is_locked_down(
    test_bed: Bed, tmp_path: Path
) -> None:
    require("nats", "rsyslog")
    (tmp_path / "rsyslog").mkdir()
    stream, log = Nats(tmp_path), Rsyslog(tmp_path / "rsyslog", "tls")
    with broker() as cluster, stream.running(), log.running():
        asyncio.run(stream.add_stream())
        spool = f"spool={tmp_path / 'spool'}&batch_seconds=0.05"
        targets = (
            f"kafka:{cluster}?{spool}",
            f"nats:{stream.url}?{spool}",
            f"syslog:tls://127.0.0.1:{log.port}?ca_file={log.ca}&{spool}",
        )
        outputs = (part for target in ("stdout", *targets) for part in ("--output", target))
        with Monitor(*outputs) as monitor:
            done = test_bed.ask("curl_openai", PROMPT)
            wanted = {event["id"] for event in monitor.wait_for(done.pid, "Response")}
            assert monitor.stop() == 130
            assert monitor.lost == {}
        assert wanted <= {id for id, _ in asyncio.run(stream.messages())}
        until(lambda: wanted <= {json.loads(m)["id"] for m in log.messages()}, "syslog has them")
        everything = len({event["id"] for event in monitor.events})
        assert wanted <= {key.decode() for key, _ in consumed(cluster, everything)}


def ids(lines: Path) -> set[str]:
    return {json.loads(line)["id"] for line in lines.read_text().splitlines()}


def spooled(directory: Path) -> str:
    """All that is in the spool and its log, which another process has locked."""
    return "".join(path.read_bytes().decode("latin-1") for path in directory.iterdir())
