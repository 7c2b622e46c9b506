"""What one HTTP request is: a prompt, a message of MCP, or nothing of ours; and its actions.

Strategy: the more of host, path and body agree, the surer we are. A known host makes a
dialect's path enough; at an unknown host the body must look the part as well; and without
any head only a body that no other program sends. A known host alone is no prompt: agents
send telemetry to the hosts of their models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from busted.classifier import a2a, dialects, fingerprint, mcp, mcp_http, routes
from busted.classifier.chat import MAX_NAME_CHARS, ModelRequest, described
from busted.classifier.collect import BodyStore
from busted.classifier.credential import credential
from busted.classifier.dialects import Dialect
from busted.classifier.foreign import mapping, string
from busted.classifier.mcp_http import Carrier
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import Options
from busted.classifier.privacy import host_of, path_of
from busted.classifier.providers import Provider
from busted.events import A2aRequest, Action, Prompt, Sdk, ToolResult
from busted.protocols import jsonrpc, multipart, partial_json
from busted.protocols.http import HttpRequest, NamedHeaders, by_name, header
from busted.protocols.jsonrpc import JsonRpc

ContentClass = Literal[
    "llm_request", "llm_response", "llm_stream", "mcp", "a2a", "json_rpc", "http", "none"
]
AI_CLASSES = frozenset(("llm_request", "llm_response", "llm_stream", "mcp", "a2a"))

# Types of bodies that can be a prompt or JSON-RPC. curl's default for -d is a form's.
_JSON_TYPES = ("", "application/json", "text/plain", "application/x-www-form-urlencoded")

# How sure: how many of host, path and body shape speak for a dialect.
_CONFIDENCE = (0.0, 0.5, 0.8, 1.0)

# In JSON a quote inside a string is escaped, so these are keys; the last one is the request's
# own in all SDKs, since nested objects with these names come in the messages before.
_LATE_MODEL = re.compile(rb'(?<!\\)"model"\s{0,8}:\s{0,8}"([^"\\]{1,256})"')
_LATE_STREAM = re.compile(rb'(?<!\\)"stream"\s{0,8}:\s{0,8}(true|false)')


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was judged to be. `confidence` is 0 to 1, see `Classification`.

    `fetches` what it asks for if that is an answer kept for later: then there is no prompt. `a2a`
    is what it asks another agent, without what it says.
    """

    content_class: ContentClass = "none"
    confidence: float = 0.0
    provider: Provider | None = None
    dialect: Dialect | None = None
    model: str | None = None
    fetches: routes.Fetch | None = None
    asked: ModelRequest | None = None
    sdk: Sdk | None = None
    agent: Sdk | None = None
    signature: str | None = None
    rpc: tuple[JsonRpc, ...] = ()
    carrier: Carrier = Carrier()
    a2a: A2aRequest | None = None
    actions: tuple[Action, ...] = ()

    @property
    def is_ai(self) -> bool:
        """Whether it belongs to what we report."""
        return self.content_class in AI_CLASSES


def serving(head: HttpRequest | None, sni: str | None, options: Options) -> Provider | None:
    """Return who serves a request: the server name that TLS checked goes before the Host header."""
    headers = by_name(head.headers) if head else {}
    host = _host(head, headers, sni)
    return options.providers.find(host, path_of(head.target) if head else None)


def _host(head: HttpRequest | None, headers: NamedHeaders, sni: str | None) -> str | None:
    # RFC 9112 section 3.2.2: a server "MUST ignore the received Host header field (if any)" where
    # the target has a host, as nginx does.
    return sni or (host_of(head.target) if head else None) or headers.get("host")


def body_store(head: HttpRequest) -> BodyStore:
    """Return where to collect a request's body; one that cannot be ours is only counted."""
    kind = (header(head.headers, "content-type") or "").partition(";")[0].strip().lower()
    wanted = (
        kind in _JSON_TYPES
        or kind.endswith("+json")
        or dialects.by_path(path_of(head.target)) is not None
    )
    encoding = header(head.headers, "content-encoding")
    return BodyStore(encoding) if wanted else BodyStore(encoding, limit=0)


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A request as far as it was seen, taken apart once. Without a head it has no headers."""

    head: HttpRequest | None
    headers: NamedHeaders
    path: str
    route: routes.Route | None
    body: BodyStore
    value: dialects.Body
    truncated: bool


def read(
    head: HttpRequest | None,
    body: BodyStore,
    *,
    sni: str | None,
    truncated: bool,
    pending: Pending | None,
    options: Options,
) -> Request:
    """Judge a request, whole or as far as it was seen, and return its actions with it.

    Without a head, the body is judged by itself and `sni`; without `pending`, by itself alone.
    """
    is_unfinished, truncated = truncated, truncated or body.truncated
    headers = by_name(head.headers) if head else {}
    path = path_of(head.target) if head else ""
    served_by = options.providers.find(_host(head, headers, sni), path if head else None)
    # A port of this host is a hint: it names nobody until the body has the shape as well.
    provider = None if served_by and served_by.local_ports else served_by
    raw = body.decoded
    if b'"jsonrpc"' in raw:
        messages = jsonrpc.read(raw)
        if messages:
            carrier = mcp_http.carrier(head, sni) if head else Carrier()
            pending = Pending() if pending is None else pending
            return _rpc(head, headers, sni, body, messages, provider, carrier, pending)
    if head is not None:
        if mcp_http.is_declared(headers):
            carrier = mcp_http.carrier(head, sni)
            return Request(content_class="mcp", confidence=0.8, provider=provider, carrier=carrier)
        if a2a.is_a2a_request(path, headers):
            value, cut = _value(headers, body, truncated)
            memory = Pending().memory if pending is None else pending.memory
            said = a2a.request_over_rest(
                head, headers, value, sni, memory, body.size, body.missing, truncated or cut
            )
            return _a2a((said,), provider)
    value, cut = _value(headers, body, truncated)
    route = routes.find(path) if head else None
    if route and route.model and (value or provider):
        value = {"model": route.model, **value}
    seen = _Seen(
        head=head,
        headers=headers,
        path=path,
        route=route,
        body=body,
        value=value,
        truncated=truncated or cut,
    )
    dialect, confidence = _dialect(seen, provider)
    if dialect is None and head and (called := dialects.by_call(head)):
        dialect, call = called
        confidence = _CONFIDENCE[1 + (provider is not None)]
        seen = msgspec.structs.replace(
            seen,
            value={"model": call.model},
            route=routes.Route(None, call.model, call.stream),
            truncated=is_unfinished or body.missing > 0,  # its body is only counted
        )
    if dialect is None:
        kind: ContentClass = "http" if head else "none"
        fetches = provider and head and head.method == "GET" and routes.fetched(path)
        return Request(
            content_class=kind,
            dialect=dialects.by_fetch(path) if fetches else None,
            fetches=fetches or None,
            confidence=float(head is not None),
            provider=provider,
            # Its answer may open a stream of MCP.
            carrier=mcp_http.carrier(head, sni) if head else Carrier(),
        )
    who = served_by if value else provider
    return _prompt(seen, who, dialect, confidence, options.credential_key)


def told(
    head: HttpRequest | None,
    body: BodyStore,
    value: dialects.Body,
    dialect: Dialect,
    *,
    sni: str | None,
    truncated: bool,
    options: Options,
) -> Request:
    """Return a request that is known to be of a dialect, `value` what it says; with its actions.

    `head` may be that of another request, which opened the WebSocket that this one went over.
    """
    seen = _Seen(
        head=head,
        headers=by_name(head.headers) if head else {},
        path=path_of(head.target) if head else "",
        route=None,
        body=body,
        value=value,
        truncated=truncated,
    )
    return _prompt(seen, serving(head, sni, options), dialect, 1.0, options.credential_key)


def _value(headers: NamedHeaders, body: BodyStore, truncated: bool) -> tuple[dialects.Body, bool]:
    """Return what a body says by its names, and whether some of it is missing."""
    raw = body.decoded
    if boundary := _boundary(headers):
        value = _form(multipart.read(raw, boundary))
        # Clients that put the file first have its settings in what was kept of the end.
        return _form(multipart.read(body.tail, boundary)) | value, False
    if not raw:
        return {}, False
    parsed = partial_json.parse(raw, cut=truncated)
    return (mapping(parsed.value) if parsed.ok else {}), parsed.truncated or not parsed.ok


def _boundary(headers: NamedHeaders) -> bytes | None:
    return multipart.boundary(headers.get("content-type", ""))


def _form(fields: tuple[multipart.FormField, ...]) -> dict[str, object]:
    """Return a form as JSON would say it; files are described, a repeated field is one text."""
    value: dict[str, object] = {}
    for field in fields:
        name = field.name.removesuffix("[]")
        told = field.data.decode("utf-8", "replace")
        if field.filename is not None:
            told = described(field.filename, None if field.truncated else len(field.data))
        before = value.get(name)
        value[name] = told if before is None else f"{before}\n{told}"
    return value


def _dialect(seen: _Seen, provider: Provider | None) -> tuple[Dialect | None, float]:
    """Return the dialect that a request speaks and how sure that is."""
    hosted = provider is not None
    if seen.head is None:
        dialect = dialects.by_name(provider.api) if provider else None
        if dialect is None or not dialect.is_request(seen.value):
            dialect = dialects.by_request(seen.value)
        if dialect is None:
            return None, 0.0
        return dialect, _CONFIDENCE[1 + hosted]
    if seen.head.method != "POST":
        return None, 0.0
    spoken = provider.api if provider else None
    dialect = dialects.of_request(seen.path, seen.value, spoken)
    if dialect is None:
        return None, 0.0
    # A body cut before its messages still names a model; one not seen at all says nothing.
    shaped = dialect.is_request(seen.value) or (
        seen.truncated and string(seen.value.get("model")) is not None
    )
    unseen = seen.truncated and not seen.body.decoded and not dialect.common_paths
    if not (hosted or shaped or unseen):
        return None, 0.0
    return dialect, _CONFIDENCE[1 + hosted + shaped]


def _prompt(
    seen: _Seen,
    provider: Provider | None,
    dialect: Dialect,
    confidence: float,
    credential_key: bytes,
) -> Request:
    asked = _asked(seen, dialect)
    head, headers, body = seen.head, seen.headers, seen.body
    target = head.target if head else ""
    sdk, agent = fingerprint.sdk(headers), fingerprint.agent(headers)
    client = agent or sdk
    signature = fingerprint.signature(
        dialect.api, client.name if client else None, seen.value, asked.tools
    )
    provider_id = provider.id if provider else None
    prompt = Prompt(
        api=dialect.api,
        provider=provider_id,
        endpoint=seen.path if head else None,
        operation=dialect.operation,
        model=asked.model,
        messages=asked.messages,
        system_prompt=asked.system_prompt,
        user_message=asked.user_message,
        tools=asked.tools,
        stream=asked.stream,
        params=asked.params,
        sdk=sdk,
        agent=agent,
        agent_session=fingerprint.session(headers),
        api_version=fingerprint.api_version(headers, target),
        betas=fingerprint.betas(head.headers) if head else (),
        credential=credential(headers, target, credential_key),
        fingerprint=signature,
        bytes=body.size,
        truncated=seen.truncated or asked.truncated,
        missing_bytes=body.missing,
    )
    actions: tuple[Action, ...] = ()
    if seen.value or provider:  # a head alone, at a host that nobody knows, is not yet a prompt
        actions = (prompt, *_results(asked, provider_id, seen.truncated))
    return Request(
        content_class="llm_request",
        confidence=confidence,
        provider=provider,
        dialect=dialect,
        model=asked.model,
        asked=asked,
        sdk=sdk,
        agent=agent,
        signature=signature,
        actions=actions,
    )


def _asked(seen: _Seen, dialect: Dialect) -> ModelRequest:
    """Return what the body says, and what its kept end and the path add to that."""
    asked = dialect.read_request(seen.value)
    if seen.body.tail and not _boundary(seen.headers):
        asked = _with_tail(asked, seen.body.tail)
    if seen.route and seen.route.stream:
        asked = msgspec.structs.replace(asked, stream=True)
    return asked


def _results(asked: ModelRequest, provider_id: str | None, truncated: bool) -> Iterator[ToolResult]:
    """Yield the results that a request brings; only the last one can be cut."""
    for result in asked.results:
        cut = truncated and result is asked.results[-1]
        yield msgspec.structs.replace(result, provider=provider_id, truncated=cut)


def _with_tail(asked: ModelRequest, tail: bytes) -> ModelRequest:
    """Return the request with what its cut-off end tells: model and stream."""
    models, streams = _LATE_MODEL.findall(tail), _LATE_STREAM.findall(tail)
    model = models[-1].decode("utf-8", "replace")[:MAX_NAME_CHARS] if models else None
    return msgspec.structs.replace(
        asked,
        model=asked.model or model,
        stream=asked.stream or (bool(streams) and streams[-1] == b"true"),
    )


def _a2a(said: tuple[A2aRequest, ...], provider: Provider | None) -> Request:
    return Request(
        content_class="a2a",
        confidence=0.8,
        provider=provider,
        a2a=msgspec.structs.replace(said[0], text=None),
        actions=said,
    )


def _rpc(
    head: HttpRequest | None,
    headers: NamedHeaders,
    sni: str | None,
    body: BodyStore,
    messages: tuple[JsonRpc, ...],
    provider: Provider | None,
    carrier: Carrier,
    pending: Pending,
) -> Request:
    said: tuple[A2aRequest, ...] = ()
    if not carrier.declared:
        said = a2a.requests(messages, head, headers, sni, pending.memory, body.size, body.missing)
    if said:
        return msgspec.structs.replace(_a2a(said, provider), rpc=messages)
    actions = mcp.actions(messages, carrier, pending, "client", body.size)
    kind: ContentClass = "json_rpc"
    confidence = 1.0
    if actions:
        kind = "mcp"
        known = any(mcp.category(message.method) for message in messages)
        confidence = _CONFIDENCE[1 + known + carrier.declared]
    return Request(
        content_class=kind,
        confidence=confidence,
        provider=provider,
        rpc=messages,
        carrier=carrier,
        actions=actions,
    )
