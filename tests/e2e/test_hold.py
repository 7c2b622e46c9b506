"""Nothing of a denied request leaves the host: real clients, a real policy, the wire watched.

`BUSTED_HELD_REQUESTS` says how many requests of each kind each client makes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bed import Bed
from tests.e2e.deadline import until
from tests.e2e.monitor import Monitor
from tests.e2e.tap import Tap
from tests.requirements import require

REQUESTS = int(os.environ.get("BUSTED_HELD_REQUESTS", "5"))
MARKER = "stays-here"
POLICY = f"""
package busted

import rego.v1

default decision := "allow"

decision := "deny" if contains(input.action.user_message, "{MARKER}")
"""
# What a client sends when it closes a connection: an alert in a record (RFC 8446 section 6.1).
GOODBYE = 5 + 2 + 1 + 16
PYTHON = [sys.executable, "-m", "tests.e2e.clients.persistent"]
PERSISTENT = {
    "openai": [*PYTHON, "openai"],
    "openai_async": [*PYTHON, "openai", "--async"],
    "anthropic": [*PYTHON, "anthropic"],
    "anthropic_async": [*PYTHON, "anthropic", "--async"],
    "node": ["node", "tests/e2e/clients/persistent.mjs"],
}


class Asking:
    """A client that asks what it is told to, and goes on."""

    def __init__(self, test_bed: Bed, command: list[str]) -> None:
        self.process = test_bed.sandbox.start(command, stdin=subprocess.PIPE, stderr=None)

    def ask(self, *prompts: str) -> list[str | None]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(prompts).encode() + b"\n")
        self.process.stdin.flush()
        answers: list[str | None] = json.loads(self.process.stdout.readline())
        return answers

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    require("e2e", "regorus")
    path = tmp_path / "policy.rego"
    path.write_text(POLICY)
    return path


@contextmanager
def holding(policy: Path, *options: str) -> Iterator[Monitor]:
    with Monitor("--policy", str(policy), "--enforce", *options) as monitor:
        yield monitor
        assert monitor.stop() == 130, monitor.stderr
        assert monitor.lost.keys() <= {"policy_decisions"}


def prompts(monitor: Monitor, pid: int) -> list[dict[str, Any]]:
    return [e["policy"] for e in monitor.of(pid, "Prompt")]


@pytest.mark.parametrize("client", PERSISTENT)
def test_no_byte_of_a_denied_request_leaves_and_the_next_one_succeeds(
    client: str, policy: Path, test_bed: Bed
) -> None:
    if client == "node":
        require("node")
    with holding(policy) as monitor, Tap(test_bed.sandbox) as tap:
        asking = Asking(test_bed, PERSISTENT[client])
        for number in range(REQUESTS):
            assert asking.ask(f"{MARKER} {number:04}") == [None]
            (answer,) = asking.ask(f"leaves-now {number:04}")
            assert answer is not None
            assert "leaves-now" in answer
        assert asking.end() == 0
        pid = asking.process.pid
        until(lambda: len(prompts(monitor, pid)) == 2 * REQUESTS, "all are told")
        told = prompts(monitor, pid)
    assert [p.get("enforced") for p in told] == ["prevented", None] * REQUESTS
    # The first denial had a connection of its own; each of the others followed an allowed request.
    sent = [size for size in tap.sent() if size > GOODBYE]
    assert len(sent) == REQUESTS
    assert max(sent) - min(sent) <= GOODBYE
