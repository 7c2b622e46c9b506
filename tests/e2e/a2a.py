"""The agent of A2A of the test bed, its client, and the ways in which they speak."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e.bed import HERE, Bed, start_until_ready

MODES = {
    "rpc": ("rpc",),
    "rpc_stream": ("rpc", "--stream"),
    "rest": ("rest",),
    "rest_stream": ("rest", "--stream"),
    "old": ("old",),
    "old_stream": ("old", "--stream"),
}
# What the client does: the card, the message, and the task that it looks up.
EXCHANGES = 3


def a2a_server(bed: Bed, directory: Path, *options: str) -> dict[str, str]:
    """Start the agent in the sandbox; return the environment in which clients trust it."""
    command = [sys.executable, "-m", "tests.e2e.a2a_server", "--cert-dir", str(directory)]
    start_until_ready(bed.sandbox, [*command, *options])
    return {"SSL_CERT_FILE": str(directory / "ca.pem")}


def a2a_command(mode: str, question: str) -> list[str]:
    """Return how to start the client."""
    return [sys.executable, str(HERE / "a2a_client.py"), *MODES[mode], question]
