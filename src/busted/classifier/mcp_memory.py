"""What of MCP is remembered: who waits for an answer, and what tools looked like before.

Of A2A, which agent is at an address.

A connection has a `Pending`; the host has one `Memory`, since answers come on other
connections than requests and a tool is changed between two of them. All of it is bounded and
forgets what is oldest first.

Left out: telling users of one server apart. If it describes a tool to each in another way,
that is told as a change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from busted.classifier.chat import MAX_NAME_CHARS
from busted.classifier.foreign import items, mapping, string
from busted.classifier.mcp_http import Carrier, Sender
from busted.classifier.mcp_params import Annotation, annotated
from busted.events import A2aAgent, McpTool
from busted.protocols.jsonrpc import JsonRpc

# A client that waits for more than this many answers at once has lost them.
MAX_PENDING = 1024
# The same over all sessions of a host, and its sessions of the HTTP+SSE transport.
MAX_SHARED_PENDING = 8192
MAX_ENDPOINTS = 1024
# Some hundred servers with the tools of a big one, 100; 16 KB for each of those.
MAX_TOOLS_KNOWN = 16_384
# Agents of A2A that those of one host ask.
MAX_AGENTS = 1024
# Tools of one listing; the biggest servers have some hundred.
MAX_TOOLS = 1024

Key = TypeVar("Key")
T = TypeVar("T")
_Question = tuple[str, Sender, str]
"""The place of a request, who asks, its id."""


class _Bounded(Generic[Key, T]):
    """A mapping that forgets what was put longest ago."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[Key, T] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def get(self, key: Key) -> T | None:
        return self._values.get(key)

    def pop(self, key: Key) -> T | None:
        return self._values.pop(key, None)

    def put(self, key: Key, value: T) -> None:
        self._values.pop(key, None)
        if len(self._values) >= self._limit:
            del self._values[next(iter(self._values))]
        self._values[key] = value


class Memory:
    """What is known over all connections of a host."""

    def __init__(
        self,
        *,
        max_pending: int = MAX_SHARED_PENDING,
        max_endpoints: int = MAX_ENDPOINTS,
        max_tools: int = MAX_TOOLS_KNOWN,
    ) -> None:
        self.methods: _Bounded[_Question, str] = _Bounded(max_pending)
        """Of requests whose answer may come on another connection."""
        self.endpoints: _Bounded[str, None] = _Bounded(max_endpoints)
        """Places that streams of the HTTP+SSE transport gave."""
        self.agents: _Bounded[str, A2aAgent] = _Bounded(MAX_AGENTS)
        """Of A2A, by the addresses in their cards, see `a2a`."""
        self._tools: _Bounded[tuple[str, str], str] = _Bounded(max_tools)
        self._annotations: _Bounded[tuple[str, str], tuple[Annotation, ...]] = _Bounded(max_tools)

    def annotations(self, server: str | None, tool: str | None) -> tuple[Annotation, ...] | None:
        """Return which arguments of a tool headers repeat, None if it was not listed."""
        return self._annotations.get((server, tool)) if server and tool else None

    def listed(self, server: str | None, message: JsonRpc) -> Iterator[McpTool]:
        """Yield the tools that an answer lists, each told as changed if `server` had another."""
        tools = items(mapping(message.result).get("tools"))
        # The last one of a cut answer may look other than it is.
        for value in tools[: len(tools) - message.truncated][:MAX_TOOLS]:
            tool = mapping(value)
            name = string(tool.get("name"), MAX_NAME_CHARS)
            if name is None or not isinstance(tool.get("inputSchema"), dict):
                continue
            seen = fingerprint(tool)
            before = self._tools.get((server, name)) if server else None
            if server:
                self._tools.put((server, name), seen)
                repeated = annotated(tool.get("inputSchema"))
                self._annotations.put((server, name), repeated)
            yield McpTool(name=name, hash=seen, changed=before not in (None, seen))


class Pending:
    """The requests of either side that were not answered yet, so that answers get a method.

    `spoken` once a message on this connection was MCP's.
    """

    def __init__(self, memory: Memory | None = None, limit: int = MAX_PENDING) -> None:
        """Without a `memory`, nothing is known beyond this connection."""
        self.memory = Memory() if memory is None else memory
        self.spoken = False
        self._methods: _Bounded[_Question, str] = _Bounded(limit)

    def asked(self, carrier: Carrier, sender: Sender, message: JsonRpc) -> None:
        """Remember a request of the sender's."""
        if message.kind != "request" or message.id is None or message.method is None:
            return
        shared = carrier.shared or carrier.place in self.memory.endpoints
        methods = self.memory.methods if shared else self._methods
        question = (carrier.place, sender, message.id)
        methods.put(question, message.method[:MAX_NAME_CHARS])

    def answered(self, carrier: Carrier, sender: Sender, message: JsonRpc) -> str | None:
        """Return the method that an answer of the sender's answers, and forget it."""
        asker: Sender = "client" if sender == "server" else "server"
        question = (carrier.place, asker, message.id or "")
        return self._methods.pop(question) or self.memory.methods.pop(question)


def fingerprint(tool: Mapping[str, object]) -> str:
    """Return a hash, in hex, of what a model is told of a tool: name, description, schemas.

    128 bits that nobody can steer, since whoever changes a tool may want to hide that.
    """
    shown = [tool.get(key) for key in ("name", "description", "inputSchema", "outputSchema")]
    text = json.dumps(shown, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
