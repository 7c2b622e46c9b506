"""Nothing of a denied request leaves the host: real clients, a real policy, the wire watched.

`BUSTED_HELD_REQUESTS` says how many requests of each kind each client makes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bed import OPENAI_KEY, Bed
from tests.e2e.deadline import until
from tests.e2e.front import PORT, http2_front
from tests.e2e.monitor import Monitor
from tests.e2e.sandbox import Finished
from tests.e2e.tap import Tap
from tests.requirements import BUN, require

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
        # What is given up is counted, and is what some tests are about.
        assert not [place for place in monitor.lost if not place.startswith("hold_")]


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


REALTIME = {
    "openai": [sys.executable, "-m", "tests.e2e.clients.persistent_realtime"],
    "node_ws": ["node", "tests/e2e/clients/persistent_realtime.mjs"],
}


@pytest.mark.parametrize("client", REALTIME)
def test_no_byte_of_a_denied_message_over_a_websocket_leaves_and_the_next_one_succeeds(
    client: str, policy: Path, test_bed: Bed
) -> None:
    if client == "node_ws":
        require("node")
    with holding(policy) as monitor, Tap(test_bed.sandbox) as tap:
        asking = Asking(test_bed, REALTIME[client])
        for number in range(REQUESTS):
            longer = MARKER * (number + 1)
            # Ahead of what asks for a response, as the first message; in what asks, as a later one.
            assert asking.ask(f"{longer} ahead") == [None]
            (answer,) = asking.ask("leaves")
            assert answer is not None
            assert "leaves" in answer
            assert asking.ask(f"!{longer}") == [None]
        assert asking.end() == 0
        pid = asking.process.pid
        until(lambda: denied_messages(monitor, pid) >= 2 * REQUESTS, "all are told")
        told = prompts(monitor, pid)
    assert {p.get("enforced") for p in told if p["decision"] == "deny"} == {"prevented"}
    # What opens the WebSocket, and the same with one allowed turn, however long the denied was.
    opened, talked = tap.sent()[::2], tap.sent()[1::2]
    assert len(opened) == len(talked) == REQUESTS
    assert max(opened) - min(opened) <= GOODBYE
    assert max(talked) - min(talked) <= GOODBYE


def denied_messages(monitor: Monitor, pid: int) -> int:
    """Return how many exchanges were denied."""
    events = monitor.of(pid, "Prompt")
    return len({e["exchange_id"] for e in events if e["policy"]["decision"] == "deny"})


def test_what_cannot_be_held_is_told_and_its_connection_is_ended(
    policy: Path, test_bed: Bed
) -> None:
    """Bun has BoringSSL linked in, stripped of what would tell the random."""
    require("bun")
    command = [str(BUN), "tests/e2e/clients/persistent.mjs"]

    def is_hooked() -> bool:
        told = monitor.coverages
        return any(BUN.name in library["path"] for library in told[-1].get("libraries", ()))

    with Monitor("--policy", str(policy), "--enforce") as monitor:
        ahead = Asking(test_bed, command)
        assert ahead.ask("hello") != [None]
        monitor.wait_until(is_hooked, "it is hooked")
        assert ahead.end() == 0
        asking = Asking(test_bed, command)
        # The answer may have been on its way.
        asking.ask(f"{MARKER} by Bun")
        (event,) = monitor.wait_for(asking.process.pid, "Prompt")[:1]
        assert asking.ask("hello") != [None]
        assert asking.end() == 0
        monitor.wait_until(lambda: bool(monitor.lost.get("unheld")), "it is counted")
        assert monitor.stop() == 130
    assert event["policy"]["decision"] == "deny"
    assert event["policy"]["enforced"] in ("interrupted", "after_send")
    assert event["connection"]["dst_port"] == 443


# More than a socket keeps without being told to, and less than the limit.
MEGABYTES = "word " * 600_000
CURL = [
    *("curl", "-sS", "-H", "content-type: application/json", "--data-binary", "@-"),
    *("-H", f"authorization: Bearer {OPENAI_KEY}"),
]


def ask_curl(test_bed: Bed, prompt: str, *options: str, port: int = 443) -> Finished:
    """Ask with curl, which writes a request in pieces and waits when its socket is full."""
    url = f"https://api.openai.com:{port}/v1/chat/completions"
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
    return test_bed.sandbox.run([*CURL, *options, url], json.dumps(body).encode())


@pytest.mark.parametrize("client", PERSISTENT)
def test_a_request_of_megabytes_is_seen_whole_before_any_of_it_leaves(
    client: str, policy: Path, test_bed: Bed
) -> None:
    if client == "node":
        require("node")
    with Tap(test_bed.sandbox) as tap, holding(policy):
        asking = Asking(test_bed, PERSISTENT[client])
        assert asking.ask(MEGABYTES + MARKER) == [None]
        assert asking.ask(MEGABYTES)[0] is not None
        assert asking.end() == 0
    denied, allowed = sorted(tap.sent())
    assert denied <= GOODBYE
    assert allowed > len(MEGABYTES)


@pytest.mark.parametrize("prompt", ["hello", MEGABYTES], ids=["small", "megabytes"])
def test_curl_is_held_though_it_writes_in_pieces(prompt: str, policy: Path, test_bed: Bed) -> None:
    with Tap(test_bed.sandbox) as tap, holding(policy) as monitor:
        for _ in range(REQUESTS):
            denied = ask_curl(test_bed, prompt + MARKER, "--http1.1")
            assert denied.code != 0
            assert ask_curl(test_bed, prompt, "--http1.1").code == 0
            (event,) = monitor.wait_for(denied.pid, "Prompt")
            assert event["policy"]["enforced"] == "prevented"
            assert not event["action"]["truncated"]
    assert sum(size > GOODBYE for size in tap.sent()) == REQUESTS


def test_a_denied_request_over_http2_is_prevented_and_the_next_one_succeeds(
    policy: Path, test_bed: Bed
) -> None:
    require("nghttpx")
    # In this order: a connection of the front that is older than the monitor cannot be held.
    with holding(policy) as monitor, http2_front(test_bed):
        for _ in range(REQUESTS):
            denied = ask_curl(test_bed, MARKER, "--http2", port=PORT)
            assert denied.code != 0
            assert ask_curl(test_bed, "hello", "--http2", port=PORT).code == 0
            (event,) = monitor.wait_for(denied.pid, "Prompt")
            assert event["connection"]["http_version"] == "2"
            assert event["policy"]["enforced"] == "prevented"
    peers = test_bed.sandbox.run(["curl", "-sS", "https://api.openai.com/peers"])
    assert MARKER not in json.loads(peers.stdout)


def test_a_request_over_http2_is_seen_whole_where_the_servers_window_has_room(
    policy: Path, test_bed: Bed
) -> None:
    require("nghttpx")
    long = "word " * 200_000
    with (
        holding(policy) as monitor,
        http2_front(test_bed, window=4 << 20),
        Tap(test_bed.sandbox, PORT) as tap,
    ):
        denied = ask_curl(test_bed, long + MARKER, "--http2", port=PORT)
        assert denied.code != 0
        assert ask_curl(test_bed, long, "--http2", port=PORT).code == 0
        (event,) = monitor.wait_for(denied.pid, "Prompt")
    assert event["policy"]["enforced"] == "prevented"
    assert "hindrance" not in event["policy"]
    assert not event["action"]["truncated"]
    assert [size > len(long) for size in tap.sent()] == [False, True]
    assert min(tap.sent()) < HTTP2_BEGIN


def test_no_byte_of_what_curl_is_denied_leaves_and_the_next_one_succeeds(
    policy: Path, test_bed: Bed
) -> None:
    with holding(policy) as monitor, Tap(test_bed.sandbox) as tap:
        told = ask_curl_in_turns(monitor, test_bed, "--http1.1")
    assert {p["enforced"] for p in told} == {"prevented"}
    sent = [size for size in tap.sent() if size > GOODBYE]
    assert len(sent) == REQUESTS
    assert max(sent) - min(sent) <= GOODBYE


def test_no_byte_of_what_curl_is_denied_over_http2_leaves_and_the_next_one_succeeds(
    policy: Path, test_bed: Bed
) -> None:
    require("nghttpx")
    with (
        holding(policy) as monitor,
        http2_front(test_bed),
        Tap(test_bed.sandbox, PORT) as tap,
    ):
        told = ask_curl_in_turns(monitor, test_bed, "--http2", port=PORT)
    assert {p["enforced"] for p in told} == {"prevented"}
    # Each of the denied is longer than all that a connection sends beside.
    assert max(tap.sent()) < HTTP2_BEGIN
    peers = test_bed.sandbox.run(["curl", "-sS", "https://api.openai.com/peers"])
    assert f"{MARKER} {MARKER}" not in peers.stdout.decode()


# More than a connection sends before a request, and with a short one.
HTTP2_BEGIN = 2000


def ask_curl_in_turns(
    monitor: Monitor, test_bed: Bed, *options: str, port: int = 443
) -> list[dict[str, Any]]:
    """Have one curl be denied and allowed in turns; return what is told of the denied."""
    url = f"https://api.openai.com:{port}/v1/chat/completions"
    command = ["curl"]
    for number in range(2 * REQUESTS):
        prompt = "leaves" if number % 2 else f"{MARKER} " * (300 + number % 100)
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
        command += [*options, "-sS", "-o", "/dev/null", "-w", "%{exitcode} ", url, "--json"]
        command += [json.dumps(body), "-H", f"authorization: Bearer {OPENAI_KEY}", "--next"]
    finished = test_bed.sandbox.run(command[:-1])
    assert [code != b"0" for code in finished.stdout.split()] == [True, False] * REQUESTS
    # On a connection that was used before it tries again.
    monitor.wait_for(finished.pid, "Response", REQUESTS)
    told = prompts(monitor, finished.pid)
    denied = [p for p in told if p["decision"] == "deny"]
    assert len(told) - len(denied) == REQUESTS
    assert len(denied) >= REQUESTS
    return denied


def test_a_connection_is_decided_alone_beside_others_of_its_process(
    policy: Path, test_bed: Bed
) -> None:
    with Tap(test_bed.sandbox) as tap, holding(policy):
        asking = Asking(test_bed, PERSISTENT["openai_async"])
        prompts = [f"{MARKER} {n}" if n % 2 else f"leaves {n}" for n in range(20)]
        answers = asking.ask(*prompts)
        assert [answer is None for answer in answers] == [bool(n % 2) for n in range(20)]
        assert asking.end() == 0
    assert sum(size > GOODBYE for size in tap.sent()) == 10


# Begins a request, and says what comes of it once it is told to send the rest.
BEGINNER = """
import json, os, socket, ssl, sys
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
raw = socket.create_connection(("api.openai.com", 443), timeout=50)
stream = context.wrap_socket(raw, server_hostname="api.openai.com")
body = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": sys.argv[1]}]}
).encode()
head = "POST /v1/chat/completions HTTP/1.1\\r\\nHost: api.openai.com\\r\\n"
head += f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
stream.sendall(head.encode() + body[:-1])
print("begun", flush=True)
try:
    if sys.stdin.readline():
        stream.sendall(body[-1:])
    print(stream.recv(100).partition(b"\\r\\n")[0].decode() or "ended", flush=True)
except OSError:
    print("ended", flush=True)
"""


ANSWERED, ENDED = "HTTP/1.1 200 OK", "ended"


class Beginner:
    """A client that has sent all of a request but its last byte."""

    def __init__(self, test_bed: Bed, prompt: str = "hello") -> None:
        command = [sys.executable, "-c", BEGINNER, prompt]
        self.process = test_bed.sandbox.start(command, stdin=subprocess.PIPE, stderr=None)
        assert self._line() == "begun"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def goes_on(self) -> str:
        """Send the rest and return the answer's first line, or the error."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self._line()

    def fails(self) -> str:
        """Return the error of a client that sends nothing more."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._line()


def test_a_request_that_is_never_whole_is_ended_when_its_time_is_over(
    policy: Path, test_bed: Bed
) -> None:
    with Tap(test_bed.sandbox) as tap, holding(policy, "--hold-seconds", "0.5"):
        assert Beginner(test_bed).fails() == ENDED
    assert max(tap.sent()) <= GOODBYE


@contextmanager
def hanging(monitor: Monitor) -> Iterator[None]:
    """Have the monitor stand still while the block runs."""
    monitor.process.send_signal(signal.SIGSTOP)
    yield
    monitor.process.send_signal(signal.SIGCONT)


def test_a_monitor_that_hangs_holds_up_nothing_where_that_is_sent(
    policy: Path, test_bed: Bed
) -> None:
    options = ("--hold-seconds", "0.5", "--hold-timeout-action", "open")
    with holding(policy, *options) as monitor:
        begun = Beginner(test_bed)
        with hanging(monitor):
            assert begun.goes_on() == ANSWERED


def test_a_monitor_that_hangs_lets_nothing_through_where_that_is_ended(
    policy: Path, test_bed: Bed
) -> None:
    with Tap(test_bed.sandbox) as tap, holding(policy, "--hold-seconds", "0.5") as monitor:
        begun = Beginner(test_bed)
        with hanging(monitor):
            # TCP tries again after 0.2, 0.6 and 1.4 seconds, twice after the time is over.
            over = time.monotonic() + 2
            until(lambda: time.monotonic() > over, "its time is over")
        assert begun.fails() == ENDED
    assert max(tap.sent()) <= GOODBYE


@pytest.mark.parametrize("action", ["open", "closed"])
def test_what_a_killed_monitor_held_is_sent_or_ended_as_the_operator_chose(
    action: str, policy: Path, test_bed: Bed
) -> None:
    options = ("--policy", str(policy), "--enforce", "--hold-timeout-action", action)
    with Tap(test_bed.sandbox) as tap:
        with Monitor(*options) as monitor:
            begun = Beginner(test_bed, MARKER)
            pid = begun.process.pid
            until(
                lambda: any("connect" in str(e) for e in monitor.of(pid, "Network")), "it is seen"
            )
            monitor.process.kill()
            monitor.process.wait()
            if action == "open":
                assert begun.goes_on() == ANSWERED
            else:
                assert begun.fails() == ENDED
        # Nothing stays: the next one is free.
        assert Beginner(test_bed, MARKER).goes_on() == ANSWERED
    assert sum(size > GOODBYE for size in tap.sent()) == (2 if action == "open" else 1)
