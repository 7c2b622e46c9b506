"""An MCP server over TLS, made with the Python SDK: streamable HTTP at /mcp, HTTP+SSE at /sse.

`python -m tests.e2e.mcp_server --port 8443 --cert-dir DIR` writes the certificate of its own
authority to DIR/ca.pem, listens on loopback, and prints `ready`. With `--stdio` it serves whoever
started it, and listens nowhere.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from pathlib import Path

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel
from starlette.applications import Starlette

from tests.e2e.provider.certificates import tls
from tests.e2e.sandbox import ADDRESS

server = MCPServer("places", version="7.8.9", log_level="WARNING")


class Answer(BaseModel):
    """What the user is asked for."""

    sure: bool


@server.tool()
def population(place: str) -> str:
    """Look up how many live in a place."""
    return f"population of {place}: 42"


@server.tool()
async def demolish(place: str, context: Context) -> str:
    """Demolish a place, if the user is sure."""
    answer = await context.elicit(f"Demolish {place}?", Answer)
    return f"{place}: {answer.action}"


def application() -> Starlette:
    """Return both transports, which share no path."""
    # Names lead here by the sandbox; protection from rebinding would ask for a list of them.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(transport_security=security)
    app.router.routes.extend(server.sse_app(transport_security=security).routes)
    return app


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print("ready", flush=True)


async def serve(port: int, directory: Path, *, is_plain: bool) -> None:
    """Serve until killed."""
    config = uvicorn.Config(application(), host=ADDRESS, port=port, log_level="warning")
    config.load()
    if not is_plain:
        config.ssl = tls(directory)
    await _Server(config).serve()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="An MCP server, on loopback.")
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--cert-dir", type=Path)
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--stdio", action="store_true")
    options = parser.parse_args()
    if options.stdio:
        server.run("stdio")
        return
    asyncio.run(serve(options.port, options.cert_dir, is_plain=options.plain))


if __name__ == "__main__":
    main()
