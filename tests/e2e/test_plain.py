"""What is said without TLS: to models on this host, and to MCP servers, by real clients."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.bed import CLIENTS, Bed
from tests.e2e.examples import PROMPT
from tests.e2e.mcp import mcp_command, mcp_server
from tests.e2e.monitor import Event, Monitor
from tests.e2e.sandbox import Finished
from tests.requirements import require

# Where Ollama listens, and a port that nobody knows.
KNOWN, UNKNOWN = 11434, 9080
NO_PROMPTS = """
package busted

import rego.v1

default decision := "allow"

decision := "deny" if input.action.type == "Prompt"
"""
CLIENTS_OF_OPENAI = ("openai_sync", "openai_async", "openai_stream", "node_openai")
CLIENTS_OF_OLLAMA = ("ollama", "ollama_stream", "ollama_generate", "ollama_generate_stream")


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e", "writable cgroups")


def ask(bed: Bed, client: str, port: int, prompt: str = PROMPT) -> Finished:
    """Have a client ask at a port without TLS."""
    finished = bed.ask(
        client,
        prompt,
        environment={
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "OLLAMA_HOST": f"http://localhost:{port}",
        },
    )
    assert finished.code == 0, finished.stderr
    return finished


def told(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return what was said: the kind of each action, and its text."""
    texts = {"Prompt": "user_message", "Response": "text"}
    actions = [event["action"] for event in events]
    return [(a["type"], a.get(texts.get(a["type"], ""), "")) for a in actions]


@pytest.mark.parametrize(
    ("client", "port"),
    [
        *((client, KNOWN) for client in (*CLIENTS_OF_OPENAI, *CLIENTS_OF_OLLAMA)),
        *((client, UNKNOWN) for client in ("openai_sync", "ollama")),
    ],
)
def test_a_prompt_and_its_answer_are_told_once_to_the_byte(
    test_bed: Bed, monitor: Monitor, client: str, port: int
) -> None:
    finished = ask(test_bed, client, port)
    events = monitor.wait_for(finished.pid, "Response")
    answer = json.loads(finished.stdout)
    assert told(events) == [("Prompt", PROMPT), ("Response", answer)]
    for event in events:
        connection = event["connection"]
        assert (connection["source"], connection["dst_port"]) == ("plain", port)
        assert "tls_library" not in connection
        assert event["process"]["argv"][-1] == PROMPT
    assert events[0]["action"].get("provider") == ("ollama" if port == KNOWN else None)
    assert events[0]["action"]["sdk"]["name"] == CLIENTS[client].sdk
    assert monitor.lost == {}


def test_a_prompt_of_megabytes_is_told_to_the_byte(test_bed: Bed, monitor: Monitor) -> None:
    prompt = "".join(f"{n:07}\n" for n in range(400_000))
    url = {"OPENAI_BASE_URL": f"http://127.0.0.1:{KNOWN}/v1"}
    finished = test_bed.ask("openai_sync", stdin=prompt.encode(), environment=url)
    events = monitor.wait_for(finished.pid, "Response")
    assert told(events) == [("Prompt", prompt), ("Response", json.loads(finished.stdout))]
    assert monitor.lost == {}


def test_other_http_is_not_told_and_costs_its_connection_nothing(
    test_bed: Bed, monitor: Monitor
) -> None:
    asks = "".join("c.request('GET', '/api/items'); c.getresponse().read()\n" for _ in range(20))
    script = f"import http.client\nc = http.client.HTTPConnection('127.0.0.1', {UNKNOWN})\n{asks}"
    finished = test_bed.sandbox.run([sys.executable, "-c", script])
    assert finished.code == 0, finished.stderr
    # What comes behind it was read behind it.
    asked = ask(test_bed, "openai_sync", KNOWN)
    monitor.wait_for(asked.pid, "Response")
    assert monitor.of(finished.pid) == []
    assert monitor.of(test_bed.provider_pid) == []
    assert monitor.lost == {}


def test_an_mcp_server_without_tls_is_read(test_bed: Bed, monitor: Monitor, tmp_path: Path) -> None:
    with mcp_server(test_bed, tmp_path, "--plain") as environment:
        finished = test_bed.sandbox.run(mcp_command("auto", "Oslo"), environment=environment)
        assert finished.code == 0, finished.stderr
        events = monitor.wait_for(finished.pid, "McpResponse", 3)
    calls = [e["action"] for e in events if e["action"].get("tool")]
    assert [(call["type"], call["tool"]) for call in calls][:1] == [("McpRequest", "population")]
    assert {event["connection"]["source"] for event in events} == {"plain"}


def test_what_is_denied_is_interrupted(test_bed: Bed, tmp_path: Path) -> None:
    require("regorus")
    (tmp_path / "policy.rego").write_text(NO_PROMPTS)
    with Monitor("--policy", str(tmp_path), "--enforce") as monitor:
        url = {"OPENAI_BASE_URL": f"http://127.0.0.1:{KNOWN}/v1"}
        finished = test_bed.ask("openai_sync", PROMPT, environment=url)
        (prompt, *_) = monitor.wait_for(finished.pid, "Prompt")
        assert monitor.stop() == 130, monitor.stderr
    assert prompt["policy"]["decision"] == "deny"
    # It is not held: on loopback the answer may come before the connection is ended.
    assert prompt["policy"]["enforced"] in ("interrupted", "after_send")


def test_it_can_be_left_out(test_bed: Bed) -> None:
    with Monitor("--no-plain") as monitor:
        silent = ask(test_bed, "openai_sync", KNOWN)
        over_tls = test_bed.ask("openai_sync", PROMPT)
        monitor.wait_for(over_tls.pid, "Response")
        assert monitor.stop() == 130, monitor.stderr
    assert monitor.of(silent.pid) == []
