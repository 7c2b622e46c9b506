"""From which port each prompt came: what a monitor says of connections is held against that."""

from __future__ import annotations

from collections import deque

from aiohttp import web

from tests.e2e.provider.replies import Reply
from tests.e2e.provider.sending import whole

# Of so many requests it is remembered; no test asks more.
MAX_PEERS = 1000
PEERS = web.AppKey("PEERS", deque[tuple[str, int]])


async def peers(request: web.Request) -> web.StreamResponse:
    """GET /peers: the port of each prompt that was asked here."""
    return whole(request, {prompt: port for prompt, port in request.app[PEERS]})


def remember(request: web.Request, answer: Reply) -> None:
    """Remember which port a prompt came from."""
    assert request.transport is not None
    request.app[PEERS].append((answer.prompt, request.transport.get_extra_info("peername")[1]))
