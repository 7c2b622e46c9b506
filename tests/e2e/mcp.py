"""The MCP server and client of the test bed, and the ways in which they speak."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e.bed import HERE, Bed, start_until_ready

# How the client shall speak, and the revision that this leads to.
MODES = {"auto": "2026-07-28", "legacy": "2025-11-25", "sse": "2025-11-25"}


def mcp_server(bed: Bed, directory: Path) -> dict[str, str]:
    """Start the server in the sandbox; return the environment in which clients trust it."""
    command = [sys.executable, "-m", "tests.e2e.mcp_server", "--cert-dir", str(directory)]
    start_until_ready(bed.sandbox, command)
    return {"SSL_CERT_FILE": str(directory / "ca.pem")}


def mcp_command(mode: str, place: str) -> list[str]:
    """Return how to start the client."""
    return [sys.executable, str(HERE / "mcp_client.py"), mode, place]
