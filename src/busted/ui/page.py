"""The dashboard's page: three files, made from `web/` by Vite and shipped as they are.

They hold nothing that is secret and are sent to everybody who may reach the server; what the page
shows it asks of the API, with the token where one is wanted. Nothing comes from elsewhere, and the
page may neither run nor load what is not one of these files.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"

# content-security-policy.com; the icon is an empty `data:` address, so that none is asked for.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Another version's page must not meet this one's API.
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
_ASSETS = ("app.js", "app.css")


async def _index(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers=_HEADERS)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSETS:
        return Response(status_code=404)
    return FileResponse(STATIC / "assets" / name, headers=_HEADERS)


ROUTES = (Route("/", _index), Route("/assets/{name}", _asset))
