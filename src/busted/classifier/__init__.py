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

from busted.classifier import fingerprint, mcp, requests
from busted.classifier.answers import AnswerReader
from busted.classifier.collect import BodyStore
from busted.classifier.direction import Direction
from busted.classifier.options import DEFAULT_OPTIONS, Options
from busted.classifier.privacy import path_of, safe_headers, safe_target
from busted.classifier.providers import Provider
from busted.classifier.requests import AI_CLASSES, ContentClass, Request
from busted.events import Action, Finding, Sdk
from busted.protocols.detect import Protocol, detect
from busted.protocols.http import (
    HttpBody,
    HttpEnd,
    HttpMessage,
    HttpRequest,
    HttpResponse,
    by_name,
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
    if protocol in _UNREADABLE:
        return Classification(
            interesting=provider is not None,
            protocol=protocol,
            provider=_id(provider),
            provider_name=options.providers.name(_id(provider)),
        )
    head, body, truncated = _split(payload, protocol, direction)
    store = BodyStore(header(head.headers, "content-encoding") if head else None)
    store.feed(body)
    buffer = _Buffer(
        payload=payload,
        protocol=protocol,
        provider=provider,
        head=head,
        body=body,
        truncated=truncated,
        store=store,
        direction=direction,
        sni=sni,
        options=options,
    )
    if isinstance(head, HttpRequest):
        return _of_request(buffer, _as_request(buffer))
    if isinstance(head, HttpResponse):
        return _of_answer(buffer, *_as_answer(buffer))
    return _without_head(buffer)


class _Buffer(msgspec.Struct, frozen=True, kw_only=True):
    """A buffer taken apart: its head if it has one, and its body with chunks joined.

    `provider` is who may be meant by the server name.
    """

    payload: bytes
    protocol: Protocol
    provider: Provider | None
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
        if message.stream_id != stream:
            continue
        match message:
            case HttpBody():
                body.append(message.data)
            case HttpRequest() | HttpResponse():
                head = message
            case HttpEnd():
                return _if_known(head), b"".join(body), message.truncated
    return _if_known(head), b"".join(body), bool(messages)


def _if_known(head: HttpRequest | HttpResponse | None) -> HttpRequest | HttpResponse | None:
    """Return the head unless it stands for one that was not seen."""
    if isinstance(head, HttpRequest):
        return None if head.target == UNKNOWN else head
    return head if head and head.status else None


def _without_head(buffer: _Buffer) -> Classification:
    """Judge a body as what goes this way for a client first, then as the other."""
    is_write = buffer.direction is Direction.WRITE
    for as_request in (is_write, not is_write):
        if as_request:
            request = _as_request(buffer)
            if request.content_class != "none":
                return _of_request(buffer, request)
        else:
            reader, actions = _as_answer(buffer)
            if reader.content_class != "none":
                return _of_answer(buffer, reader, actions)
    return Classification(
        interesting=buffer.provider is not None,
        protocol=buffer.protocol,
        provider=_id(buffer.provider),
        provider_name=buffer.options.providers.name(_id(buffer.provider)),
        pii=_findings(buffer),
    )


def _as_request(buffer: _Buffer) -> Request:
    return requests.read(
        buffer.head if isinstance(buffer.head, HttpRequest) else None,
        buffer.store,
        sni=buffer.sni,
        truncated=buffer.truncated,
        pending=None,
        options=buffer.options,
    )


def _of_request(buffer: _Buffer, request: Request) -> Classification:
    head = buffer.head if isinstance(buffer.head, HttpRequest) else None
    provider = _id(request.provider if head else buffer.provider)
    asked, sdk, agent, http = request.asked, request.sdk, request.agent, None
    if head is not None:
        http = HttpInfo(
            method=head.method, path=safe_target(head.target), headers=safe_headers(head.headers)
        )
        if asked is None:  # no prompt, so nobody looked yet who sends it
            headers = by_name(head.headers)
            sdk, agent = fingerprint.sdk(headers), fingerprint.agent(headers)
    return Classification(
        interesting=request.is_ai or provider is not None,
        protocol=buffer.protocol,
        content_class=request.content_class,
        provider=provider,
        provider_name=buffer.options.providers.name(provider),
        api=request.dialect.api if request.dialect else None,
        endpoint=path_of(head.target) if head else None,
        operation=request.dialect.operation if request.dialect else None,
        model=asked.model if asked else None,
        stream=asked.stream if asked else None,
        params=asked.params if asked else {},
        sdk=sdk,
        agent=agent,
        http=http,
        mcp=_mcp(request.rpc) if request.content_class == "mcp" else None,
        pii=_findings(buffer),
        signature=request.signature,
        confidence=request.confidence,
        actions=_examined(request.actions, buffer),
    )


def _as_answer(buffer: _Buffer) -> tuple[AnswerReader, Sequence[Action]]:
    reader = AnswerReader(
        buffer.head if isinstance(buffer.head, HttpResponse) else None,
        None,
        buffer.provider,
        pending=None,
        options=buffer.options,
    )
    actions = reader.feed(buffer.body, 0)
    return reader, (*actions, *reader.end(buffer.truncated, 0))


def _of_answer(buffer: _Buffer, reader: AnswerReader, actions: Sequence[Action]) -> Classification:
    head = buffer.head if isinstance(buffer.head, HttpResponse) else None
    dialect, provider = reader.dialect, _id(buffer.provider)
    return Classification(
        interesting=reader.content_class in AI_CLASSES or provider is not None,
        protocol=buffer.protocol,
        content_class=reader.content_class,
        provider=provider,
        provider_name=buffer.options.providers.name(provider),
        api=dialect.api if dialect else None,
        operation=dialect.operation if dialect else None,
        model=reader.answer.model if dialect else None,
        stream=reader.is_stream if dialect else None,
        http=HttpInfo(status=head.status, headers=safe_headers(head.headers)) if head else None,
        mcp=_mcp(reader.rpc) if reader.content_class == "mcp" else None,
        pii=_findings(buffer),
        confidence=reader.confidence,
        actions=_examined(actions, buffer),
    )


def _examined(actions: Sequence[Action], buffer: _Buffer) -> tuple[Action, ...]:
    examine = buffer.options.scanner.examine
    return tuple([told for action in actions for told in examine(action, buffer.direction)])


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


def _findings(buffer: _Buffer) -> tuple[Finding, ...]:
    """Return what is found in the body, placed in the payload if the body stands there as it is."""
    payload, body = buffer.payload, buffer.store.decoded
    found = buffer.options.scanner.find_in_body(body).findings
    if not found:
        return ()
    if payload.endswith(body):
        offset = len(payload) - len(body)
    else:
        head_end = payload.find(b"\r\n\r\n")
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
