"""How much of each connection is read, with real clients: what is not is said, with the reason."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.answers import expected_answer
from tests.e2e.bed import CLIENTS, HERE, Bed, python, start_until_ready
from tests.e2e.examples import PROMPT
from tests.e2e.http3_server import ANSWER
from tests.e2e.monitor import Monitor, busted
from tests.e2e.test_stacks import question
from tests.requirements import require

PURE_PYTHON = python("tlslite_chat")
HTTP3 = python("http3_chat")


@pytest.fixture(scope="module")
def watched(test_bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A monitor that can be asked, and that makes a recording."""
    require("e2e")
    directory = tmp_path_factory.mktemp("coverage")
    socket, recording = directory / "sock", directory / "recording"
    with Monitor("--socket", str(socket), "--record", str(recording)) as monitor:
        yield Watched(monitor, socket, recording)


@pytest.fixture(scope="module")
def http3(test_bed: Bed) -> Bed:
    """The bed with a provider that speaks HTTP/3, too."""
    certificate = str(test_bed.directory / "server.pem")
    command = [sys.executable, "-m", "tests.e2e.http3_server", "--certificate", certificate]
    start_until_ready(test_bed.sandbox, command)
    return test_bed


class Watched:
    """A monitor, where it listens, and what it records."""

    def __init__(self, monitor: Monitor, socket: Path, recording: Path) -> None:
        self.monitor, self.socket, self.recording = monitor, socket, recording

    def rows(self, pid: int) -> list[dict[str, Any]]:
        """What `busted coverage` says of the connections of a process."""
        return rows(pid, "--socket", str(self.socket))


def rows(pid: int, *arguments: str) -> list[dict[str, Any]]:
    done = busted("coverage", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [row for line in done.stdout.splitlines() if (row := json.loads(line))["pid"] == pid]


def told(monitor: Monitor, pid: int) -> list[dict[str, Any]]:
    return [event for event in monitor.of(pid, "Coverage") if "connection" in event["action"]]


def test_a_client_whose_tls_nobody_can_probe_is_told_opaque_and_curl_is_decoded(
    watched: Watched, test_bed: Bed
) -> None:
    monitor = watched.monitor
    opaque = test_bed.sandbox.run(PURE_PYTHON(PROMPT))
    assert opaque.code == 0, opaque.stderr
    read = test_bed.sandbox.run(CLIENTS["curl_openai"].command(PROMPT))
    monitor.wait_for(read.pid, "Response")
    monitor.wait_until(lambda: bool(told(monitor, opaque.pid)), "what was not read")

    (event,) = told(monitor, opaque.pid)
    coverage = event["action"]["connection"]
    assert coverage["state"] == "opaque"
    assert coverage["reason"] in ("unknown_stack", "hook_silent")
    assert (coverage["name"], coverage["provider"]) == ("api.openai.com", "openai")
    assert "decoded_sent" not in coverage
    assert coverage["wire_sent"] > len(PROMPT)
    assert coverage["wire_received"] > 0
    assert event["process"]["exe"]
    assert event["connection"]["dst_port"] == 443

    (row,) = watched.rows(opaque.pid)
    assert row["coverage"] == coverage
    (row,) = watched.rows(read.pid)
    assert row["coverage"]["state"] == "decoded"
    assert row["coverage"]["decoded_sent"] > len(PROMPT)
    assert told(monitor, read.pid) == []


def test_a_java_client_is_told_opaque_with_its_stack(watched: Watched, test_bed: Bed) -> None:
    require("java")
    monitor = watched.monitor
    finished = test_bed.sandbox.run(["java", str(HERE / "JavaChat.java"), question(PROMPT)])
    assert finished.code == 0, finished.stderr
    assert json.loads(finished.stdout)["choices"][0]["message"]["content"] == expected_answer(
        PROMPT
    )
    monitor.wait_until(lambda: bool(told(monitor, finished.pid)), "what was not read")

    (event,) = told(monitor, finished.pid)
    coverage = event["action"]["connection"]
    assert (coverage["state"], coverage["reason"]) == ("opaque", "no_hook")
    assert coverage["stack"] == "java_jsse"
    assert coverage["library"].endswith("/libjvm.so")
    assert (coverage["name"], coverage["provider"]) == ("api.openai.com", "openai")
    (row,) = watched.rows(finished.pid)
    assert row["coverage"] == coverage


def test_http3_is_told_opaque_with_the_host_and_nothing_is_made_up_of_it(
    watched: Watched, http3: Bed
) -> None:
    monitor = watched.monitor
    finished = http3.sandbox.run(HTTP3("api.openai.com", PROMPT))
    assert finished.stdout.decode().strip() == ANSWER, finished.stderr
    monitor.wait_until(lambda: bool(told(monitor, finished.pid)), "what was not read")

    (event,) = told(monitor, finished.pid)
    coverage = event["action"]["connection"]
    assert (coverage["state"], coverage["reason"]) == ("opaque", "quic")
    assert coverage["stack"] == "http3"
    assert (coverage["name"], coverage["provider"]) == ("api.openai.com", "openai")
    # Datagrams are filled up, and the handshake's are most of it.
    assert coverage["wire_sent"] > 1200 + len(PROMPT)
    assert coverage["wire_received"] > 1200
    assert event["process"]["exe"]
    connection = event["connection"]
    assert (connection["transport"], connection["dst_port"]) == ("udp", 443)
    assert connection["dst_ip"] == "127.0.0.1"
    assert connection["sni"] == "api.openai.com"

    operations = [one["action"]["operation"] for one in monitor.of(finished.pid, "Network")]
    assert operations == ["connect", "close"]
    assert monitor.of(finished.pid) == []
    (row,) = watched.rows(finished.pid)
    assert row["coverage"] == coverage


def test_http3_to_a_host_of_no_provider_is_not_told(watched: Watched, http3: Bed) -> None:
    monitor = watched.monitor
    other = http3.sandbox.run(HTTP3("www.example.com", PROMPT))
    assert other.stdout.decode().strip() == ANSWER, other.stderr
    # What came before it is told by then.
    after = http3.sandbox.run(HTTP3("api.anthropic.com", PROMPT))
    monitor.wait_until(lambda: bool(told(monitor, after.pid)), "what was not read")
    assert [one for one in monitor.events if one["process"]["pid"] == other.pid] == []
    assert watched.rows(other.pid) == []


@pytest.mark.parametrize("name", ["openai_stream", "openai_async", "anthropic_sync"])
def test_all_connections_of_clients_that_are_read_are_decoded(
    watched: Watched, test_bed: Bed, name: str
) -> None:
    prompts = [f"{i}: {PROMPT}" for i in range(10)]
    finished = test_bed.ask(name, *prompts)
    watched.monitor.wait_for(finished.pid, "Response", len(prompts))
    watched.monitor.wait_until(
        lambda: all("open" not in row for row in watched.rows(finished.pid)), "its end"
    )
    found = watched.rows(finished.pid)
    assert found
    assert {row["coverage"]["state"] for row in found} == {"decoded"}, found


def test_a_recording_says_the_same_as_the_monitor_that_made_it(watched: Watched) -> None:
    """Stands last: the monitor ends here."""
    monitor = watched.monitor
    before = busted("coverage", "--socket", str(watched.socket), "--json").stdout
    assert monitor.stop() == 130, monitor.stderr
    assert busted("coverage", str(watched.recording), "--json").stdout == before
