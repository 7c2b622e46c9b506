"""What policy denies is stopped, and nothing else: real SDKs, a real monitor, a real policy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.answers import SLOW, expected_answer
from tests.e2e.bed import Bed, start_until_ready
from tests.e2e.deadline import until
from tests.e2e.examples import PROMPT, needs
from tests.e2e.monitor import Monitor
from tests.requirements import ROOT, require

# By the model, so that the same client has requests of both kinds.
BY_MODEL = """
package busted

import rego.v1

default decision := "allow"

forbidden if {
	input.action.type == "Prompt"
	input.action.model == "gpt-forbidden"
}

decision := "deny" if forbidden

reasons contains "this model is not for us" if forbidden
"""
BY_PROVIDER = """
package busted

import rego.v1

default decision := "allow"

decision := "deny" if {
	input.action.type == "Network"
	input.action.provider == "openai"
}
"""
BY_TEXT = """
package busted

import rego.v1

default decision := "allow"

decision := "deny" if {
	input.action.type == "Prompt"
	contains(input.action.user_message, "[slow]")
}
"""
# Long enough that it is never answered before it is stopped.
FORBIDDEN = SLOW + " " + "word " * 2000
# A line of JSON for each prompt: its answer, or the kind of error.
CLIENT = """
import json, os, sys
from openai import OpenAI, APIConnectionError
client = OpenAI(max_retries=0, timeout=120)
print(os.getpid(), flush=True)
for line in sys.stdin:
    model, prompt = json.loads(line)
    try:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": prompt}])
        print(json.dumps(answer.choices[0].message.content), flush=True)
    except APIConnectionError as error:
        print(json.dumps({"error": type(error).__name__}), flush=True)
"""
ALLOWED_MODEL, FORBIDDEN_MODEL = "gpt-4o-mini", "gpt-forbidden"

Start = Callable[..., Monitor]


@pytest.fixture
def enforcing(test_bed: Bed, tmp_path: Path) -> Start:
    require("e2e", "regorus")

    def start(policy: str, *options: str) -> Monitor:
        (tmp_path / "policy.rego").write_text(policy)
        return Monitor("--policy", str(tmp_path / "policy.rego"), *options)

    return start


class Asking:
    """A client that asks what it is told to, and goes on."""

    def __init__(self, test_bed: Bed, script: str) -> None:
        command = [sys.executable, "-c", script]
        self._process = test_bed.sandbox.start(command, stdin=subprocess.PIPE)
        self.pid = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode()

    def ask(self, model: str, prompt: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([model, prompt]).encode() + b"\n")
        self._process.stdin.flush()
        line = self._line()
        return json.loads(line) if line else None

    def end(self) -> int:
        self._process.communicate(timeout=60)
        return self._process.returncode


@contextmanager
def asking(test_bed: Bed, script: str = CLIENT) -> Iterator[Asking]:
    client = Asking(test_bed, script)
    yield client
    client.end()


def denied(monitor: Monitor, pid: int, count: int = 1) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]]:
        return [
            event
            for event in tuple(monitor.events)
            if event["process"]["pid"] == pid and event.get("policy", {}).get("decision") == "deny"
        ]

    until(lambda: len(found()) >= count, f"{count} denied events of {pid}")
    return found()


def test_a_denied_exchange_ends_and_the_next_allowed_one_succeeds(
    enforcing: Start, test_bed: Bed
) -> None:
    with enforcing(BY_MODEL, "--enforce", "--no-hold") as monitor, asking(test_bed) as client:
        for _ in range(3):
            assert client.ask(ALLOWED_MODEL, PROMPT) == expected_answer(PROMPT)
            assert client.ask(FORBIDDEN_MODEL, FORBIDDEN) == {"error": "APIConnectionError"}
        assert client.ask(ALLOWED_MODEL, PROMPT) == expected_answer(PROMPT)
        events = denied(monitor, client.pid, 3)
        assert client.end() == 0
        assert monitor.stop() == 130, monitor.stderr
    for event in events:
        assert event["action"]["model"] == FORBIDDEN_MODEL
        assert event["policy"]["enforced"] == "interrupted"
        assert event["policy"]["reasons"] == ["this model is not for us"]
    assert len(events) == 3
    assert monitor.lost == {}


# One of each kind of stack.
STACKS = ["curl_openai", "openai_async", "anthropic_stream", "node_fetch"]


def test_clients_of_all_kinds_see_their_connection_fail(enforcing: Start, test_bed: Bed) -> None:
    for name in STACKS:
        needs(name)
    with enforcing(BY_TEXT, "--enforce", "--no-hold") as monitor:
        for name in STACKS:
            finished = test_bed.ask(name, FORBIDDEN)
            assert finished.code > 0, name
            for event in denied(monitor, finished.pid):
                assert event["policy"]["enforced"] == "interrupted", name
            assert test_bed.ask(name, PROMPT).code == 0, name
        assert monitor.stop() == 130, monitor.stderr


def test_the_process_is_killed_where_the_operator_chose_that(
    enforcing: Start, test_bed: Bed
) -> None:
    with enforcing(BY_MODEL, "--enforce", "--no-hold", "--on-deny", "kill") as monitor:
        with asking(test_bed) as client, asking(test_bed) as other:
            assert client.ask(ALLOWED_MODEL, PROMPT) == expected_answer(PROMPT)
            assert client.ask(FORBIDDEN_MODEL, FORBIDDEN) is None
            assert client.end() == -9
            assert other.ask(ALLOWED_MODEL, PROMPT) == expected_answer(PROMPT)
            (event,) = denied(monitor, client.pid)
            assert event["policy"]["enforced"] == "interrupted"
        assert monitor.stop() == 130


@pytest.mark.parametrize(("options", "enforced"), [(["--shadow"], "would_interrupt"), ([], None)])
def test_nothing_is_touched_in_shadow_mode_or_without_enforcement(
    options: list[str], enforced: str | None, enforcing: Start, test_bed: Bed
) -> None:
    with enforcing(BY_MODEL, *options) as monitor, asking(test_bed) as client:
        assert client.ask(FORBIDDEN_MODEL, SLOW + PROMPT) == expected_answer(SLOW + PROMPT)
        (event,) = denied(monitor, client.pid)
        assert event["policy"].get("enforced") == enforced
        assert client.end() == 0
        assert monitor.stop() == 130


# An address that is not loopback, in the sandbox alone (RFC 5737), where the provider is, too.
ELSEWHERE = "192.0.2.80"
FRONT = """
import asyncio
async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def front(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", 443)
    await asyncio.gather(
        pump(reader, there[1]), pump(there[0], writer), return_exceptions=True)
async def main():
    await asyncio.start_server(front, "192.0.2.80", 443)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
AT_FRONT = """
import socket
ask_name_service = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: ask_name_service("192.0.2.80", *rest, **more)
"""


@pytest.fixture(scope="module")
def front(test_bed: Bed) -> None:
    added = test_bed.sandbox.run(["ip", "address", "replace", f"{ELSEWHERE}/32", "dev", "lo"])
    assert added.code == 0, added.stderr
    start_until_ready(test_bed.sandbox, [sys.executable, "-c", FRONT])


def flows(monitor: Monitor, enforced: str) -> list[dict[str, Any]]:
    return [
        event
        for event in tuple(monitor.events)
        if event["action"]["type"] == "Network"
        and event.get("policy", {}).get("enforced") == enforced
    ]


@pytest.mark.usefixtures("front")
def test_a_denied_provider_is_refused_from_the_second_connection_on(
    enforcing: Start, test_bed: Bed, tmp_path: Path
) -> None:
    with enforcing(BY_PROVIDER, "--enforce") as monitor:
        with asking(test_bed, AT_FRONT + CLIENT) as client:
            for _ in range(3):
                assert client.ask(ALLOWED_MODEL, FORBIDDEN) == {"error": "APIConnectionError"}
            until(lambda: bool(flows(monitor, "prevented")), "one is told as prevented")
            # What policy does not forbid any more is refused no more.
            (tmp_path / "policy.rego").write_text(BY_MODEL)
            until(
                lambda: client.ask(ALLOWED_MODEL, PROMPT) == expected_answer(PROMPT),
                "the changed policy lets it through",
            )
        assert monitor.stop() == 130
    (refused,) = [line for line in monitor.stderr if line.startswith("busted: connections refused")]
    assert int(refused.rpartition(": ")[2]) >= 2
    assert {flow["action"]["operation"] for flow in flows(monitor, "interrupted")} >= {"connect"}
    for event in flows(monitor, "prevented"):
        assert (event["action"]["operation"], event["action"]["error"]) == ("connect", "EPERM")
        assert (event["connection"]["dst_ip"], event["connection"]["dst_port"]) == (ELSEWHERE, 443)


# Each line is answered over a connection of its own, from a socket of its own.
HTTP3_CLIENT = """
import asyncio, json, os, sys
from aioquic.asyncio.client import connect
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from tests.e2e.clients.http3_chat import Client
async def ask(prompt):
    configuration = QuicConfiguration(
        alpn_protocols=H3_ALPN, server_name="api.openai.com", idle_timeout=2)
    configuration.load_verify_locations(os.environ["SSL_CERT_FILE"])
    async with connect(
        "192.0.2.80", 443, configuration=configuration, create_protocol=Client
    ) as client:
        body = json.dumps({"messages": [{"role": "user", "content": prompt}]})
        await client.ask("api.openai.com", body.encode())
print(os.getpid(), flush=True)
for line in sys.stdin:
    try:
        asyncio.run(asyncio.wait_for(ask(json.loads(line)[1]), 10))
        print(json.dumps("answered"), flush=True)
    except (ConnectionError, TimeoutError):
        print(json.dumps("refused"), flush=True)
"""


@pytest.mark.usefixtures("front")
def test_http3_to_a_denied_provider_is_refused_from_the_second_connection_on(
    enforcing: Start, test_bed: Bed
) -> None:
    certificate = str(test_bed.directory / "server.pem")
    serve = [sys.executable, "-m", "tests.e2e.http3_server", "--address", ELSEWHERE]
    start_until_ready(test_bed.sandbox, [*serve, "--certificate", certificate])
    with enforcing(BY_PROVIDER, "--enforce") as monitor, asking(test_bed, HTTP3_CLIENT) as client:
        # What was begun before it was denied cannot be ended, but its datagrams are refused.
        until(lambda: client.ask("", PROMPT) == "refused", "it is refused")
        until(lambda: bool(flows(monitor, "prevented")), "one is told as prevented")
        (first, *_) = [event for event in monitor.of(client.pid, "Network") if "policy" in event]
        for event in flows(monitor, "prevented"):
            assert event["action"]["error"] == "EPERM"
            connection = event["connection"]
            assert (connection["transport"], connection["dst_ip"]) == ("udp", ELSEWHERE)
    assert first["connection"]["sni"] == "api.openai.com"
    assert first["policy"]["enforced"] == "not_possible"


BY_IDENTITY = """
package busted

import rego.v1

default decision := "allow"

decision := "deny" if {
	input.action.type == "Network"
	input.action.operation == "connect"
	input.identity.agent == "claude-code"
}
"""
# Asks a name server where OpenAI is, each time that it is told to.
RESOLVE = """
import sys
from tests.dns_wire import message, question
print("ready", flush=True)
for line in sys.stdin:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("127.0.0.1", 53))
        asking.send(message([question("api.openai.com")]))
        asking.recv(4096)
    print("resolved", flush=True)
"""


@contextmanager
def resolving(test_bed: Bed) -> Iterator[Callable[[], None]]:
    answers = json.dumps({"api.openai.com": [ELSEWHERE]})
    command = [sys.executable, "-m", "tests.kernel.name_server", answers, RESOLVE]
    there = {"PYTHONPATH": str(ROOT / "src")}
    asking = test_bed.sandbox.start(command, there, stdin=subprocess.PIPE)
    assert asking.stdin is not None
    assert asking.stdout is not None
    stdin, stdout = asking.stdin, asking.stdout

    def resolve() -> None:
        stdin.write(b"again\n")
        stdin.flush()
        assert stdout.readline() == b"resolved\n"

    try:
        while stdout.readline() != b"ready\n":
            assert asking.poll() is None
        yield resolve
    finally:
        asking.kill()
        asking.wait()


@pytest.mark.usefixtures("front")
@pytest.mark.parametrize("policy", [BY_PROVIDER, BY_IDENTITY], ids=["provider", "identity"])
@pytest.mark.parametrize("agent_first", [True, False], ids=["agent first", "name first"])
def test_the_first_connection_of_an_agent_to_a_denied_provider_is_refused(
    policy: str, agent_first: bool, enforcing: Start, test_bed: Bed, tmp_path: Path
) -> None:
    claude = tmp_path / "claude"
    shutil.copy("/bin/sh", claude)
    ask = f"curl -sS -o /dev/null --max-time 20 --connect-to ::{ELSEWHERE}: https://api.openai.com/"
    with (
        enforcing(policy, "--enforce") as monitor,
        resolving(test_bed) as resolve,
    ):
        if not agent_first:
            resolve()
        agent = test_bed.sandbox.start([str(claude)], stdin=subprocess.PIPE)
        try:
            if agent_first:
                _after(agent, monitor)
                resolve()
            _after(agent, monitor)
            said, _ = agent.communicate(f"{ask}; echo $?\n".encode(), timeout=60)
        finally:
            agent.kill()
            agent.wait()
        until(lambda: bool(flows(monitor, "prevented")), "it is told as prevented")
        # Nobody else is refused there.
        other = test_bed.sandbox.run(["sh", "-c", ask])
        assert monitor.stop() == 130, monitor.stderr
    assert said.strip() != b"0"
    assert other.code == 0 or policy == BY_PROVIDER, other.stderr
    assert flows(monitor, "interrupted") == [] or policy == BY_PROVIDER
    for event in flows(monitor, "prevented"):
        assert event["process"]["agent"] == "claude-code"
        assert event["action"]["error"] == "EPERM"
        assert (event["connection"]["dst_ip"], event["connection"]["dst_port"]) == (ELSEWHERE, 443)
    connected = [
        e
        for e in tuple(monitor.events)
        if e["action"]["type"] == "Network"
        and e["process"].get("agent") == "claude-code"
        and "error" not in e["action"]
    ]
    assert connected == []


def _after(agent: subprocess.Popen[bytes], monitor: Monitor) -> None:
    """Wait until the monitor has read all that happened before now: what an agent runs is told."""
    assert agent.stdin is not None

    def told() -> int:
        return sum(e["action"]["type"] == "ProcessExec" for e in tuple(monitor.events))

    before = told()
    agent.stdin.write(b"/bin/true\n")
    agent.stdin.flush()
    until(lambda: told() > before, "a command is told")
