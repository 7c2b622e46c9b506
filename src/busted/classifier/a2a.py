"""Agent2Agent: recognised, not yet read. Its traffic is between agents, so it is worth telling.

Source: https://a2a-protocol.org/latest/specification (v1, section 5.3, and the names of 0.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from busted.classifier.foreign import mapping
from busted.protocols.http import NamedHeaders
from busted.protocols.jsonrpc import JsonRpc

# Names that nobody else has.
_DISTINCT = (
    # v1
    "SubscribeToTask",
    "CreateTaskPushNotificationConfig",
    "GetTaskPushNotificationConfig",
    "ListTaskPushNotificationConfigs",
    "DeleteTaskPushNotificationConfig",
    "GetExtendedAgentCard",
    # 0.3
    "tasks/resubscribe",
    "tasks/pushNotificationConfig/set",
    "tasks/pushNotificationConfig/get",
    "tasks/pushNotificationConfig/list",
    "tasks/pushNotificationConfig/delete",
    "agent/getAuthenticatedExtendedCard",
)
# Any messenger may have such a method: A2A's messages have parts.
_MESSAGES = ("SendMessage", "SendStreamingMessage", "message/send", "message/stream")
# MCP has these too, with `taskId` where A2A 0.3 has `id`. What v1 calls them, `GetTask`,
# `ListTasks` and `CancelTask`, anything may: there its required header tells.
_TASKS = ("tasks/get", "tasks/cancel")

# Of the REST binding and of discovery; 0.2 called the card `agent.json`.
_PATHS = (
    "/.well-known/agent-card.json",
    "/.well-known/agent.json",
    "/extendedAgentCard",
    "/message:send",
    "/message:stream",
)
_TASK_PATH = re.compile(r"/tasks/[^/]+(?::cancel|:subscribe|/pushNotificationConfigs(?:/[^/]+)?)$")


def is_a2a(message: JsonRpc) -> bool:
    """Tell whether a JSON-RPC request is A2A's by itself."""
    params = mapping(message.params)
    if message.method in _MESSAGES:
        return isinstance(mapping(params.get("message")).get("parts"), list)
    if message.method in _TASKS:
        return isinstance(params.get("id"), str)
    return message.method in _DISTINCT


def is_a2a_request(path: str, headers: NamedHeaders) -> bool:
    """Tell whether an HTTP request is A2A's by its path or its version header."""
    if "a2a-version" in headers or path.endswith(_PATHS):
        return True
    return "/tasks/" in path and _TASK_PATH.search(path) is not None


def is_agent_card(body: Mapping[str, object]) -> bool:
    """Tell whether a JSON body is the card by which an agent says what it can do."""
    return (
        isinstance(body.get("skills"), list)
        and isinstance(body.get("capabilities"), dict)
        and isinstance(body.get("defaultInputModes"), list)
    )
