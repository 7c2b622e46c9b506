"""The fields of an HTTP/1 head, and what they say of the body, read as the laxest server does.

Strategy: what one server takes and another refuses is an evasion, if we refuse it too. So no line
makes a head unreadable; each leniency names the software that was seen to have it. A library
would: Node's llhttp refuses what is listed in the tests as taken by others, even when lenient.

Left out: which spelling of a length or coding a lax server prefers where several stand (the
first length is taken, which `http.server` does, and the message is told as cut).

References: RFC 9110 section 5, RFC 9112 sections 5 and 6.
"""

from __future__ import annotations

import re

import msgspec

from busted.protocols.http import Headers

# RFC 9112 section 2.2 allows a single LF (nginx and h11 take it); Python's http.server also ends
# a line at a single CR.
_LINE_END = re.compile(r"\r?\n|\r")

# A field as nearly everybody writes it, for speed.
_USUAL_FIELD = re.compile(r"(?m)^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n]*)\r\n")

# Python's int() takes the sign, http.server with it. More digits than these are no length.
_MAX_DIGITS = 18
_LENGTH = re.compile(rf"\+?0*([0-9]{{1,{_MAX_DIGITS}}})")


def read_fields(lines: bytes | memoryview) -> Headers | None:
    """Return the fields of a head without its start line, None when not one line is a field."""
    text = str(lines, "latin-1")
    usual = _USUAL_FIELD.findall(text)
    if text.endswith("\r\n\r\n") and len(usual) + 1 == text.count("\n"):
        return tuple([(name.lower(), value.strip()) for name, value in usual])
    fields: list[tuple[str, str]] = []
    is_head = True
    for line in _LINE_END.split(text):
        name, colon, value = line.partition(":")
        # h11 and Node before 20 unfold lines (RFC 9112 section 5.2), whatever they hold.
        if fields and line[:1] in (" ", "\t"):
            before, start = fields.pop()
            fields.append((before, f"{start} {line.strip()}".strip()))
        # Apache's "HttpProtocolOptions Unsafe" allows a space before the colon, http.server one
        # before the first name; nginx passes over what else is no field.
        elif colon and (name := name.strip()) and " " not in name:
            fields.append((name.lower(), value.strip()))
        elif line:
            is_head = False
    return tuple(fields) if fields or is_head else None


class BodyLength(msgspec.Struct, frozen=True):
    """How long the fields say that a body is; `disputed` when they give more than one length.

    With `chunked`, a `length` is for those who know no chunks.
    """

    chunked: bool = False
    length: int | None = None
    disputed: bool = False


def body_length(headers: Headers) -> BodyLength:
    """Return what the fields say, as RFC 9112 section 6.3 orders them."""
    codings = ",".join([value for name, value in headers if name == "transfer-encoding"])
    lengths = ",".join([value for name, value in headers if name == "content-length"])
    if not codings and lengths.isdecimal() and len(lengths) <= _MAX_DIGITS:
        return BodyLength(length=int(lengths))
    # "the message's framing is recoverable [...] by replacing [...] with that single valid value":
    # h11 does so with equal lengths, http.server takes the first of several.
    given = dict.fromkeys(match[1] for one in lengths.split(",") if (match := _as_length(one)))
    return BodyLength(
        # With the last coding only (section 6.1), and in lower case or not (section 7).
        chunked=codings.rpartition(",")[2].strip().lower() == "chunked",
        # http.server takes the length whatever the codings are.
        length=int(next(iter(given))) if given else None,
        disputed=len(given) > 1,
    )


def _as_length(text: str) -> re.Match[str] | None:
    return _LENGTH.fullmatch(text.strip())
