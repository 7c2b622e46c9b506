"""What bytes of an AI agent mean: prompts, answers, tool calls, messages of MCP.

`classify` looks at one buffer by itself; `busted.classifier.connection` follows both streams
of a connection. Both use the same readers: `requests` and `answers` for what HTTP carries,
`dialects` for what it says, `providers` for who serves it. Everything here is pure: no I/O,
no clock, and nothing in the input makes it raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from busted.classifier import fingerprint, mcp, pii, requests
from busted.classifier.answers import AnswerReader
from busted.classifier.collect import BodyStore
from busted.classifier.direction import Direction
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import DEFAULT_OPTIONS, Options
from busted.classifier.privacy import path_of, safe_headers, safe_target
from busted.classifier.providers import Provider
from busted.classifier.requests import AI_CLASSES, ContentClass
from busted.events import Action, Finding, Sdk
from busted.protocols.detect import Protocol, detect
from busted.protocols.http import (
    HttpBody,
    HttpEnd,
    HttpMessage,
    HttpRequest,
    HttpResponse,
    header,
)
from busted.protocols.http1 import Http1Parser, Side
from busted.protocols.http2 import Http2Parser
from busted.protocols.http2_headers import UNKNOWN
from busted.protocols.jsonrpc import JsonRpc

__all__ = ["Classification", "Direction", "HttpInfo", "McpInfo", "classify"]


class HttpInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The head of the message; credentials in it are replaced, see `privacy`."""

    method: str | None = None
    path: str | None = None
    status: int | None = None
    headers: dict[str, str] = {}


class McpInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The first MCP message; an answer by itself does not say its method."""

    method: str | None = None
    category: str | None = None
    kind: Literal["request", "notification", "response", "error"]
    id: str | None = None
    tool: str | None = None


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """What one buffer is.

    `confidence` tells how sure `content_class` is. Of a request to a model, by how many of host,
    path and body speak for it: 1.0 all, 0.8 two, 0.5 one. Of an answer, which has no path: 1.0
    host and body, 0.8 the body alone. Of MCP: 1.0 headers and method, 0.8 the method, 0.5 the
    headers with a method nobody knows. What is HTTP or JSON-RPC and nothing more has 1.0, and
    what is nothing 0.0.

    The places of `pii` count bytes of the payload where a finding's `where` is "payload", or
    of the body with its chunks joined and its coding undone where that is "body". Heads are
    not searched, since every request has a key there, nor are bytes that are no text.

    `endpoint` is the path without its query. `actions` are what this buffer alone yields.
    """

    interesting: bool = False
    protocol: Protocol
    content_class: ContentClass = "none"
    provider: str | None = None
    provider_name: str | None = None
    api: str | None = None
    endpoint: str | None = None
    operation: str | None = None
    model: str | None = None
    stream: bool | None = None
    params: dict[str, bool | int | float | str] = {}
    sdk: Sdk | None = None
    agent: Sdk | None = None
    http: HttpInfo | None = None
    mcp: McpInfo | None = None
    pii: tuple[Finding, ...] = ()
    signature: str | None = None
    confidence: float = 0.0
    actions: tuple[Action, ...] = ()


_UNREADABLE = frozenset(("binary", "websocket", "unknown"))


def classify(
    payload: bytes,
    direction: Direction,
    sni: str | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> Classification:
    """Say what one buffer is, any bytes, with or without HTTP framing, whole or cut.

    `direction` is the watched process's, `sni` the server name that its TLS connection gave.
    Nothing is remembered from one call to the next.
    """
    protocol = detect(payload)
    provider = options.providers.find(sni)
    found = Classification(protocol=protocol, provider=_id(provider))
    if protocol not in _UNREADABLE:
        found = _read(payload, direction, sni, options, found)
    return msgspec.structs.replace(
        found,
        interesting=found.content_class in AI_CLASSES or found.provider is not None,
        provider_name=options.providers.name(found.provider),
    )


def _read(
    payload: bytes,
    direction: Direction,
    sni: str | None,
    options: Options,
    found: Classification,
) -> Classification:
    """Return what was found, with what can be read added."""
    head, body, truncated = _split(payload, found.protocol, direction)
    buffer = _Buffer(
        head=head,
        body=body,
        truncated=truncated,
        store=BodyStore(header(head.headers, "content-encoding") if head else None),
        direction=direction,
        sni=sni,
        options=options,
    )
    buffer.store.feed(body)
    judged = _judged(buffer, found)
    return msgspec.structs.replace(
        judged,
        pii=_findings(payload, buffer.store.decoded),
        actions=tuple(told for action in judged.actions for told in pii.examine(action, direction)),
    )


class _Buffer(msgspec.Struct, frozen=True, kw_only=True):
    """A buffer taken apart: its head if it has one, and its body with chunks joined."""

    head: HttpRequest | HttpResponse | None
    body: bytes
    truncated: bool
    store: BodyStore
    direction: Direction
    sni: str | None
    options: Options


def _split(
    payload: bytes, protocol: Protocol, direction: Direction
) -> tuple[HttpRequest | HttpResponse | None, bytes, bool]:
    """Return the first HTTP message: its head, its body, and whether it is cut."""
    if protocol == "http2":
        return _first(_read_http2(payload, direction))
    if protocol not in ("http1_request", "http1_response"):
        return None, payload, False
    parser = Http1Parser("request" if protocol == "http1_request" else "response")
    messages = parser.feed(payload)
    if not messages or not isinstance(messages[-1], HttpEnd):
        messages += parser.close()
    return _first(messages)


def _read_http2(payload: bytes, direction: Direction) -> list[HttpMessage]:
    """Return the messages of frames that do not say which side they come from, if it matters."""
    messages: list[HttpMessage] = []
    sides: list[Side] = ["request", "response"]
    for side in sides if direction is Direction.WRITE else reversed(sides):
        parser = Http2Parser(side, is_aligned=True)
        messages = parser.feed(payload) + parser.close()
        if not parser.is_mirrored:
            break
    return messages


def _first(
    messages: Sequence[HttpMessage],
) -> tuple[HttpRequest | HttpResponse | None, bytes, bool]:
    """Return the first message: its head, None if that was not seen, its body, if it is cut."""
    stream = messages[0].stream_id if messages else 0
    head: HttpRequest | HttpResponse | None = None
    body: list[bytes] = []
    for message in messages:
        match message:
            case _ if message.stream_id != stream:
                continue
            case HttpRequest() | HttpResponse():
                head = message
            case HttpBody():
                body.append(message.data)
            case HttpEnd():
                return _if_known(head), b"".join(body), message.truncated
    return _if_known(head), b"".join(body), bool(messages)


def _if_known(head: HttpRequest | HttpResponse | None) -> HttpRequest | HttpResponse | None:
    """Return the head unless it stands for one that was not seen."""
    if isinstance(head, HttpRequest):
        return None if head.target == UNKNOWN else head
    return head if head and head.status else None


def _judged(buffer: _Buffer, found: Classification) -> Classification:
    if isinstance(buffer.head, HttpRequest):
        return _as_request(buffer, found)
    if isinstance(buffer.head, HttpResponse):
        return _as_answer(buffer, found)
    # Without a head: as what goes this way for a client first, then as the other.
    judges = [_as_request, _as_answer]
    for judge in judges if buffer.direction is Direction.WRITE else reversed(judges):
        judged = judge(buffer, found)
        if judged.content_class != "none":
            return judged
    return found


def _as_request(buffer: _Buffer, found: Classification) -> Classification:
    head = buffer.head if isinstance(buffer.head, HttpRequest) else None
    request = requests.read(
        head,
        buffer.store,
        sni=buffer.sni,
        truncated=buffer.truncated,
        pending=Pending(),
        options=buffer.options,
    )
    if head is not None:
        found = msgspec.structs.replace(
            found,
            endpoint=path_of(head.target),
            sdk=request.sdk or fingerprint.sdk(head.headers),
            agent=request.agent or fingerprint.agent(head.headers),
            http=HttpInfo(
                method=head.method,
                path=safe_target(head.target),
                headers=safe_headers(head.headers),
            ),
        )
    if request.asked is not None:
        found = msgspec.structs.replace(
            found,
            model=request.asked.model,
            stream=request.asked.stream,
            params=request.asked.params,
            signature=request.signature,
        )
    return msgspec.structs.replace(
        found,
        content_class=request.content_class,
        confidence=request.confidence,
        provider=_id(request.provider) if head else found.provider,
        api=request.dialect and request.dialect.api,
        operation=request.dialect and request.dialect.operation,
        mcp=_mcp(request.rpc) if request.content_class == "mcp" else None,
        actions=request.actions,
    )


def _as_answer(buffer: _Buffer, found: Classification) -> Classification:
    head = buffer.head if isinstance(buffer.head, HttpResponse) else None
    reader = AnswerReader(
        head,
        None,
        buffer.options.providers.find(buffer.sni),
        pending=Pending(),
        options=buffer.options,
    )
    actions = reader.feed(buffer.body, 0) + reader.end(buffer.truncated, 0)
    if head is not None:
        found = msgspec.structs.replace(
            found, http=HttpInfo(status=head.status, headers=safe_headers(head.headers))
        )
    if reader.dialect is not None:
        found = msgspec.structs.replace(
            found,
            api=reader.dialect.api,
            operation=reader.dialect.operation,
            model=reader.answer.model,
            stream=reader.is_stream,
        )
    return msgspec.structs.replace(
        found,
        content_class=reader.content_class,
        confidence=reader.confidence,
        mcp=_mcp(reader.rpc) if reader.content_class == "mcp" else None,
        actions=tuple(actions),
    )


def _mcp(messages: Sequence[JsonRpc]) -> McpInfo | None:
    if not messages:
        return None
    first = messages[0]
    return McpInfo(
        method=first.method,
        category=mcp.category(first.method),
        kind=first.kind,
        id=first.id,
        tool=mcp.tool_of(first),
    )


def _findings(payload: bytes, body: bytes) -> tuple[Finding, ...]:
    """Return what is found in the body, placed in the payload if the body stands there as it is."""
    found = pii.find_in_body(body)
    if not found:
        return ()
    head_end = payload.find(b"\r\n\r\n") if len(body) < len(payload) else 0
    offset = payload.find(body, head_end) if head_end >= 0 else -1
    return tuple(
        msgspec.structs.replace(
            finding,
            start=finding.start + max(offset, 0),
            end=finding.end + max(offset, 0),
            where="payload" if offset >= 0 else "body",
        )
        for finding in found
    )


def _id(provider: Provider | None) -> str | None:
    return provider.id if provider else None
