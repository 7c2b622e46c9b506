"""What of an HTTP head may be shown: credentials stay inside, whatever the content level.

Left out: credentials in headers of names nobody knows; those are for `pii`, which looks at
the text that operators asked to see.
"""

from __future__ import annotations

import re

from busted.protocols.http import Headers

REDACTED = "<redacted>"

# OpenAI and most (authorization), Anthropic (x-api-key), Azure (api-key), Google, AWS's
# session token, and what browsers and proxies send. Who knows the id of an MCP session is in it.
SECRET_HEADERS = frozenset(
    (
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "x-amz-security-token",
        "x-auth-token",
        "cf-aig-authorization",
        "x-portkey-api-key",
        "cookie",
        "set-cookie",
        "mcp-session-id",
    )
)

_ADDRESSES = frozenset(("referer", "location", "content-location"))
_CHECKED = SECRET_HEADERS | _ADDRESSES

# Google takes its key in the query; the others are how URLs are signed or carry tokens.
_SECRET_QUERY = re.compile(
    r"(?i)([?&](?:key|api[-_]?key|token|access_token|auth|sig|signature|secret|password|code|session_?id"
    r"|x-amz-signature|x-amz-security-token|x-amz-credential)=)[^&#]*"
)
_SCHEME = re.compile(r"(Basic|Bearer|Digest|Negotiate|AWS4-HMAC-SHA256|Token|ApiKey) ", re.I)


def safe_headers(headers: Headers) -> dict[str, str]:
    """Return the headers by name, repeated ones joined, with only the scheme of credentials."""
    shown = dict(headers)
    if len(shown) < len(headers):  # some are repeated
        shown.clear()
        for name, value in headers:
            value = _safe(name, value)
            shown[name] = f"{shown[name]}, {value}" if name in shown else value
        return shown
    for name in shown.keys() & _CHECKED:
        shown[name] = _safe(name, shown[name])
    return shown


def _safe(name: str, value: str) -> str:
    if name in SECRET_HEADERS:
        return _scheme(value) + REDACTED
    return safe_target(value) if name in _ADDRESSES else value


def safe_target(target: str) -> str:
    """Return a request's target without the values of query parameters that are credentials."""
    return _SECRET_QUERY.sub(rf"\1{REDACTED}", target) if "=" in target else target


def path_of(target: str) -> str:
    """Return the path of a request's target: no query, no host in the absolute form of a proxy."""
    if _is_absolute(target):
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target.partition("?")[0].partition("#")[0]


def host_of(target: str) -> str | None:
    """Return the host, with its port, that a request's target names in its absolute form."""
    if not _is_absolute(target):
        return None
    authority = re.split("[/?#]", target.partition("://")[2], maxsplit=1)[0]
    return authority.rpartition("@")[2] or None


def _is_absolute(target: str) -> bool:
    # RFC 9112 section 3.2.2: "GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1"
    return "://" in target[:16] and target[0] != "/"


def scheme_of(value: str) -> tuple[str, str]:
    """Split an Authorization header in its scheme, lower case and empty if unknown, and the rest.

    What stands where a scheme should is told only if it is one: it may be the secret.
    """
    match = _SCHEME.match(value)
    return (match[1].lower(), value[match.end() :].strip()) if match else ("", value)


def _scheme(value: str) -> str:
    match = _SCHEME.match(value)
    return match[0] if match else ""
