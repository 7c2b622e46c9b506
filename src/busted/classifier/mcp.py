"""The Model Context Protocol on top of JSON-RPC: which methods are its, and what they do.

JSON-RPC alone is not MCP: language servers, Ethereum nodes and A2A speak it too, and share
some names. A method that only MCP has is enough; one that others have as well needs what
MCP alone puts in its parameters, or MCP's own HTTP headers.

Source: https://modelcontextprotocol.io/specification, revisions 2024-11-05 to 2026-07-28.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from busted.classifier.assembly import MAX_ERROR_CHARS
from busted.classifier.chat import MAX_NAME_CHARS
from busted.classifier.direction import Direction
from busted.classifier.foreign import mapping, string, to_json
from busted.events import Action, McpRequest, McpResponse
from busted.protocols.http import Headers
from busted.protocols.jsonrpc import JsonRpc

# Results hold whole files and pages. What is beyond is told as truncated.
MAX_VALUE_CHARS = 256 * 1024
# A client that waits for more than this many answers at once has lost them.
MAX_PENDING = 1024

# category: its methods, of all revisions, requests of either side and notifications
METHODS = {
    "lifecycle": "initialize ping server/discover notifications/initialized",
    "tools": "tools/list tools/call notifications/tools/list_changed",
    "resources": "resources/list resources/read resources/subscribe resources/unsubscribe"
    " resources/templates/list notifications/resources/list_changed"
    " notifications/resources/updated",
    "prompts": "prompts/list prompts/get notifications/prompts/list_changed",
    "completion": "completion/complete",
    "logging": "logging/setLevel notifications/message",
    "roots": "roots/list notifications/roots/list_changed",
    "sampling": "sampling/createMessage",
    "elicitation": "elicitation/create notifications/elicitation/complete",
    "tasks": "tasks/get tasks/list tasks/result tasks/cancel tasks/update"
    " notifications/tasks/status",
    "subscriptions": "subscriptions/listen notifications/subscriptions/acknowledged",
    "progress": "notifications/progress",
    "cancellation": "notifications/cancelled",
}
_CATEGORIES = {
    method: category for category, methods in METHODS.items() for method in methods.split()
}
UNKNOWN_CATEGORY = "unknown"
"""The category of a method of no revision, which MCP's own headers came with."""

_HEADERS = frozenset(("mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name"))
# Also spoken by others: `initialize` by language servers and coding agents, `tasks/*` by
# A2A 0.3 (which says `id` where MCP says `taskId`).
_SHARED = frozenset(("initialize", "tasks/get", "tasks/cancel"))


def category(method: str | None) -> str | None:
    """Return what a method is about, or None if no revision has it."""
    return _CATEGORIES.get(method or "")


def has_headers(headers: Headers) -> bool:
    """Tell whether a message's headers are those of MCP's HTTP transport."""
    return any(name in _HEADERS for name, _ in headers)


def is_mcp(message: JsonRpc) -> bool:
    """Tell whether a request or notification is MCP's by itself."""
    if message.method in _SHARED:
        params = mapping(message.params)
        return (
            isinstance(params.get("protocolVersion"), str)
            or isinstance(params.get("taskId"), str)
            or any(str(key).startswith("io.modelcontextprotocol/") for key in _meta(params))
        )
    return message.method in _CATEGORIES


def tool_of(message: JsonRpc) -> str | None:
    """Return the tool that a request calls, or None."""
    if message.method != "tools/call":
        return None
    return string(mapping(message.params).get("name"), MAX_NAME_CHARS)


def request(message: JsonRpc, size: int) -> McpRequest:
    """Return the action of a request or notification that took `size` bytes."""
    params, cut = (None, False)
    if message.params is not None:
        params, cut = to_json(message.params, MAX_VALUE_CHARS)
    return McpRequest(
        method=(message.method or "")[:MAX_NAME_CHARS],
        category=category(message.method) or UNKNOWN_CATEGORY,
        kind="notification" if message.kind == "notification" else "request",
        id=message.id,
        tool=tool_of(message),
        params=params,
        bytes=size,
        truncated=message.truncated or cut,
    )


def response(message: JsonRpc, method: str | None, size: int) -> McpResponse:
    """Return the action of an answer that took `size` bytes; `method` is its request's."""
    result, error, cut = None, None, False
    if message.kind == "error":
        error = _error(message.error)
    else:
        result, cut = to_json(message.result, MAX_VALUE_CHARS)
    return McpResponse(
        method=method,
        category=(category(method) or UNKNOWN_CATEGORY) if method else None,
        id=message.id,
        result=result,
        error=error,
        bytes=size,
        truncated=message.truncated or cut,
    )


def _error(value: object) -> str:
    error = mapping(value)
    message = string(error.get("message")) or ""
    return f"{error.get('code')}: {message}"[:MAX_ERROR_CHARS]


def _meta(params: Mapping[str, object]) -> Mapping[str, object]:
    return mapping(params.get("_meta"))


class Pending:
    """The requests of either side that were not answered yet, so that answers get a method."""

    def __init__(self, limit: int = MAX_PENDING) -> None:
        self._limit = limit
        self._methods: dict[tuple[Direction, str], str] = {}

    def asked(self, direction: Direction, message: JsonRpc) -> None:
        """Remember a request that went in `direction`."""
        if message.kind != "request" or message.id is None or message.method is None:
            return
        if len(self._methods) >= self._limit:
            del self._methods[next(iter(self._methods))]
        self._methods[direction, message.id] = message.method[:MAX_NAME_CHARS]

    def answered(self, direction: Direction, message: JsonRpc) -> str | None:
        """Return the method that an answer going in `direction` answers, and forget it."""
        asker = Direction.READ if direction is Direction.WRITE else Direction.WRITE
        return self._methods.pop((asker, message.id or ""), None)


def actions(
    messages: Iterable[JsonRpc],
    pending: Pending,
    direction: Direction,
    size: int,
    *,
    declared: bool,
) -> tuple[Action, ...]:
    """Return the actions of those messages, in one body of `size` bytes, that are MCP's.

    `declared` when headers, or what they answer, already say that they are.
    """
    found: list[Action] = []
    for message in messages:
        if message.kind in ("request", "notification"):
            if declared or is_mcp(message):
                pending.asked(direction, message)
                found.append(request(message, size))
            continue
        method = pending.answered(direction, message)
        if declared or method is not None:
            found.append(response(message, method, size))
    return tuple(found)
