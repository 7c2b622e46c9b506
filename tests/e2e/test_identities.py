"""Identities of real processes under a live monitor, and over two monitors with one store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from busted.identity.callers import WHILE_ASKED
from busted.identity.graph import SOME_WORDS
from tests.e2e.a2a import EXCHANGES, a2a_command, a2a_server
from tests.e2e.bed import ANTHROPIC_KEY, CLIENTS, Bed, curl_after_a_slow_page, python
from tests.e2e.monitor import Event, Monitor
from tests.identity.scenarios import ROLES
from tests.requirements import ROOT, require

PROMPT = "You are the {} agent of Acme. Be brief, be polite, and never promise anything to anybody."
URL = "https://api.anthropic.com/v1/messages"


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e")


def asked(bed: Bed, monitor: Monitor, command: Sequence[str], exchanges: int = 1) -> list[Event]:
    """Run a client and return the events of its exchanges."""
    finished = bed.sandbox.run(command, b"Hi?")
    assert finished.code == 0, finished
    return monitor.wait_for(finished.pid, "Response", exchanges)


def identity_of(events: list[Event]) -> str:
    """Return the one identity that all events of an exchange have."""
    (identity,) = {event["identity"]["id"] for event in events if "exchange_id" in event}
    return str(identity)


def shown(store: Path, *arguments: str) -> list[Event]:
    """Return what `busted identities --format json` prints."""
    told = subprocess.check_output(
        [
            *(sys.executable, "-m", "busted.cli.main", "identities", "--store", str(store)),
            *("--format", "json", *arguments),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        text=True,
    )
    return [json.loads(line) for line in told.splitlines()]


def test_twelve_agents_of_one_script_are_twelve_over_two_monitors(
    test_bed: Bed, tmp_path: Path
) -> None:
    store = tmp_path / "identities.db"
    runs: list[dict[str, str]] = []
    for _ in range(2):
        with Monitor("--identity-store", str(store)) as monitor:
            client = python("openai_roles")
            runs.append(
                {
                    role: identity_of(
                        asked(test_bed, monitor, client(PROMPT.format(role), "gpt-4o"))
                    )
                    for role in ROLES
                }
            )
            assert monitor.stop() == 130, monitor.stderr
            assert monitor.lost == {}

    first, second = runs
    assert len(set(first.values())) == 12
    assert second == first
    known = {told["id"]: told for told in shown(store)}
    assert known.keys() >= set(first.values())
    assert {known[id]["instances"] for id in first.values()} == {2}
    assert store.stat().st_mode & 0o777 == 0o600


def test_curl_that_says_it_is_claude_code_is_told_and_is_another(
    test_bed: Bed, tmp_path: Path
) -> None:
    headers = ("content-type: application/json", f"x-api-key: {ANTHROPIC_KEY}")
    said = json.dumps(
        {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": ""}]}
    )
    curl = ["--http1.1", "-sS", URL, "-A", "claude-cli/2.1.197 (external, cli)", "-d", said]
    for header in (*headers, "anthropic-version: 2023-06-01"):
        curl += ["-H", header]
    # The same program by Claude Code's name passes for it: its build id is what tells then.
    claude = tmp_path / "claude"
    claude.symlink_to("/usr/bin/curl")

    with Monitor() as monitor:
        spoofed = asked(test_bed, monitor, ["curl", *curl])
        named = asked(test_bed, monitor, [str(claude), *curl])
        assert monitor.stop() == 130, monitor.stderr

    assert {e["identity"]["name"] for e in spoofed if "exchange_id" in e} == {"curl"}
    assert all(e["identity"]["mismatch"] == ["user_agent"] for e in spoofed if "exchange_id" in e)
    assert "agent" not in spoofed[0]["identity"]
    assert {e["identity"]["agent"] for e in named if "exchange_id" in e} == {"claude-code"}
    assert identity_of(named) != identity_of(spoofed)


def test_each_of_twenty_processes_that_live_for_milliseconds_has_its_program(
    test_bed: Bed,
) -> None:
    command = CLIENTS["curl_openai"].command
    with Monitor() as monitor:
        # Sets the probes: from then on they are there before a process begins.
        slow = test_bed.sandbox.run(curl_after_a_slow_page("Hi?"))
        monitor.wait_for(slow.pid, "Response")
        started = [test_bed.sandbox.run(command(f"Hi {n}?")).pid for n in range(20)]
        told = [monitor.wait_for(pid, "Response") for pid in started]
        assert monitor.stop() == 130, monitor.stderr

    for n, events in enumerate(told):
        for process in [event["process"] for event in events if "exchange_id" in event]:
            assert process["exe"] == os.path.realpath("/usr/bin/curl")
            assert f"Hi {n}?" in process["argv"][-1]
            assert process["build_id"]


def test_what_came_of_a_tool_call_is_told_and_what_no_call_asked_for(
    test_bed: Bed, tmp_path: Path
) -> None:
    store = tmp_path / "identities.db"
    tool = {
        "name": "places",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    }
    body = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "okapi"}],
        "tools": [{"type": "function", "function": tool}],
    }
    script = (
        "import subprocess, urllib.request\n"
        "request = urllib.request.Request('https://api.openai.com/v1/chat/completions',\n"
        f"  {json.dumps(body).encode()!r},\n"
        "  {'Content-Type': 'application/json', 'User-Agent': 'codex_cli_rs/0.1'})\n"
        "urllib.request.urlopen(request).read()\n"
        "print('asked', flush=True); input()\n"
        "subprocess.run(['/bin/echo', 'okapi'])\n"
        "subprocess.run(['/usr/bin/env', 'true'])\n"
    )
    path = tmp_path / "agent.py"
    path.write_text(script)
    with Monitor("--identity-store", str(store)) as monitor:
        agent = test_bed.sandbox.start([sys.executable, str(path)], stdin=subprocess.PIPE)
        assert agent.stdin is not None
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"asked\n"
        prompt, *_ = monitor.wait_for(agent.pid, "ToolCall")
        agent.stdin.write(b"\n")
        agent.stdin.flush()
        assert agent.wait(20) == 0
        monitor.wait_for_lines('"exe":"/usr/bin/env"')
        assert monitor.stop() == 130, monitor.stderr

    (told,) = shown(store, prompt["identity"]["id"], "--graph")
    done = [(e["what"], e["confidence"]) for call in told["calls"] for e in call["effects"]]
    # Half of its words are in the arguments, which name a place and no command.
    assert done == [("echo", SOME_WORDS)]
    assert "env" in [action["what"] for action in told["undeclared"]]
    links = {(link["kind"], link["target"]) for link in told["links"]}
    assert links >= {("starts", "echo"), ("starts", "env"), ("did", "command echo")}


def test_two_users_of_one_agent_are_two_principals(test_bed: Bed) -> None:
    with Monitor() as monitor:
        command = python("openai_roles")(PROMPT.format("one"), "gpt-4o")
        own = asked(test_bed, monitor, command)
        other = asked(test_bed, monitor, [*command, "12345"], 2)
        assert monitor.stop() == 130, monitor.stderr

    assert identity_of(own) == identity_of(other)
    principals = [events[-1]["identity"]["principal"] for events in (own, other)]
    assert principals == [f"uid:{os.getuid()}", "uid:12345"]


def test_an_agent_that_asks_another_one_is_linked_to_it_while_that_asks_a_model(
    test_bed: Bed, tmp_path: Path
) -> None:
    store = tmp_path / "identities.db"
    trusted = a2a_server(test_bed, tmp_path / "a2a", "--port", "8445", "--thinks")

    with Monitor("--identity-store", str(store)) as monitor:
        command = [*a2a_command("rpc", "Oslo"), "--port", "8445"]
        finished = test_bed.sandbox.run(command, environment=trusted)
        assert finished.code == 0, finished.stderr.decode()
        asked = monitor.wait_for(finished.pid, "A2aResponse", EXCHANGES)
        monitor.wait_for_lines('"system_prompt":"You are the weather agent.')
        assert monitor.stop() == 130, monitor.stderr

    (thought,) = [e for e in monitor.events if e["action"]["type"] == "Prompt"]
    caller, callee = identity_of(asked), thought["identity"]["id"]
    (told,) = shown(store, caller, "--graph")
    calls = {
        (link["target"], link["confidence"]) for link in told["links"] if link["kind"] == "calls"
    }
    assert calls == {("A2A agent weather", 1.0), (callee, WHILE_ASKED)}
