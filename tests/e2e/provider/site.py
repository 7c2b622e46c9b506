"""A web site without any model."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tests.e2e.provider.sending import compress, whole

# Seconds that the slow page takes.
SLOW_PAGE = 0.25

PAGE = "<!doctype html><title>Example</title><p>An ordinary page, nothing to see here.</p>"
ITEMS = {"items": [{"id": 1, "name": "a prompt delivery"}, {"id": 2, "name": "a model train"}]}


async def page(request: web.Request) -> web.StreamResponse:
    """GET /: HTML, compressed for those who take it; /slow is the same after a while."""
    if request.path == "/slow":
        await asyncio.sleep(SLOW_PAGE)
    response = web.Response(text=PAGE, content_type="text/html")
    compress(request, response)
    return response


async def items(request: web.Request) -> web.StreamResponse:
    """GET /api/items: JSON."""
    return whole(request, ITEMS)


async def orders(request: web.Request) -> web.StreamResponse:
    """POST /api/orders: JSON both ways."""
    return whole(request, {"accepted": await request.json()})
