"""The Model Context Protocol on top of JSON-RPC: which methods are its, and what they do.

JSON-RPC alone is not MCP: language servers, Ethereum nodes and A2A speak it too, and share
some names. A method that only MCP has is enough; one that others have as well needs what
MCP alone puts in its parameters, or MCP's own HTTP headers.

What HTTP adds is in `mcp_http`, what is remembered from one message to another in `mcp_memory`.

Source: https://modelcontextprotocol.io/specification, revisions 2024-11-05 to 2026-07-28.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busted.classifier.assembly import MAX_ERROR_CHARS
from busted.classifier.chat import MAX_NAME_CHARS
from busted.classifier.foreign import integer, mapping, string, to_json
from busted.classifier.mcp_http import Carrier, Sender, mismatches
from busted.classifier.mcp_memory import Pending
from busted.classifier.mcp_params import Annotation
from busted.events import Action, McpImplementation, McpRequest, McpResponse
from busted.protocols.jsonrpc import JsonRpc

# Results hold whole files and pages. What is beyond is told as truncated.
MAX_VALUE_CHARS = 256 * 1024
# Batches were there for one revision, 2025-03-26, and small.
MAX_BATCH = 256

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

# Requests that servers make; all others are clients', but for those that both make.
_OF_SERVERS = frozenset(("sampling/createMessage", "roots/list", "elicitation/create"))
_OF_BOTH = frozenset(
    ("ping", "tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update")
)

# Also spoken by others: `initialize` by language servers and coding agents, `ping` by many,
# `tasks/*` by A2A 0.3 (which says `id` where MCP says `taskId`).
_SHARED = frozenset(("initialize", "ping", "tasks/get", "tasks/cancel"))
_META = "io.modelcontextprotocol/"

# schema.ts of each revision, and https://www.jsonrpc.org/specification#error_object
ERRORS = {
    -32700: "parse_error",
    -32600: "invalid_request",
    -32601: "method_not_found",
    -32602: "invalid_params",
    -32603: "internal_error",
    -32002: "resource_not_found",
    -32042: "url_elicitation_required",
    -32020: "header_mismatch",
    -32021: "missing_required_client_capability",
    -32022: "unsupported_protocol_version",
}


def category(method: str | None) -> str | None:
    """Return what a method is about, or None if no revision has it."""
    return _CATEGORIES.get(method or "")


def is_mcp(message: JsonRpc) -> bool:
    """Tell whether a request or notification is MCP's by itself."""
    params = mapping(message.params)
    if any(str(key).startswith(_META) for key in _meta(params)):
        return True
    if message.method in _SHARED:
        return isinstance(params.get("protocolVersion"), str) or isinstance(
            params.get("taskId"), str
        )
    return message.method in _CATEGORIES


def may_ask(sender: Sender, method: str | None) -> bool:
    """Tell whether a request of that method may come from that side."""
    return method in _OF_BOTH or (method in _OF_SERVERS) == (sender == "server")


def tool_of(message: JsonRpc) -> str | None:
    """Return the tool that a request calls, or None."""
    if message.method != "tools/call":
        return None
    return string(mapping(message.params).get("name"), MAX_NAME_CHARS)


def request(
    message: JsonRpc,
    size: int,
    sender: Sender,
    carrier: Carrier = Carrier(),  # noqa: B008
    annotations: Sequence[Annotation] | None = None,
) -> McpRequest:
    """Return the action of a request or notification that took `size` bytes.

    `annotations` are of the tool that it calls, None when that is unknown.
    """
    params, cut = (None, False)
    if message.params is not None:
        params, cut = to_json(message.params, MAX_VALUE_CHARS)
    told = mapping(message.params)
    meta = _meta(told)
    # `initialize` has both in its parameters, each request of 2026-07-28 in its `_meta`.
    revision = string(
        meta.get(_META + "protocolVersion") or told.get("protocolVersion"), MAX_NAME_CHARS
    )
    return McpRequest(
        method=(message.method or "")[:MAX_NAME_CHARS],
        category=category(message.method) or UNKNOWN_CATEGORY,
        kind="notification" if message.kind == "notification" else "request",
        sender=sender,
        id=message.id,
        tool=tool_of(message),
        params=params,
        revision=revision or carrier.revision,
        session=carrier.session,
        client=_implementation(meta.get(_META + "clientInfo") or told.get("clientInfo")),
        mismatch=mismatches(carrier, message, revision, annotations) if sender == "client" else (),
        bytes=size,
        truncated=message.truncated or cut,
    )


def response(
    message: JsonRpc,
    method: str | None,
    size: int,
    sender: Sender,
    carrier: Carrier = Carrier(),  # noqa: B008
) -> McpResponse:
    """Return the action of an answer that took `size` bytes; `method` is its request's."""
    result, error, cut = None, None, False
    if message.kind == "error":
        error = _error(message.error)
    else:
        result, cut = to_json(message.result, MAX_VALUE_CHARS)
    told = mapping(message.result)
    code = integer(mapping(message.error).get("code"))
    return McpResponse(
        method=method,
        category=(category(method) or UNKNOWN_CATEGORY) if method else None,
        sender=sender,
        id=message.id,
        result=result,
        error=error,
        error_code=code,
        error_name=ERRORS.get(code) if code is not None else None,
        revision=string(told.get("protocolVersion"), MAX_NAME_CHARS) or carrier.revision,
        session=carrier.session,
        server=_implementation(_meta(told).get(_META + "serverInfo") or told.get("serverInfo")),
        bytes=size,
        truncated=message.truncated or cut,
    )


def _error(value: object) -> str:
    error = mapping(value)
    message = string(error.get("message")) or ""
    return f"{error.get('code')}: {message}"[:MAX_ERROR_CHARS]


def _implementation(value: object) -> McpImplementation | None:
    told = mapping(value)
    name = string(told.get("name"), MAX_NAME_CHARS)
    if name is None:
        return None
    return McpImplementation(name=name, version=string(told.get("version"), MAX_NAME_CHARS))


def _meta(values: Mapping[str, object]) -> Mapping[str, object]:
    return mapping(values.get("_meta"))


def actions(
    messages: Sequence[JsonRpc],
    carrier: Carrier,
    pending: Pending,
    sender: Sender,
    size: int,
) -> tuple[Action, ...]:
    """Return the actions of those messages, in one body of `size` bytes, that are MCP's."""
    found: list[McpRequest | McpResponse] = []
    for message in messages[:MAX_BATCH]:
        if message.kind in ("request", "notification"):
            if carrier.declared or is_mcp(message) or (pending.spoken and category(message.method)):
                pending.asked(carrier, sender, message)
                known = pending.memory.annotations(carrier.server, tool_of(message))
                found.append(request(message, size, sender, carrier, known))
            continue
        method = pending.answered(carrier, sender, message)
        if carrier.declared or method is not None:
            answer = response(message, method, size, sender, carrier)
            if method in (None, "tools/list"):
                tools = tuple(pending.memory.listed(carrier.server, message))
                answer = msgspec.structs.replace(answer, tools=tools)
            found.append(answer)
    pending.spoken = pending.spoken or bool(found)
    if found and len(messages) > MAX_BATCH:
        found[-1] = msgspec.structs.replace(found[-1], truncated=True)
    return tuple(found)
