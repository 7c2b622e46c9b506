"""An MCP server that begins at once, for agents that do not wait for one: without any SDK."""

import json
import sys

TOOL = {"name": "population", "inputSchema": {"type": "object"}}
ANSWERS: dict[str, object] = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "quick", "version": "1.0"},
    },
    "tools/list": {"tools": [TOOL]},
}

for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = ANSWERS.get(asked.get("method"), {})
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
