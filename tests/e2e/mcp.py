"""The MCP server and client of the test bed, and the ways in which they speak."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.bed import HERE, Bed, start_until_ready

# How the client shall speak, and the revision that this leads to.
MODES = {
    "auto": "2026-07-28",
    "legacy": "2025-11-25",
    "sse": "2025-11-25",
    "stdio": "2025-11-25",
}
# A server that the client starts itself.
STDIO_SERVER = f"{sys.executable} -m tests.e2e.mcp_server --stdio"


@contextmanager
def mcp_server(bed: Bed, directory: Path, *options: str) -> Iterator[dict[str, str]]:
    """Run the server in the sandbox; give the environment in which clients find and trust it."""
    command = [sys.executable, "-m", "tests.e2e.mcp_server", "--cert-dir", str(directory), *options]
    pid = start_until_ready(bed.sandbox, command)
    try:
        scheme = "http" if "--plain" in options else "https"
        trusted = {"SSL_CERT_FILE": str(directory / "ca.pem")} if scheme == "https" else {}
        yield {
            "MCP_SERVER": f"{scheme}://localhost:8443",
            "MCP_COMMAND": STDIO_SERVER,
            **trusted,
        }
    finally:
        # Others listen at its port afterwards.
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def mcp_command(mode: str, place: str) -> list[str]:
    """Return how to start the client."""
    return [sys.executable, str(HERE / "mcp_client.py"), mode, place]
