"""Connections told beside what is said on them; the provider says from which port each came."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bed import Bed
from tests.e2e.examples import PROMPT, needs
from tests.e2e.monitor import Monitor, replay

CLIENTS = ["curl_openai", "openai_sync", "openai_async", "anthropic_stream", "node_openai"]


def peers(test_bed: Bed) -> dict[str, int]:
    """From which port each prompt came, as the provider saw it."""
    ask = ["curl", "-sS", "https://www.example.com/peers"]
    found: dict[str, int] = json.loads(test_bed.sandbox.run(ask).stdout)
    return found


def prompts(kind: str, count: int) -> list[str]:
    return [f"{kind} {i}: {PROMPT}" for i in range(count)]


def assert_flows_are_those_the_provider_saw(
    events: Sequence[dict[str, Any]], ports: dict[str, int], asked: Sequence[str]
) -> None:
    told = {
        event["action"]["user_message"]: event["connection"]["src_port"]
        for event in events
        if event["action"]["type"] == "Prompt"
    }
    assert told == {prompt: ports[prompt] for prompt in asked}


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_said_carries_the_ends_of_its_very_connection(
    monitor: Monitor, test_bed: Bed, name: str
) -> None:
    needs(name)
    # Many at once for the asynchronous client: one process, one host, as many connections.
    asked = prompts(name, 40 if name == "openai_async" else 1)
    finished = test_bed.ask(name, *asked)
    events = monitor.wait_for(finished.pid, "Response", len(asked))

    assert_flows_are_those_the_provider_saw(events, peers(test_bed), asked)
    for event in events:
        connection = event["connection"]
        assert (connection["dst_ip"], connection["dst_port"]) == ("127.0.0.1", 443)
        assert connection["bytes_sent"] > 0
    if name == "openai_async":
        assert len({event["connection"]["socket"] for event in events}) > 10


def test_the_connections_of_one_node_process_are_not_mixed_up(
    monitor: Monitor, test_bed: Bed, tmp_path: Path
) -> None:
    needs("node")
    script = tmp_path / "many.mjs"
    script.write_text("""
const ask = (prompt) => fetch("https://api.openai.com/v1/chat/completions", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }] }),
}).then((response) => response.json());
await Promise.all(process.argv.slice(2).map(ask));
""")
    asked = prompts("many", 20)
    finished = test_bed.sandbox.run(["node", str(script), *asked])
    assert finished.code == 0, finished.stderr
    events = monitor.wait_for(finished.pid, "Response", len(asked))

    assert_flows_are_those_the_provider_saw(events, peers(test_bed), asked)
    assert len({event["connection"]["socket"] for event in events}) > 5


def test_a_call_is_told_as_a_flow_with_provider_and_sizes(monitor: Monitor, test_bed: Bed) -> None:
    finished = test_bed.ask("openai_sync", PROMPT)
    (prompt,) = [
        event
        for event in monitor.wait_for(finished.pid, "Response")
        if event["action"]["type"] == "Prompt"
    ]
    monitor.wait_for(finished.pid, "Network", 2)
    flows = monitor.of(finished.pid, "Network")

    assert [flow["action"]["operation"] for flow in flows] == ["connect", "close"]
    for flow in flows:
        assert flow["action"]["provider"] == "openai"
        assert flow["action"]["name"] == "api.openai.com"
        assert flow["connection"]["socket"] == prompt["connection"]["socket"]
        assert flow["process"]["exe"] == prompt["process"]["exe"]
    closed = flows[1]["action"]
    assert closed["bytes_sent"] > prompt["action"]["bytes"]
    assert closed["bytes_received"] > 0
    assert flows[0]["time"] < prompt["time"] < flows[1]["time"]


def test_what_has_nothing_to_do_with_ai_is_not_told(monitor: Monitor, test_bed: Bed) -> None:
    other = test_bed.sandbox.run(["curl", "-sS", "https://www.example.com/"])
    finished = test_bed.ask("curl_openai", PROMPT)
    monitor.wait_for(finished.pid, "Network", 2)

    assert monitor.of(other.pid, "Network") == []


def test_all_connections_are_told_when_asked_for_and_none_when_not(test_bed: Bed) -> None:
    with Monitor("--network", "all") as everything, Monitor("--network", "none") as nothing:
        other = test_bed.sandbox.run(["curl", "-sS", "https://www.example.com/"])
        finished = test_bed.ask("curl_openai", PROMPT)
        everything.wait_for(finished.pid, "Network", 2)
        (prompt, _) = nothing.wait_for(finished.pid, "Response")
        everything.stop(), nothing.stop()

    told = [event["action"]["operation"] for event in everything.of(other.pid, "Network")]
    assert told == ["connect", "close"]
    assert nothing.of(finished.pid, "Network") == []
    assert "src_ip" not in prompt["connection"]


def test_a_replay_tells_the_same_flows(test_bed: Bed, tmp_path: Path) -> None:
    recording = tmp_path / "flows.rec"
    with Monitor("--record", str(recording)) as monitor:
        finished = test_bed.ask("openai_async", *prompts("replayed", 5))
        monitor.wait_for(finished.pid, "Response", 5)
        monitor.stop()
        live = [
            line
            for line, event in zip(monitor.stdout, monitor.events, strict=True)
            if event["process"]["pid"] == finished.pid
        ]
    replayed = replay("--format", "json", "--content", "full", str(recording))
    assert replayed.returncode == 0

    assert [
        line
        for line in replayed.stdout.splitlines(keepends=True)
        if json.loads(line)["process"]["pid"] == finished.pid
    ] == live
    assert any(json.loads(line)["action"]["type"] == "Network" for line in live)
