"""Agent2Agent: recognised, not yet read. Its traffic is between agents, so it is worth telling.

Source: https://a2a-protocol.org/latest/specification (v1, section 5.3, and the names of 0.3).
"""

from __future__ import annotations

from busted.classifier.foreign import mapping
from busted.protocols.http import Headers, header
from busted.protocols.jsonrpc import JsonRpc

METHODS = frozenset(
    (
        # v1
        "SendMessage",
        "SendStreamingMessage",
        "GetTask",
        "ListTasks",
        "CancelTask",
        "SubscribeToTask",
        "CreateTaskPushNotificationConfig",
        "GetTaskPushNotificationConfig",
        "ListTaskPushNotificationConfigs",
        "DeleteTaskPushNotificationConfig",
        "GetExtendedAgentCard",
        # 0.3
        "message/send",
        "message/stream",
        "tasks/get",
        "tasks/cancel",
        "tasks/resubscribe",
        "tasks/pushNotificationConfig/set",
        "tasks/pushNotificationConfig/get",
        "tasks/pushNotificationConfig/list",
        "tasks/pushNotificationConfig/delete",
        "agent/getAuthenticatedExtendedCard",
    )
)
# MCP has these too, with `taskId` where A2A 0.3 has `id`.
_SHARED = frozenset(("tasks/get", "tasks/cancel"))

_PATHS = (
    "/.well-known/agent-card.json",
    "/.well-known/agent.json",
    "/extendedAgentCard",
    "/message:send",
    "/message:stream",
)


def is_a2a(message: JsonRpc) -> bool:
    """Tell whether a JSON-RPC request is A2A's."""
    if message.method in _SHARED:
        return isinstance(mapping(message.params).get("id"), str)
    return message.method in METHODS


def is_a2a_request(path: str, headers: Headers) -> bool:
    """Tell whether an HTTP request is A2A's by its path or its version header."""
    return header(headers, "a2a-version") is not None or path.endswith(_PATHS)
