"""What MCP clients say to servers that they start, over standard input and output.

What the Python SDK says is in test_mcp.py, as for the other transports.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bed import HERE, Bed, node
from tests.e2e.examples import PROMPT
from tests.e2e.mcp import STDIO_SERVER, mcp_command
from tests.e2e.monitor import Event, Monitor, busted
from tests.e2e.sandbox import Finished
from tests.requirements import require

PLACE = 'Zürich "世界"\n'
NODE_SERVER = ["node", str(HERE / "mcp_stdio_server.mjs")]
# Says nothing of MCP by its name or arguments.
NAMELESS = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    told = {"content": [{"type": "text", "text": asked["params"]["arguments"]["place"]}]}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}), flush=True)
"""
DEADLINE_SECONDS = 20.0
NO_CALLS = """
package busted

import rego.v1

default decision := "allow"

decision := "deny" if input.action.tool == "population"
"""


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


def calls(events: Sequence[Event]) -> list[tuple[str, str, Any]]:
    """Return of each call of a tool: whose, and what it is given or gives."""
    told = []
    for action in (event["action"] for event in events):
        if action["type"] == "McpRequest" and action["method"] == "tools/call":
            told.append(("asked", action["tool"], json.loads(action["params"])["arguments"]))
        elif action["type"] == "McpResponse" and action.get("method") == "tools/call":
            (content,) = json.loads(action["result"])["content"]
            told.append(("answered", "", content["text"]))
    return told


@pytest.mark.parametrize("server", ["node", "python"])
def test_the_node_sdk_and_its_servers_are_read_to_the_byte(
    test_bed: Bed, monitor: Monitor, server: str
) -> None:
    require("node", "node packages")
    command = NODE_SERVER if server == "node" else shlex.split(STDIO_SERVER)
    finished = _run_node(test_bed, command, [PLACE, "Oslo"])
    events = monitor.wait_for(finished.pid, "McpResponse", 4)
    assert calls(events) == [
        step
        for place in (PLACE, "Oslo")
        for step in (
            ("asked", "population", {"place": place}),
            ("answered", "", f"population of {place}: 42"),
        )
    ]
    hello = [event["action"] for event in events if event["action"].get("method") == "initialize"]
    assert hello[0]["client"] == {"name": "node-agent", "version": "3.2.1"}
    assert hello[1]["server"]["name"] == ("node-places" if server == "node" else "places")
    for event in events:
        connection = event["connection"]
        assert (connection["source"], connection["transport"]) == ("stdio", "pipe")
        assert connection["peer"]["argv"] == command
        assert connection["peer"]["pid"] != finished.pid
        assert event["process"]["name"].startswith("node")
        assert "dst_ip" not in connection
    assert len({event["connection"]["id"] for event in events}) == 1
    # The server's side of it is not told again.
    assert monitor.of(events[0]["connection"]["peer"]["pid"]) == []
    assert monitor.lost == {}


def _run_node(bed: Bed, command: Sequence[str], places: Sequence[str]) -> Finished:
    finished = bed.sandbox.run(node("mcp_stdio_client")(*command, "--", *places))
    assert finished.code == 0, finished.stderr
    return finished


def test_a_result_of_megabytes_is_told_as_cut_and_what_follows_is_whole(
    test_bed: Bed, monitor: Monitor
) -> None:
    require("node", "node packages")
    place = "x" * (60 << 10)  # as much as an argument may be
    finished = _run_node(test_bed, shlex.split(STDIO_SERVER), [place, "Oslo"])
    events = monitor.wait_for(finished.pid, "McpResponse", 4)
    assert calls(events)[0] == ("asked", "population", {"place": place})
    assert calls(events)[-1] == ("answered", "", "population of Oslo: 42")


def test_a_server_without_a_name_is_read_where_an_agent_starts_it(
    test_bed: Bed, monitor: Monitor, tmp_path: Path
) -> None:
    agent, server = tmp_path / "claude", tmp_path / "places.py"
    shutil.copy("/bin/sh", agent)
    server.write_text(NAMELESS)
    call = {
        "method": "tools/call",
        "params": {"name": "population", "arguments": {"place": PLACE}},
        "jsonrpc": "2.0",
        "id": 7,
    }
    # What comes behind it keeps the shell from becoming what it starts.
    script = f"printf '%s\\n' \"$1\" | {sys.executable} {server} | cat; true"
    finished = test_bed.sandbox.run([str(agent), "-c", script, "sh", json.dumps(call)])
    assert json.loads(finished.stdout)["id"] == 7
    events = monitor.wait_for(finished.pid, "McpResponse")
    assert calls(events) == [
        ("asked", "population", {"place": PLACE}),
        ("answered", "", PLACE),
    ]
    assert {event["process"]["agent"] for event in events} == {"claude-code"}


# Starts a server, asks it and a model, and asks the server again until its own input ends.
HOST = """
import json, subprocess, sys, threading
from openai import OpenAI
server = subprocess.Popen([sys.executable, sys.argv[1]], stdin=-1, stdout=-1, text=True)
def call(number):
    arguments = {"name": "population", "arguments": {"place": str(number)}}
    said = {"method": "tools/call", "params": arguments, "jsonrpc": "2.0", "id": number}
    server.stdin.write(json.dumps(said) + "\\n")
    server.stdin.flush()
    assert json.loads(server.stdout.readline())["id"] == number
call(0)
OpenAI(api_key="none").chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": sys.argv[2]}])
ended = threading.Thread(target=sys.stdin.read)
ended.start()
number = 0
while ended.is_alive():
    number += 1
    call(number)
    ended.join(0.2)
server.stdin.close()
server.wait()
"""


def test_a_server_of_a_program_that_speaks_to_a_model_is_read_from_then_on(
    test_bed: Bed, monitor: Monitor, tmp_path: Path
) -> None:
    host, server = tmp_path / "host.py", tmp_path / "places.py"
    host.write_text(HOST)
    server.write_text(NAMELESS)
    process = test_bed.sandbox.start(
        [sys.executable, str(host), str(server), PROMPT],
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    events = monitor.wait_for(process.pid, "McpResponse", 2)
    process.stdin.close()
    assert process.wait(DEADLINE_SECONDS) == 0
    told = [event["action"]["type"] for event in events]
    assert told[:2] == ["Prompt", "Response"]
    # The first call was before anybody knew.
    numbers = [int(call[2]["place"]) for call in calls(events) if call[0] == "asked"]
    assert numbers[0] > 0
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_nothing_is_read_where_the_operator_says_so(test_bed: Bed, tmp_path: Path) -> None:
    with Monitor("--stdio", "none") as monitor:
        finished = test_bed.sandbox.run(
            mcp_command("stdio", "Oslo"), environment={"MCP_COMMAND": STDIO_SERVER}
        )
        assert finished.code == 0, finished.stderr
        asked = test_bed.ask("openai_sync", PROMPT)
        monitor.wait_for(asked.pid, "Response")
        assert monitor.of(finished.pid) == []


def test_everybody_is_read_where_the_operator_says_so(test_bed: Bed, tmp_path: Path) -> None:
    server = tmp_path / "places.py"
    server.write_text(NAMELESS)
    call = {"name": "population", "arguments": {"place": "Oslo"}}
    said = json.dumps({"method": "tools/call", "params": call, "jsonrpc": "2.0", "id": 1})
    with Monitor("--stdio", "all") as monitor:
        script = f"printf '%s\\n' '{said}' | {sys.executable} {server} | cat; true"
        finished = test_bed.sandbox.run(["sh", "-c", script])
        assert finished.code == 0, finished.stderr
        assert len(calls(monitor.wait_for(finished.pid, "McpResponse"))) == 2


def test_what_is_denied_is_told_with_why_it_could_not_be_stopped(
    test_bed: Bed, tmp_path: Path
) -> None:
    require("regorus")
    (tmp_path / "policy.rego").write_text(NO_CALLS)
    options = ("--policy", str(tmp_path), "--enforce")
    with Monitor(*options) as monitor:
        finished = test_bed.sandbox.run(
            mcp_command("stdio", "Oslo"), environment={"MCP_COMMAND": STDIO_SERVER}
        )
        assert finished.code == 0, finished.stderr
        events = monitor.wait_for(finished.pid, "McpResponse", 3)
    (denied,) = (e["policy"] for e in events if e.get("policy", {}).get("decision") == "deny")
    assert denied["enforced"] == "not_possible"
    assert "--on-deny kill" in denied["hindrance"]


def test_what_is_denied_ends_the_client_where_the_operator_says_so(
    test_bed: Bed, tmp_path: Path
) -> None:
    require("regorus")
    (tmp_path / "policy.rego").write_text(NO_CALLS)
    options = ("--policy", str(tmp_path), "--enforce", "--on-deny", "kill")
    with Monitor(*options) as monitor:
        finished = test_bed.sandbox.run(
            [*mcp_command("stdio", "Oslo"), *["Oslo"] * 50],
            environment={"MCP_COMMAND": STDIO_SERVER},
        )
        assert finished.code < 0
        events = monitor.wait_for(finished.pid, "McpRequest", 3)
    denied = [e["policy"] for e in events if e.get("policy", {}).get("decision") == "deny"]
    assert denied[0]["enforced"] == "interrupted"


def test_a_recording_gives_the_same_again(test_bed: Bed, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    with Monitor("--record", str(recording)) as monitor:
        finished = test_bed.sandbox.run(
            mcp_command("stdio", PLACE), environment={"MCP_COMMAND": STDIO_SERVER}
        )
        assert finished.code == 0, finished.stderr
        monitor.wait_for(finished.pid, "McpResponse", 3)
        assert monitor.stop() == 130
    replayed = busted("replay", str(recording), "--format", "json", "--content", "full")
    assert replayed.returncode == 0, replayed.stderr
    assert replayed.stdout.splitlines() == [line.rstrip("\n") for line in monitor.stdout]
