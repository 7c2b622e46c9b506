"""HTTP messages as every version of HTTP carries them.

A parser yields, for each message: its head, any number of body pieces and gaps, and its
end. The pieces of a message share a `stream_id`, which is 0 in HTTP/1 where messages
follow one another, and the stream's number in HTTP/2 where they interleave. Body bytes
have their transfer coding removed (chunks joined); the content coding is still on them,
see `busted.protocols.body`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

Headers = tuple[tuple[str, str], ...]
"""Names in lower case, in the order they came, latin-1 decoded, values stripped."""

NamedHeaders = Mapping[str, str]
"""The first value of each header, see `by_name`."""


class HttpRequest(msgspec.Struct, frozen=True):
    """The head of a request. `target` is what the request line or `:path` says."""

    method: str
    target: str
    headers: Headers = ()
    version: str = "1.1"
    stream_id: int = 0


class HttpResponse(msgspec.Struct, frozen=True):
    """The head of a final response; interim ones (1xx except 101) are not reported."""

    status: int
    headers: Headers = ()
    version: str = "1.1"
    stream_id: int = 0


class HttpBody(msgspec.Struct, frozen=True):
    """A piece of the body, never empty; where one piece ends and the next begins means nothing."""

    data: bytes
    stream_id: int = 0


class HttpGap(msgspec.Struct, frozen=True):
    """`missing` bytes of the body were never seen; what follows comes after them."""

    missing: int
    stream_id: int = 0


class HttpEnd(msgspec.Struct, frozen=True):
    """The message is over; `truncated` when its end was not seen or part of it is missing.

    `trailers` are the fields behind the body, of HTTP/2 only.
    """

    truncated: bool = False
    stream_id: int = 0
    trailers: Headers = ()


class HttpUpgrade(msgspec.Struct, frozen=True):
    """The connection stops speaking HTTP/1 here; bytes that follow come as `HttpBody`."""

    protocol: str
    stream_id: int = 0


HttpMessage = HttpRequest | HttpResponse | HttpBody | HttpGap | HttpEnd | HttpUpgrade


def by_name(headers: Headers) -> NamedHeaders:
    """Return the first value of each header: for whoever looks up more than one or two."""
    return dict(reversed(headers))


def header(headers: Headers, name: str) -> str | None:
    """Return the first value of a header, `name` in lower case, or None."""
    for key, value in headers:
        if key == name:
            return value
    return None
