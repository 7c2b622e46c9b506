"""The server: the routes of the table over HTTP, and what keeps strangers out.

Strategy: a handler checks the parameters by the table and has the source answer in a thread. Around
all of them stands `Guard`: only the names of this server are answered, so that a page that has its
own name resolve to this host learns nothing (DNS rebinding); the token is compared in constant
time; no other origin may read (there is no CORS), embed or cache what is sent. What is asked by
POST must come from this server's own page, or from none, and be JSON, which no form sends.

People who signed in at a proxy (OpenID Connect, say) are known by a header that it sets. It shows
with the token that it is the proxy, so that nobody else can claim to be somebody. A browser shows
the token once, for a session (`sessions`).

Left out: accounts; writing.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as Path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from busted.ui import page
from busted.ui.routes import PREFIX, ROUTES, Route, checked, chosen
from busted.ui.sessions import Sessions, cookie, is_of_own_page, word_of
from busted.ui.source import NotThere, Refused, Source, Unavailable
from busted.ui.stream import stream

log = logging.getLogger(__name__)

SESSION = f"{PREFIX}/session"

# Longer ones are nobody's who asks for events.
MAX_QUERY_BYTES = 8 << 10

# The longest body is a policy, escaped.
MAX_BODY_BYTES = 256 << 10

# OWASP's HTTP headers; the API has nothing to load, so nothing may be loaded.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FILES = {
    "jsonl": ("application/x-ndjson", "events.jsonl"),
    "har": ("application/json", "events.har"),
    "markdown": ("text/markdown", "events.md"),
}


class Access(msgspec.Struct, frozen=True):
    """Who is answered: requests for these names of this server, with the token where there is one.

    Addresses of loopback and `localhost` are always among the names. `user_header` is where a proxy
    that has the token says for whom it asks.
    """

    hosts: frozenset[str] = frozenset()
    token: str | None = None
    user_header: str | None = None


def application(source: Source, access: Access) -> ASGIApp:
    """Return the server as an ASGI application."""
    paths = [
        Path(PREFIX + route.path, _handler(route, source, access), methods=[route.method])
        for route in ROUTES
    ]
    sessions = Sessions()
    paths.append(Path(SESSION, _session(sessions, access), methods=["GET", "POST", "DELETE"]))
    paths += page.ROUTES
    handlers: Any = {HTTPException: _failed, Exception: _broken}
    return Guard(Starlette(routes=paths, exception_handlers=handlers), access, sessions)


class Guard:
    """Lets pass who may ask, and adds to every answer what browsers need to be told."""

    def __init__(self, app: ASGIApp, access: Access, sessions: Sessions) -> None:
        """Stand before `app`."""
        self._app, self._access, self._sessions = app, access, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                more = [(name.lower().encode(), text.encode()) for name, text in _HEADERS.items()]
                message["headers"] += [pair for pair in more if pair[0] not in there]
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not is_named(hosts[0], self._access.hosts):
            return problem(421, "this server has another name: see --allow-host")
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            return problem(414, "the query is too long")
        # The page itself holds no secrets, and asks whoever reads it for the token.
        if self._access.token is None or not scope["path"].startswith(PREFIX):
            return None
        sent = [value for name, value in headers if name == b"authorization"]
        if not sent and (word := word_of(headers)) and self._sessions.has(word, time.monotonic()):
            if is_of_own_page(scope["method"], headers):
                return None
            return problem(403, "another page may not ask for this")
        wanted = b"Bearer " + self._access.token.encode()
        if len(sent) != 1 or not hmac.compare_digest(sent[0], wanted):
            return problem(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})
        user = (self._access.user_header or "").lower().encode()
        # A proxy that adds its own behind what somebody sent would let them choose.
        if sum(name == user for name, _ in headers) > 1:
            return problem(400, "the header of the user is there twice")
        return None


def is_named(host: bytes, names: Collection[str]) -> bool:
    """Tell whether a Host header (RFC 9110 section 7.2) names this server."""
    try:
        name = urlsplit(f"//{host.decode('ascii')}").hostname
    except ValueError:
        return False
    if name is None:
        return False
    if name == "localhost" or name in names:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def problem(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that says why there is no other."""
    return _json({"error": why}, status, headers)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def _handler(
    route: Route, source: Source, access: Access
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            if len(request.query_params.multi_items()) != len(request.query_params):
                raise ValueError("a parameter is there twice")
            asked = checked(route, request.query_params, request.path_params)
            if route.body:
                asked["body"] = await _body(request, route.body)
            if route.needs_token:
                asked["by"] = _asker(request, access)
            if route.path == "/stream":
                last = request.headers.get("last-event-id")
                return StreamingResponse(
                    stream(source, chosen(asked), last), media_type="text/event-stream"
                )
            answer = await run_in_threadpool(route.answer, source, asked)
        except ValueError as error:
            return problem(400, str(error))
        except Refused as error:
            return problem(403, str(error))
        except NotThere as error:
            return problem(404, str(error))
        except Unavailable as error:
            return problem(503, str(error))
        if route.path == "/export":
            media, name = _FILES[asked["format"]]
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            return StreamingResponse(answer, headers=headers, media_type=media)
        return _json(answer)

    return handle


async def _body(request: Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Return what was sent. Raises HTTPException, ValueError, and Refused for foreign pages."""
    # Browsers send it with every POST (https://fetch.spec.whatwg.org/#origin-header); a proxy must
    # pass the Host header on.
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers["host"]:
        raise Refused("another page may not ask for this")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "the body must be application/json")
    sent = b""
    async for piece in request.stream():
        sent += piece
        if len(sent) > MAX_BODY_BYTES:
            raise HTTPException(413, "the body is too long")
    return msgspec.json.decode(sent, type=kind)


def _session(sessions: Sessions, access: Access) -> Callable[[Request], Awaitable[Response]]:
    """Answer who signs in (POST, with the token), signs out (DELETE), or asks whether they did."""

    async def handle(request: Request) -> Response:
        word = word_of(request.scope["headers"])
        with_token = "authorization" in request.headers
        if request.method == "GET":
            return _json({"session": access.token is not None and not with_token})
        if access.token is None or (request.method == "POST" and not with_token):
            return problem(403, "a session begins with the token")
        if word:
            sessions.end(word)
        begun = sessions.begin(time.monotonic()) if request.method == "POST" else ""
        is_secure = request.url.scheme == "https"
        return Response(status_code=204, headers={"Set-Cookie": cookie(begun, is_secure=is_secure)})

    return handle


def _asker(request: Request, access: Access) -> str:
    if access.token is None:
        raise Refused("this is shown only by a server with a token (--token-file)")
    where = request.client.host if request.client else "nowhere"
    if "authorization" not in request.headers:
        return f"HTTP with a session, from {where}"
    user = request.headers.get(access.user_header) if access.user_header else None
    return f"{user}, as a proxy at {where} says" if user else f"HTTP with the token, from {where}"


async def _failed(request: Request, error: HTTPException) -> Response:
    return problem(error.status_code, error.detail, dict(error.headers or {}))


async def _broken(request: Request, error: Exception) -> Response:
    return problem(500, "this is a mistake of Busted's: see its log")
