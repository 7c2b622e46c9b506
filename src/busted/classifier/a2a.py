"""Agent2Agent: what one agent asks another, over JSON-RPC and over REST.

Strategy: whatever binding and revision says it, a request is told by the name that v1 gives its
method. The answer to it is read by `a2a_answers`, which goes by the request: the two are always of
one exchange of HTTP. An agent's card says at which addresses it takes messages, so later requests
to one of them are told with its name.

Left out: the gRPC binding, whose messages are protobuf; the notifications that an agent pushes to
a webhook of its client's, which look like any other HTTP.

Source: https://a2a-protocol.org/latest/specification (v1, section 5.3, and the names of 0.3) and
https://github.com/a2aproject/A2A/blob/main/specification/a2a.proto.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from busted.classifier.chat import MAX_NAME_CHARS, MAX_TEXT_CHARS, described, encoded_size
from busted.classifier.foreign import items, mapping, string, to_json
from busted.classifier.mcp_memory import Memory
from busted.classifier.privacy import host_of, path_of
from busted.events import A2aAgent, A2aRequest
from busted.protocols.http import HttpRequest, NamedHeaders, header
from busted.protocols.jsonrpc import JsonRpc

# A message with this many parts, an agent with this many addresses, is nobody's.
MAX_PARTS = 256
MAX_ADDRESSES = 16
# Of one body: no revision has batches.
MAX_BATCH = 16
MAX_URL_CHARS = 2048

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

# What v1 calls the methods of 0.3.
_V1 = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get": "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/list": "ListTaskPushNotificationConfigs",
    "tasks/pushNotificationConfig/delete": "DeleteTaskPushNotificationConfig",
    "agent/getAuthenticatedExtendedCard": "GetExtendedAgentCard",
}
_SENDING = frozenset(("SendMessage", "SendStreamingMessage"))
_STREAMING = frozenset(("SendStreamingMessage", "SubscribeToTask"))
CARD = "GetAgentCard"
"""What the fetching of a public card is called here; the specification has no name for it."""
CARDS = (CARD, "GetExtendedAgentCard")

# Of the REST binding: verb, empty for any; end of the path; method. The group is the task's id.
_ID = r"([^/:]{1,256})"
_CONFIGS = rf"/tasks/{_ID}/pushNotificationConfigs"
_REST = tuple(
    (verb, re.compile(rf"(?:/v1)?{path}$"), method)
    for verb, path, method in (
        ("", r"/\.well-known/agent(?:-card)?\.json", CARD),
        ("", r"/extendedAgentCard|/v1/card", "GetExtendedAgentCard"),
        ("", r"/message:send", "SendMessage"),
        ("", r"/message:stream", "SendStreamingMessage"),
        ("", rf"/tasks/{_ID}:cancel", "CancelTask"),
        ("", rf"/tasks/{_ID}:subscribe", "SubscribeToTask"),
        ("POST", _CONFIGS, "CreateTaskPushNotificationConfig"),
        ("GET", _CONFIGS, "ListTaskPushNotificationConfigs"),
        ("GET", rf"{_CONFIGS}/[^/]{{1,256}}", "GetTaskPushNotificationConfig"),
        ("DELETE", rf"{_CONFIGS}/[^/]{{1,256}}", "DeleteTaskPushNotificationConfig"),
        ("GET", rf"/tasks/{_ID}", "GetTask"),
        ("GET", r"/tasks", "ListTasks"),
    )
)


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


def requests(
    messages: Sequence[JsonRpc],
    head: HttpRequest | None,
    headers: NamedHeaders,
    sni: str | None,
    memory: Memory,
    size: int,
    missing: int,
) -> tuple[A2aRequest, ...]:
    """Return the actions of those messages, in one body of `size` bytes, that are A2A's."""
    declared = is_a2a_request("", headers)
    agent = memory.agents.get(_address(head, sni, path_of(head.target))) if head else None
    return tuple(
        _request(
            _V1.get(message.method or "", message.method or "")[:MAX_NAME_CHARS],
            "jsonrpc",
            mapping(message.params),
            revision=_revision(headers) or ("0.3" if message.method in _V1 else None),
            id=message.id,
            agent=agent,
            size=size,
            truncated=message.truncated,
            missing=missing,
        )
        for message in messages[:MAX_BATCH]
        if message.method and (declared or is_a2a(message))
    )


def request_over_rest(
    head: HttpRequest,
    headers: NamedHeaders,
    value: Mapping[str, object],
    sni: str | None,
    memory: Memory,
    size: int,
    missing: int,
    truncated: bool,
) -> A2aRequest:
    """Return the action of an HTTP request that is A2A's, `value` what its body says."""
    path = path_of(head.target)
    method, base, task = _asked_of(head.method, path)
    asked = {"id": task, **value}
    return _request(
        method,
        "rest",
        asked,
        revision=_revision(headers),
        id=None,
        agent=memory.agents.get(_address(head, sni, base)),
        size=size,
        truncated=truncated,
        missing=missing,
    )


def _asked_of(verb: str, path: str) -> tuple[str, str, str | None]:
    """Return the method that a path of the REST binding is, what comes before it, and the task."""
    for wanted, pattern, method in _REST:
        if wanted in ("", verb) and (match := pattern.search(path)):
            return method, path[: match.start()], match[1] if match.lastindex else None
    return f"{verb} {path}"[:MAX_NAME_CHARS], path, None


def _request(
    method: str,
    binding: Literal["jsonrpc", "rest"],
    asked: Mapping[str, object],
    *,
    revision: str | None,
    id: str | None,
    agent: A2aAgent | None,
    size: int,
    truncated: bool,
    missing: int,
) -> A2aRequest:
    message = mapping(asked.get("message"))
    text, cut = text_of(message.get("parts"))
    task = message.get("taskId") or asked.get("taskId")
    if method not in _SENDING:
        task = task or asked.get("id")
    return A2aRequest(
        method=method,
        binding=binding,
        revision=revision,
        id=string(id, MAX_NAME_CHARS),
        task_id=string(task, MAX_NAME_CHARS),
        context_id=string(message.get("contextId") or asked.get("contextId"), MAX_NAME_CHARS),
        agent=agent,
        role=role_of(message),
        text=text or None,
        stream=method in _STREAMING,
        bytes=size,
        truncated=truncated or cut or missing > 0,
        missing_bytes=missing,
    )


def text_of(parts: object) -> tuple[str, bool]:
    """Return what the parts of a message or artifact say, bounded, and whether some is missing.

    Structured data is its JSON; files are described.
    """
    told = items(parts)
    texts, room = [], MAX_TEXT_CHARS
    for part in told[:MAX_PARTS]:
        text, cut = _part(mapping(part), room)
        texts.append(text)
        room -= len(text) + 1
        if cut or room <= 0:
            return "\n".join(texts), True
    return "\n".join(filter(None, texts)), len(told) > MAX_PARTS


def _part(part: Mapping[str, object], room: int) -> tuple[str, bool]:
    # 0.3: {"kind": "text" | "file" | "data"}; v1 has one of these members and no kind.
    text = part.get("text")
    if isinstance(text, str):
        return text[:room], len(text) > room
    if "data" in part:
        return to_json(part["data"], room)
    # 0.3: {"file": {"name", "mimeType", "bytes" | "uri"}}; v1: {"raw" | "url", "filename",
    # "mediaType"}.
    file = mapping(part.get("file")) or part
    named = map(file.get, ("mediaType", "mimeType", "filename", "name"))
    name = next(filter(None, map(string, named)), None)
    raw = string(file.get("raw") or file.get("bytes"))
    if name is None and raw is None and not part.keys() & {"url", "file"}:
        return "", False
    return described(name or "file", encoded_size(raw) if raw else None), False


def role_of(message: Mapping[str, object]) -> str | None:
    """Return who speaks, `user` or `agent`, however the revision writes it."""
    role = string(message.get("role"), MAX_NAME_CHARS)
    return role and role.removeprefix("ROLE_").lower()


def state_of(status: Mapping[str, object]) -> str | None:
    """Return the state of a task as `input_required`, however the revision writes it."""
    state = string(status.get("state"), MAX_NAME_CHARS)
    return state and state.removeprefix("TASK_STATE_").lower().replace("-", "_")


def agent_of(card: Mapping[str, object]) -> A2aAgent | None:
    """Return who a card is of, None where it has no name."""
    name = string(card.get("name"), MAX_NAME_CHARS)
    if name is None:
        return None
    return A2aAgent(
        name=name,
        version=string(card.get("version"), MAX_NAME_CHARS),
        url=next(iter(_urls(card)), None),
    )


def remember(card: Mapping[str, object], agent: A2aAgent, memory: Memory) -> None:
    """Let requests to the addresses that a card gives be told with its agent."""
    for url in _urls(card):
        if address := _address_of(url):
            memory.agents.put(address, agent)


def _urls(card: Mapping[str, object]) -> list[str]:
    # 0.3: `url` and `additionalInterfaces`; v1: `supportedInterfaces` alone.
    interfaces = (*items(card.get("supportedInterfaces")), *items(card.get("additionalInterfaces")))
    told = (card.get("url"), *(mapping(one).get("url") for one in interfaces[:MAX_ADDRESSES]))
    return list(dict.fromkeys(filter(None, (string(url, MAX_URL_CHARS) for url in told))))


def _address_of(url: str) -> str:
    host = host_of(url)
    return _normal(host, path_of(url)) if host else ""


def _address(head: HttpRequest, sni: str | None, path: str) -> str:
    # As the client spells it, with the port: several agents may be on one host.
    return _normal(header(head.headers, "host") or sni or "", path)


def _normal(host: str, path: str) -> str:
    host = host.lower().removesuffix(":443").removesuffix(":80")
    return f"{host}{path.rstrip('/')}"


def _revision(headers: NamedHeaders) -> str | None:
    return string(headers.get("a2a-version"), MAX_NAME_CHARS)
