"""The host of an MCP server: list its tools, call one, and answer what the server asks.

The first argument says how to speak: `auto` as the newest revision, `legacy` with a session,
`sse` over the transport of 2024-11-05, `stdio` with a server that it starts by the command in
MCP_COMMAND. The others are places to look up.
"""

import asyncio
import json
import os
import shlex
import sys

from mcp import Client
from mcp.client import ClientRequestContext, Transport
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.types import ElicitRequestParams, ElicitResult, Implementation, TextContent

SERVER = os.environ.get("MCP_SERVER", "https://localhost:8443")
mode, *places = sys.argv[1:]


async def decline(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="decline")


async def main() -> None:
    where: StdioServerParameters | Transport | str = f"{SERVER}/mcp"
    if mode == "sse":
        where = sse_client(f"{SERVER}/sse")
    elif mode == "stdio":
        command, *args = shlex.split(os.environ["MCP_COMMAND"])
        where = StdioServerParameters(command=command, args=args, env=dict(os.environ))
    client = Client(
        where,
        mode="auto" if mode == "auto" else "legacy",
        client_info=Implementation(name="places-agent", version="1.2.3"),
        elicitation_callback=decline,
    )
    async with client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        # Since 2026-07-28 a server cannot ask back over HTTP in the middle of a call.
        for tool in tools if mode != "auto" else tools[:1]:
            for place in places:
                result = await client.call_tool(tool, {"place": place})
                (said,) = result.content
                assert isinstance(said, TextContent)
                print(json.dumps(said.text))


asyncio.run(main())
