"""What HTTP says of the MCP messages that it carries: session, revision, whose they are.

Strategy: one look at a head gives a `Carrier`, which goes along with the messages of the
body and with those of the answer. It also says which messages belong together: an answer may
come on another connection than its request, then a session's id or, in the HTTP+SSE transport
of 2024-11-05, the address that the stream's first event gives, ties them. What repeats arguments
in headers is in `mcp_params`.

Source: https://modelcontextprotocol.io/specification, "Transports" of each revision.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec

from busted.classifier.chat import MAX_NAME_CHARS
from busted.classifier.foreign import mapping, string
from busted.classifier.mcp_params import (
    MAX_PARAMS,
    PREFIX,
    Annotation,
    Repeated,
    contradictions,
)
from busted.classifier.privacy import path_of
from busted.protocols.http import HttpRequest, NamedHeaders, header
from busted.protocols.jsonrpc import JsonRpc
from busted.protocols.sse import SseEvent

Sender = Literal["client", "server"]
"""Which side of MCP, where both ask and answer: the client is the one that sends HTTP requests."""

_HEADERS = frozenset(("mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name"))
# 2026-07-28, "Standard Request Headers": the parameter that `Mcp-Name` repeats.
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
# An address with a session's id in it takes some 100 characters.
MAX_ENDPOINT_CHARS = 2048


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a body's messages beside themselves; all empty without HTTP.

    `declared` when the headers are MCP's, `server` is host and path, `session` a hash. Messages
    of the same `place` belong together, over all connections if `shared`.
    """

    declared: bool = False
    revision: str | None = None
    session: str | None = None
    method: str | None = None
    name: str | None = None
    params: Repeated = ()
    server: str | None = None
    place: str = ""
    shared: bool = False


def is_declared(headers: NamedHeaders) -> bool:
    """Tell whether a head has a header that is MCP's."""
    return not headers.keys().isdisjoint(_HEADERS)


def carrier(head: HttpRequest, sni: str | None) -> Carrier:
    """Return what a request's head says; `sni` goes before its Host header."""
    told = {name: value for name, value in head.headers if name in _HEADERS}
    host = (sni or header(head.headers, "host") or "").lower()
    server = f"{host}{path_of(head.target)}"
    session = told.get("mcp-session-id")
    return Carrier(
        declared=bool(told),
        revision=string(told.get("mcp-protocol-version"), MAX_NAME_CHARS),
        session=_hash(session) if session else None,
        method=told.get("mcp-method"),
        name=told.get("mcp-name"),
        params=tuple(
            (name, _decoded(value) or "") for name, value in head.headers if name.startswith(PREFIX)
        )[:MAX_PARAMS]
        if told
        else (),
        server=server if host else None,
        place=_hash(f"{server} {session}" if session else f"{host}{head.target}"),
        shared=session is not None,
    )


def answering(asked: Carrier, headers: NamedHeaders) -> Carrier:
    """Return what is known of an answer's messages: as `initialize` is answered, a session begins.

    The answer stays in its request's place, where its id was given.
    """
    if not is_declared(headers):
        return asked
    session = headers.get("mcp-session-id")
    revision = string(headers.get("mcp-protocol-version"), MAX_NAME_CHARS)
    return msgspec.structs.replace(
        asked,
        declared=True,
        session=_hash(session) if session else asked.session,
        revision=revision or asked.revision,
    )


def opened(stream: Carrier, event: SseEvent) -> Carrier | None:
    """Return where the messages of an HTTP+SSE stream belong, None if this does not open one.

    2024-11-05: "the server MUST send an `endpoint` event containing a URI for the client to
    use for sending messages", to which the client then posts.
    """
    if event.event != "endpoint" or len(event.data) > MAX_ENDPOINT_CHARS:
        return None
    # Never relative to the stream's path: all known servers send either of these.
    if event.data.startswith(("http://", "https://")):
        host, slash, path = event.data.partition("://")[2].partition("/")
        target = slash + path
    elif event.data.startswith("/"):
        host, target = (stream.server or "").partition("/")[0], event.data
    else:
        return None
    server = f"{host.lower()}{path_of(target)}"
    return msgspec.structs.replace(
        stream, server=server, place=_hash(f"{host.lower()}{target}"), shared=True
    )


def mismatches(
    carrier: Carrier,
    message: JsonRpc,
    revision: str | None,
    annotations: Sequence[Annotation] | None = None,
) -> tuple[str, ...]:
    """Return the headers that contradict the message they came with, by name.

    `revision` is the one that the message gives, `annotations` are of the tool that it calls, None
    when that is unknown. 2026-07-28: servers "MUST reject requests
    where the values specified in the headers do not match the values in the request body".
    """
    params = mapping(message.params)
    key = _NAMED_BY.get(message.method or "")
    named = string(params.get(key)) if key else None
    pairs = (
        ("mcp-protocol-version", carrier.revision, revision),
        ("mcp-method", carrier.method, message.method),
        ("mcp-name", _decoded(carrier.name), named),
    )
    # What was cut off cannot contradict.
    if message.truncated:
        return ()
    wrong = [
        name
        for name, said, meant in pairs
        if said is not None and meant is not None and said != meant
    ]
    if message.method == "tools/call":
        # Who sends `Mcp-Method` is of a revision that requires the others too.
        required = carrier.method is not None
        arguments = params.get("arguments")
        wrong += contradictions(carrier.params, arguments, annotations, required=required)
    return tuple(wrong)


def _decoded(value: str | None) -> str | None:
    """Return a header's value; one that headers cannot hold comes as `=?base64?...?=`."""
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, ValueError):
        return value


def _hash(text: str) -> str:
    """Return what tells texts apart and shows none; a session's id opens the session."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
