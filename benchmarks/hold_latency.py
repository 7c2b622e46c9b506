"""What a request waits for its decision: the time from asking to the answer, held and not.

A client asks over one connection that it keeps, as an SDK does, with the name of a provider; the
server is on loopback and answers at once. The monitor is a real one with a policy of one rule. What
is held is allowed, so the whole way is in it: the entry of the write, the pipeline, the policy's
process, and the flush.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import trustme

from benchmarks.plan import Plan
from benchmarks.programs import BenchmarkError
from benchmarks.table import Table, median

POLICY = """
package busted

import rego.v1

default decision := "allow"

decision := "deny" if contains(input.action.user_message, "secret")
"""
ENFORCED = ("--enforce",)
# Options of `busted monitor`; None: it does not run.
VARIANTS: dict[str, tuple[str, ...] | None] = {
    "no monitor": None,
    "observed": (),
    "enforced, not held": (*ENFORCED, "--no-hold"),
    "held": ENFORCED,
}
# Bytes of a prompt: a question, and an agent's turn with its context (REACH: some 87 KB).
PROMPTS = (400, 90_000)
# Prints what each request took, in milliseconds. The first ones make the connection.
CLIENT = """
import http.client, json, socket, ssl, sys, time
port, size, count = map(int, sys.argv[1:])
context = ssl._create_unverified_context()
plain = socket.create_connection(("127.0.0.1", port))
plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as http.client and SDKs do
client = http.client.HTTPSConnection("api.openai.com")
client.sock = context.wrap_socket(plain, server_hostname="api.openai.com")
message = {"role": "user", "content": ("word " * size)[:size]}
body = json.dumps({"model": "gpt-4o-mini", "messages": [message]})
took = []
for _ in range(count + 5):
    start = time.perf_counter()
    client.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    client.getresponse().read()
    took.append((time.perf_counter() - start) * 1000)
    time.sleep(0.005)
print(json.dumps(took[5:]))
"""
_ANSWER = json.dumps(
    {
        "object": "chat.completion",
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}}],
    }
).encode()


def table(plan: Plan) -> Table:
    """Measure, and return the table."""
    took: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory, _server(Path(directory)) as port:
        policy = Path(directory, "policy.rego")
        policy.write_text(POLICY)
        for _ in range(plan.monitor_rounds):
            for name, options in VARIANTS.items():
                with _monitor(policy, options):
                    for size in PROMPTS:
                        took[name, size].append(_ask(port, size, plan.held_requests))
    rows = []
    for (name, size), rounds in took.items():
        observed = took["observed", size]
        more = [
            statistics.median(one) - statistics.median(other)
            for one, other in zip(rounds, observed, strict=True)
        ]
        each = sorted(milliseconds for one in rounds for milliseconds in one)
        rows.append((name, size, median(each), each[len(each) * 95 // 100], median(more)))
    return Table(
        "What a held request waits",
        "Milliseconds from asking to the answer, on a connection that is kept; the last column is "
        "the median of the differences to being observed only within a round. Goal: under 1.",
        ("variant", "prompt B", "p50 ms", "p95 ms", "more ms"),
        tuple(rows),
    )


@contextlib.contextmanager
def _monitor(policy: Path, options: tuple[str, ...] | None) -> Iterator[None]:
    if options is None:
        yield
        return
    given = ("--policy", str(policy), *options) if options else ()
    command = [sys.executable, "-m", "busted.cli.main", "monitor", "--format", "json", *given]
    monitor = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert monitor.stdout
    try:
        if b'"Coverage"' not in (first := monitor.stdout.readline()):
            raise BenchmarkError(f"the monitor did not start; it said {first[:200]!r}")
        # Its output must not fill the pipe.
        reading = threading.Thread(target=monitor.stdout.read)
        reading.start()
        yield
    finally:
        monitor.terminate()
        monitor.wait()
    reading.join()


def _ask(port: int, size: int, count: int) -> list[float]:
    command = [sys.executable, "-c", CLIENT, str(port), str(size), str(count)]
    took: list[float] = json.loads(subprocess.check_output(command))
    return took


@contextlib.contextmanager
def _server(directory: Path) -> Iterator[int]:
    """Answer requests over TLS in a process of its own."""
    key = directory / "server.pem"
    certificate = trustme.CA().issue_cert("api.openai.com")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(key))
    command = [sys.executable, "-m", "benchmarks.hold_latency", str(key)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert server.stdout
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()


def serve(key: str) -> None:
    """Say the port, and answer each request on each connection, one connection after the other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(_ANSWER)}"
    answer = head.encode() + b"\r\n\r\n" + _ANSWER
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            plain, _ = listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(plain, server_side=True) as connection:
                _answer(connection, answer)


def _answer(connection: ssl.SSLSocket, answer: bytes) -> None:
    with connection.makefile("rb") as file:
        while line := file.readline():
            length = 0
            while line.strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                line = file.readline()
            file.read(length)
            connection.sendall(answer)


if __name__ == "__main__":
    serve(sys.argv[1])
