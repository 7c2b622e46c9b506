"""A real, locked-down monitor, asked by the commands that people use while an agent works."""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from busted.agent import socket_client
from busted.agent.socket_messages import RevealRequest
from tests.e2e.bed import Bed, curl_after_a_slow_page
from tests.e2e.deadline import until
from tests.e2e.monitor import Monitor, busted
from tests.requirements import require
from tests.unit.cli.command import start


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e", "regorus")


def test_what_an_agent_says_is_told_over_the_socket_and_over_http(
    test_bed: Bed, tmp_path: Path
) -> None:
    sock, history = tmp_path / "run" / "busted.sock", tmp_path / "history.db"
    prompt = "What did the kernel see, please?"
    with Monitor(
        *("--socket", str(sock), "--output", "stdout", "--output", f"history:{history}"),
        *("--policy", "policies/default", "--bpf-stats"),
    ) as monitor:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        listen = f"127.0.0.1:{port}"
        server = start("serve", "--listen", listen, "--socket", sock, "--history", history)
        tail = start("tail", "--socket", sock, "--format", "json", "--type", "Response")
        try:
            until(lambda: follows(port), "the API follows")
            client = test_bed.sandbox.run(curl_after_a_slow_page(prompt))
            monitor.wait_for(client.pid, "Response")
            assert tail.stdout
            told = json.loads(tail.stdout.readline())
            until(lambda: bool(get(port, "/events?type=Response")["events"]), "it is kept")
            (kept,) = get(port, "/events?type=Response")["events"]
            exchange = get(port, f"/exchanges/{kept['exchange_id']}")["events"]
            health = get(port, "/health")["monitor"]
            status = busted("status", "--socket", str(sock))
            identities = busted("identities", "--socket", str(sock), "--format", "json")
            (printed,) = monitor.of(client.pid, "Response")
        finally:
            for process in (server, tail):
                process.terminate()
                process.communicate(timeout=30)
        assert monitor.stop() == 130, monitor.stderr
    assert monitor.lost == {}
    assert told == kept == printed
    (asked,) = [event["action"] for event in exchange if event["action"]["type"] == "Prompt"]
    assert asked["user_message"] == prompt
    assert health["content"] == "full"
    assert health["lost"] == {}
    assert health["outputs"]["history"]["lost"] == {}
    assert health["policy"]["counts"]["decisions"] > 0
    assert {p["name"] for p in health["programs"] if p["runs"]} >= {"process_exec"}
    assert status.returncode == 0
    assert "output history" in status.stdout
    assert identities.returncode == 0, identities.stderr
    assert [json.loads(line)["id"] for line in identities.stdout.splitlines()]
    assert not sock.exists()


def test_what_was_redacted_is_revealed_by_a_monitor_that_keeps_it_and_audited(
    test_bed: Bed, tmp_path: Path
) -> None:
    sock, audit = tmp_path / "run" / "busted.sock", tmp_path / "audit.log"
    address = "anna" + "@" + "example.org"
    with Monitor(
        *("--socket", str(sock), "--reveal", "100", "--audit-log", str(audit)), content="redacted"
    ) as monitor:
        client = test_bed.sandbox.run(curl_after_a_slow_page(f"Write to {address}."))
        monitor.wait_for(client.pid, "Response")
        (printed,) = monitor.of(client.pid, "Prompt")
        assert address not in json.dumps(printed)
        asked = RevealRequest(printed["id"], "a test")
        revealed = json.loads(socket_client.reveal(sock, asked))
        assert json.loads(socket_client.status(sock))["reveals"] is True
        assert monitor.stop() == 130, monitor.stderr
    assert revealed["action"]["user_message"] == f"Write to {address}."
    entries = [json.loads(line) for line in audit.read_text().splitlines()]
    (entry,) = [one for one in entries if one["type"] == "reveal"]
    assert (entry["event"], entry["by"]) == (printed["id"], "a test")
    assert (entry["uid"], entry["pid"]) == (os.geteuid(), os.getpid())
    assert address not in audit.read_text()
    assert busted("audit", "verify", str(audit)).returncode == 0


def follows(port: int) -> bool:
    try:
        return bool(get(port, "/health")["stream"]["connected"])
    except urllib.error.URLError:
        return False


def get(port: int, path: str) -> Any:
    url = f"http://127.0.0.1:{port}/api/v1{path}"
    with closing(urllib.request.urlopen(url, timeout=30)) as answer:
        return json.loads(answer.read())
