"""A script in a network namespace of its own, which has loopback and ends with it."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# An emulated guest takes a minute for ten thousand connections.
DEADLINE_SECONDS = 120.0

# Runs in the namespace. `told` is printed as JSON at the end; `step` waits for the test.
PROLOGUE = """
import errno, json, os, socket, struct, sys, threading
SO_COOKIE, TCP_INFO = 57, 11
told = {}
def step():
    print(json.dumps(told), flush=True)
    sys.stdin.readline()
def server(host="127.0.0.1", **options):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, **options)
def cookie(s):
    return int.from_bytes(s.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")
def retransmits(s):
    # linux/tcp.h, struct tcp_info: tcpi_total_retrans stands at 100
    return struct.unpack_from("<I", s.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104), 100)[0]
def pair(host="127.0.0.1"):
    listening = server(host)
    client = socket.create_connection(listening.getsockname()[:2])
    accepted, _ = listening.accept()
    listening.close()
    return client, accepted
def receive(s):
    total = 0
    while data := s.recv(1 << 20):
        total += len(data)
    return total
"""


class Namespace:
    """One script that runs in a network namespace of its own."""

    def __init__(self, script: str) -> None:
        self._process = subprocess.Popen(
            [
                *("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"),
                *(sys.executable, "-c", PROLOGUE + script + "\nstep()"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def told(self) -> dict[str, Any]:
        """What the script says at its next step; it waits there."""
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def go_on(self) -> None:
        """Let the script pass its step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Let the script end, and with it the namespace."""
        self._process.communicate("\n", DEADLINE_SECONDS)
        assert self._process.returncode == 0


@contextmanager
def namespace(script: str) -> Iterator[Namespace]:
    running = Namespace(script)
    try:
        yield running
    finally:
        running.end()


def packed(address: str) -> bytes:
    """An address as records have it: 16 bytes, IPv4 as IPv4-mapped IPv6."""
    mapped = address if ":" in address else f"::ffff:{address}"
    return ipaddress.IPv6Address(mapped).packed
