"""The routes of the API, as one table: from it come the handlers, and the OpenAPI document.

An answer is a function of the source and of the parameters, which are checked by the table before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec

from busted import __version__
from busted.events import SCHEMA, Event
from busted.ui.source import Source, Unavailable

PREFIX = "/api/v1"
# The dashboard shows some hundred at once; more is what exports are for.
MAX_LIMIT = 1000

# A policy that is tried is one module that somebody writes; the largest that we ship has 5 KB.
MAX_POLICY = 64 << 10
# As many as are judged in a second or two.
MAX_TRIED = 1000

Kind = Literal["string", "integer", "time"]
Asked = dict[str, Any]
"""Parameters by name, checked."""


_OBJECT = MappingProxyType({"type": "object"})


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a query, or of a path; `choices` are all its values where it has few."""

    name: str
    about: str
    kind: Kind = "string"
    choices: tuple[str, ...] = ()
    default: Any = None
    least: int = 0
    most: int = 2**63 - 1
    in_path: bool = False


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy, as the text of one Rego module, and how many events it is tried on."""

    policy: Annotated[str, msgspec.Meta(max_length=MAX_POLICY)]
    events: Annotated[int, msgspec.Meta(ge=1, le=MAX_TRIED)] = MAX_TRIED


class Reveal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which event: the path says so."""


class Route(msgspec.Struct, frozen=True):
    """A path below the prefix, what it answers, and what that is: a schema's name.

    One with a `body` is asked by POST, and `asked["body"]` is that; one that `needs_token` is
    answered only where the server has one, and `asked["by"]` says who asked.
    """

    path: str
    about: str
    answer: Callable[[Source, Asked], Any]
    parameters: tuple[Parameter, ...] = ()
    schema: Mapping[str, Any] = _OBJECT
    media: tuple[str, ...] = ("application/json",)
    body: type[msgspec.Struct] | None = None
    needs_token: bool = False

    @property
    def method(self) -> str:
        """The method of HTTP."""
        return "POST" if self.body else "GET"

    @property
    def name(self) -> str:
        """What the document calls the operation."""
        words = self.path.replace("{", "by_").replace("}", "").replace(".", "_").strip("/")
        return words.replace("/", "_")


FILTERS = (
    Parameter("since", "From this time on.", "time"),
    Parameter("until", "Before this time.", "time"),
    Parameter("type", "Of this type: Prompt, ToolCall, ..."),
    Parameter("agent", "Of this agent."),
    Parameter("provider", "To or from this provider."),
    Parameter("model", "To or from this model."),
    Parameter("pid", "Of this process.", "integer"),
    Parameter("subject", "With this tool, MCP method, program or host."),
    Parameter("decision", "That policy decided so.", choices=("allow", "audit", "deny")),
    Parameter("session", "Of this session."),
    Parameter("exchange", "Of this exchange."),
    Parameter("finding", "With personal data or a secret of this kind."),
    Parameter("text", 'With all these words; "..." is a phrase, `word*` a beginning.'),
)
_TIMES = FILTERS[:2]
_ID = Parameter("id", "Which one.", in_path=True)
_LIMIT = Parameter("limit", "So many at most.", "integer", default=100, least=1, most=MAX_LIMIT)

_EVENT = {"$ref": "#/components/schemas/Event"}
_EVENTS = {"type": "array", "items": _EVENT}
_OBJECTS = {"type": "array", "items": {"type": "object"}}


def _list(name: str, items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: items}}


def chosen(asked: Asked) -> Asked:
    """Return of the parameters those that choose events."""
    names = [filter.name for filter in FILTERS]
    return {name: asked[name] for name in names if asked.get(name) is not None}


def _groups(column: str, name: str, **fixed: str) -> Callable[[Source, Asked], Any]:
    def answer(source: Source, asked: Asked) -> Any:
        return {name: source.groups(column, chosen(asked) | fixed, asked["limit"])}

    return answer


def _totals(source: Source, asked: Asked) -> Any:
    group, minutes = asked["group"], asked["minutes"]
    return {"totals": source.totals(group, chosen(asked), minutes)}


def _providers(source: Source, asked: Asked) -> Any:
    # As one piece of time, however long it is.
    whole = 2**31
    return {
        "providers": source.totals("provider", chosen(asked), whole),
        "models": source.totals("model", chosen(asked), whole),
    }


def _policy(source: Source, asked: Asked) -> Any:
    status = source.status()
    decisions = source.totals("decision", chosen(asked), asked["minutes"])
    return {"policy": status.get("policy"), "held": status.get("held"), "decisions": decisions}


def _coverage(source: Source, asked: Asked) -> Any:
    status = source.status()
    told = ("libraries", "unreadable", "left_out", "lost")
    return {name: status[name] for name in told}


def _health(source: Source, asked: Asked) -> Any:
    health = source.health()
    try:
        told = source.status()
    except Exception as error:
        return health | {"monitor": None, "why": str(error)}
    return health | {"monitor": told}


def _meta(source: Source, asked: Asked) -> Any:
    return {
        "version": __version__,
        "schema": SCHEMA,
        "max_limit": MAX_LIMIT,
        "filters": [filter.name for filter in FILTERS],
        "groups": list(GROUPS),
        "reveals": _reveals(source),
    }


def _reveals(source: Source) -> bool:
    try:
        return bool(source.status().get("reveals"))
    except Unavailable:
        return False


GROUPS = ("agent", "provider", "model", "type", "decision")
_MINUTES = Parameter(
    "minutes", "Of so many minutes each.", "integer", default=1, least=1, most=10**6
)

ROUTES = (
    Route(
        "/events",
        "Events of the history, the newest first, page by page.",
        lambda source, asked: source.events(chosen(asked), asked["limit"], asked["cursor"]),
        (*FILTERS, _LIMIT, Parameter("cursor", "`next` of the page before.")),
        {
            "type": "object",
            "required": ["events", "next"],
            "properties": {"events": _EVENTS, "next": {"type": ["string", "null"]}},
        },
    ),
    Route(
        "/stream",
        "Events as they happen, as server-sent events: `event` with the event's id, and `gap` "
        "where some are missing. With Last-Event-ID it goes on behind that event.",
        lambda source, asked: None,
        FILTERS,
        {"type": "string"},
        ("text/event-stream",),
    ),
    Route("/events/{id}", "One event.", lambda s, a: s.event(a["id"]), (_ID,), _EVENT),
    Route(
        "/events/{id}/reveal",
        "One event as it was said, where the operator lets that be; it is audited.",
        lambda source, asked: source.reveal(asked["id"], asked["by"]),
        (_ID,),
        _EVENT,
        body=Reveal,
        needs_token=True,
    ),
    Route(
        "/exchanges/{id}",
        "A request, its answer and their tool calls, oldest first.",
        lambda source, asked: {"events": source.exchange(asked["id"])},
        (_ID,),
        _list("events", _EVENTS),
    ),
    Route(
        "/sessions",
        "Sessions, the last seen first, each with its newest event.",
        _groups("session", "sessions"),
        (*FILTERS, _LIMIT),
        _list("sessions", _OBJECTS),
    ),
    Route(
        "/sessions/{id}",
        "The newest events of a session, oldest first.",
        lambda source, asked: {"events": source.session(asked["id"], asked["limit"])},
        (_ID, _LIMIT),
        _list("events", _EVENTS),
    ),
    Route(
        "/totals",
        "Sums over time: events, tokens, cost, errors, latency.",
        _totals,
        (
            Parameter("group", "For each of these.", choices=GROUPS, default="type"),
            *_TIMES,
            _MINUTES,
        ),
        _list("totals", _OBJECTS),
    ),
    Route(
        "/agents",
        "The identities that the monitor knows, the last seen first.",
        lambda source, asked: {"agents": source.agents(asked["limit"])},
        (msgspec.structs.replace(_LIMIT, most=500),),
        _list("agents", _OBJECTS),
    ),
    Route(
        "/agents/{id}",
        "One identity, with its timeline and graph.",
        lambda source, asked: source.agent(asked["id"]),
        (_ID,),
    ),
    Route(
        "/providers",
        "What was asked of each provider and model.",
        _providers,
        _TIMES,
        _list("providers", _OBJECTS),
    ),
    Route(
        "/processes",
        "Processes, the last seen first, each with its newest event.",
        _groups("pid", "processes"),
        (*FILTERS, _LIMIT),
        _list("processes", _OBJECTS),
    ),
    Route(
        "/mcp",
        "MCP tools and methods, the last used first, each with its newest request.",
        _groups("subject", "tools", type="McpRequest"),
        (*(one for one in FILTERS if one.name != "type"), _LIMIT),
        _list("tools", _OBJECTS),
    ),
    Route(
        "/policy",
        "The policy, and its decisions over time.",
        _policy,
        (*_TIMES, _MINUTES),
        _list("decisions", _OBJECTS),
    ),
    Route(
        "/policy/try",
        "What a policy would have said of the newest events of the history.",
        lambda source, asked: source.try_policy(asked["body"].policy, asked["body"].events),
        body=Trial,
    ),
    Route("/coverage", "What is watched, what is not, and what was lost.", _coverage),
    Route("/health", "How the monitor and this server are.", _health),
    Route(
        "/export",
        "Events as a file, oldest first.",
        lambda source, asked: source.export(asked["format"], chosen(asked)),
        (
            Parameter("format", "Which.", choices=("jsonl", "har", "markdown"), default="jsonl"),
            *FILTERS,
        ),
        {"type": "string"},
        ("application/x-ndjson", "application/json", "text/markdown"),
    ),
    Route("/meta", "Versions, limits, and what can be asked for.", _meta),
    Route("/openapi.json", "This document.", lambda source, asked: openapi()),
)


def checked(route: Route, query: Mapping[str, str], path: Mapping[str, str]) -> Asked:
    """Return the parameters of a request. Raises ValueError, which says what is wrong."""
    known = {parameter.name: parameter for parameter in route.parameters}
    if unknown := sorted(query.keys() - known.keys()):
        raise ValueError(f"there is no parameter {unknown[0]!r}")
    asked: Asked = {}
    for name, parameter in known.items():
        text = path.get(name) if parameter.in_path else query.get(name)
        asked[name] = parameter.default if text is None else _value(parameter, text)
    return asked


def _value(parameter: Parameter, text: str) -> Any:
    name = parameter.name
    if parameter.choices and text not in parameter.choices:
        raise ValueError(f"{name} must be one of {', '.join(parameter.choices)}")
    if parameter.kind == "integer":
        if not text.isascii() or not text.isdigit() or len(text) > 19:
            raise ValueError(f"{name} must be a number")
        if not parameter.least <= int(text) <= parameter.most:
            raise ValueError(f"{name} must be from {parameter.least} to {parameter.most}")
        return int(text)
    if parameter.kind == "time":
        try:
            told = datetime.fromisoformat(text)
            return int(told.replace(tzinfo=told.tzinfo or UTC).timestamp() * 10**6) * 1000
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name} must be a time such as 2026-11-22T14:00:00Z") from error
    return text


def openapi() -> dict[str, Any]:
    """Return the document (https://spec.openapis.org/oas/v3.1.0) that describes every route."""
    bodies = [route.body for route in ROUTES if route.body]
    (_, components) = msgspec.json.schema_components(
        [Event, *bodies], ref_template="#/components/schemas/{name}"
    )
    problem = {"type": "object", "properties": {"error": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Busted",
            "version": __version__,
            "description": "What AI agents on this host say and do.",
        },
        "paths": {
            PREFIX + route.path: {route.method.lower(): _operation(route)} for route in ROUTES
        },
        "components": {
            "schemas": {**components, "Problem": problem},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    problems = {"400": "Not understood.", "401": "Without the token.", "503": "Not to be had now."}
    if any(parameter.in_path for parameter in route.parameters):
        problems["404"] = "Not there."
    asked: dict[str, Any] = {}
    if route.body:
        body = {"schema": {"$ref": f"#/components/schemas/{route.body.__name__}"}}
        asked["requestBody"] = {"required": True, "content": {"application/json": body}}
        problems |= {"403": "Refused.", "413": "Too long.", "415": "Not JSON."}
    content = {media: {"schema": dict(route.schema)} for media in route.media}
    return {
        "operationId": route.name,
        "summary": route.about,
        **asked,
        "parameters": [_described(parameter) for parameter in route.parameters],
        "responses": {
            "200": {"description": route.about, "content": content},
            **{code: {"description": why, "content": problem} for code, why in problems.items()},
        },
    }


def _described(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if parameter.kind == "integer":
        schema = {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
    elif parameter.kind == "time":
        schema["format"] = "date-time"
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": "path" if parameter.in_path else "query",
        "required": parameter.in_path,
        "description": parameter.about,
        "schema": schema,
    }
