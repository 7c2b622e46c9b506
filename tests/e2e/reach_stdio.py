"""Which MCP clients are read that start their servers: the second table of docs/reach.md.

Each starts one server, and lists its tools. What the SDKs say is compared to the byte in
test_mcp.py and test_stdio.py; of agents it counts that their handshake and the listing are told,
and as theirs.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.e2e.bed import HERE, Bed, node
from tests.e2e.deadline import until
from tests.e2e.mcp import STDIO_SERVER, mcp_command
from tests.e2e.monitor import Monitor
from tests.e2e.sandbox import ROOT

AGENTS = ROOT / ".cache/reach/node_modules"
_CLAUDE = AGENTS / "@anthropic-ai/claude-code-linux-x64/claude"
_CODEX = AGENTS / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
_GEMINI = AGENTS / "@google/gemini-cli/bundle/gemini.js"
_SERVER = [sys.executable, str(HERE / "mcp_quick_server.py")]
_SERVERS = {"mcpServers": {"quick": {"command": _SERVER[0], "args": _SERVER[1:], "trust": True}}}
_SECONDS = 5.0
# One that has no answer that it understands tries for minutes; it has listed its tools by then.
_AGENT_SECONDS = 40.0

HEAD = """\
MCP servers that the client starts, and speaks to over standard input and output
([stdio.md](stdio.md)). Read: the handshake and the list of tools were told, and as the client's.

| MCP client | Version | Read |
|---|---|---|
{rows}
"""


class StdioRow(NamedTuple):
    """A client, its command in a home, and the agent that it is told as."""

    client: str
    command: Callable[[Path], Sequence[str]]
    version: Sequence[str | Path]
    environment: Mapping[str, str] = {}
    agent: str | None = None


def _claude(home: Path) -> list[str]:
    servers = home / "mcp.json"
    servers.write_text(json.dumps(_SERVERS))
    return [str(_CLAUDE), "-p", "Hello?", "--mcp-config", str(servers), "--strict-mcp-config"]


def _codex(home: Path) -> list[str]:
    (home / ".codex").mkdir(exist_ok=True)
    told = f"command={json.dumps(_SERVER[0])},args={json.dumps(_SERVER[1:])}"
    options = ("--skip-git-repo-check", "-m", "gpt-5", "-c", f"mcp_servers.quick={{{told}}}")
    return [str(_CODEX), "exec", *options, "Hello?"]


def _gemini(home: Path) -> list[str]:
    (home / ".gemini").mkdir(exist_ok=True)
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, **_SERVERS}
    (home / ".gemini/settings.json").write_text(json.dumps(settings))
    return ["node", str(_GEMINI), "-p", "Hello?"]


def _package(name: str) -> list[str]:
    return ["node", "-p", f"require({json.dumps(str(ROOT / '.cache' / name))}).version"]


ROWS = (
    StdioRow(
        "Python SDK",
        lambda home: mcp_command("stdio", "Oslo"),
        [sys.executable, "-c", "from importlib.metadata import version; print(version('mcp'))"],
        {"MCP_COMMAND": STDIO_SERVER},
    ),
    StdioRow(
        "Node SDK",
        lambda home: node("mcp_stdio_client")(*shlex.split(STDIO_SERVER), "--", "Oslo"),
        _package("node/node_modules/@modelcontextprotocol/sdk/package.json"),
    ),
    StdioRow("Claude Code", _claude, (_CLAUDE, "--version"), agent="claude-code"),
    StdioRow("Codex", _codex, (_CODEX, "--version"), agent="codex"),
    StdioRow(
        "Gemini CLI",
        _gemini,
        _package("reach/node_modules/@google/gemini-cli/package.json"),
        {"GEMINI_API_KEY": "A" * 39, "GEMINI_CLI_TRUST_WORKSPACE": "true"},
        "gemini-cli",
    ),
)


def table(monitor: Monitor, bed: Bed, home: Path, version: Callable[[StdioRow], str]) -> str:
    """Run all rows and return the part of the document."""
    lines = []
    for row in ROWS:
        told = _try(monitor, bed, home, row)
        print(f"{row.client}, standard input and output: {told}", flush=True)
        lines.append(f"| {row.client} | {version(row)} | {told} |")
    return HEAD.format(rows="\n".join(lines))


def _try(monitor: Monitor, bed: Bed, home: Path, row: StdioRow) -> str:
    command = row.command(home)
    program = command[1] if command[0] == "node" else command[0]
    if not Path(shutil.which(program) or program).exists():
        return "not here"
    begun = len(monitor.events)
    # With all that it starts.
    limited = ["timeout", "--signal=KILL", f"{_AGENT_SECONDS:.0f}", *command]
    bed.sandbox.run(limited, environment=row.environment, timeout=2 * _AGENT_SECONDS)
    try:
        until(lambda: _is_read(monitor, begun, row), "it is read", _SECONDS)
    except AssertionError:
        return "not read"
    return "read"


def _is_read(monitor: Monitor, begun: int, row: StdioRow) -> bool:
    told = [
        event["action"]["method"]
        for event in tuple(monitor.events)[begun:]
        if event["action"]["type"] == "McpResponse"
        and event["connection"].get("source") == "stdio"
        and event["process"].get("agent") == row.agent
        and "result" in event["action"]
    ]
    return {"initialize", "tools/list"} <= set(told)
