"""JSON bodies as they were captured: possibly cut, malformed or hostile.

Strategy: jiter reads whole bodies, and cut ones in its partial mode (an unfinished string is
kept, an unfinished literal dropped). Only when it refuses do we repair what lenient servers
accept and jiter does not, then try again; and when that fails too, we take what stands before
the fault and call it truncated.

Left out: JSON5 and its like (comments, single quotes), which no provider accepts.

Reference: RFC 8259.
"""

from __future__ import annotations

import codecs
import re

import jiter
import msgspec

# jiter stops at 200. Go's decoder takes 10,000 levels, so an unread body would be an easy way
# around us; what lies deeper is replaced by null. Tool schemas nest some twenty deep.
MAX_DEPTH = 150

# Repairing costs up to a second per megabyte of hostile bytes. A malformed body is rare and a
# malformed one of this size is an attack; the rest of it is left out.
MAX_REPAIR_BYTES = 1 << 20

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"?'
_STRINGS = re.compile(_STRING, re.DOTALL)
_BRACKETS = re.compile(_STRING + r"|[\[{]|[\]}]", re.DOTALL)

# Within a string: a surrogate pair, a surrogate alone, any other escape.
_ESCAPES = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?P<alone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|(?P<escape>\\.)",
    re.DOTALL,
)

_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[\[{\"]")
# RFC 8259 section 7: control characters "MUST be escaped"; Python's lenient mode and others do
# without.
_CONTROLS = {code: f"\\u{code:04x}" for code in range(0x20)}
_PLACE = re.compile(r" at line (\d+) column (\d+)$")


class Parsed(msgspec.Struct, frozen=True):
    """What could be read; `truncated` when some is missing. No `value` counts unless `ok`."""

    value: object = None
    truncated: bool = False
    ok: bool = True


_NOTHING = Parsed(ok=False)


def parse(data: bytes, *, cut: bool = False) -> Parsed:
    """Return the JSON value that `data` begins with, as far as it goes. It never raises.

    Say `cut` if its end is known to be missing: it is then not tried whole first.
    """
    if not data:
        return _NOTHING
    parsed = _read_cut(data, True) if cut else _read(data)
    if parsed.ok or not _OPENING.match(data):
        return parsed
    # The incremental decoder drops a character that the end of the data cuts in two.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data[:MAX_REPAIR_BYTES]).removeprefix("\ufeff")
    text = _STRINGS.sub(_mend_string, text)
    parsed = _read(text.encode())
    if not parsed.ok:
        text = _shallow(text)
        parsed = _read(text.encode())
        # What was too deep is missing, even if the end is not.
        parsed = Parsed(parsed.value, truncated=True, ok=parsed.ok)
    if parsed.ok:
        return parsed
    parsed = _read(_before_fault(text.encode()))
    # An empty object or list before the fault: it was no JSON, it only began like it.
    return Parsed(parsed.value, truncated=True) if parsed.value else _NOTHING


def _read(data: bytes) -> Parsed:
    try:
        return Parsed(jiter.from_json(data, cache_mode="keys"))
    except ValueError as error:
        # Junk after a complete value is not a cut.
        truncated = str(error).startswith("EOF")
    return _read_cut(data, truncated)


def _read_cut(data: bytes, truncated: bool) -> Parsed:
    try:
        value = jiter.from_json(data, partial_mode="trailing-strings", cache_mode="keys")
    except ValueError:
        return _NOTHING
    return Parsed(value, truncated)


def _mend_string(string: re.Match[str]) -> str:
    text = string[0].translate(_CONTROLS)
    return _ESCAPES.sub(_mend_escape, text) if "\\u" in text else text


def _mend_escape(escape: re.Match[str]) -> str:
    return "\ufffd" if escape["alone"] else escape[0]


def _shallow(text: str) -> str:
    """Return JSON text with everything below `MAX_DEPTH` replaced by null."""
    kept: list[str] = []
    depth = begin = 0
    for token in _BRACKETS.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += (text[begin : token.start()], "null")
                begin = len(text)
        elif token[0] in ("]", "}"):
            if depth == MAX_DEPTH + 1:
                begin = token.end()
            depth = max(depth - 1, 0)
    kept.append(text[begin:])
    return "".join(kept)


def _before_fault(data: bytes) -> bytes:
    """Return the bytes before the place that jiter complains about; none when there is none."""
    try:
        jiter.from_json(data, partial_mode="trailing-strings", cache_mode="none")
    except ValueError as error:
        if place := _PLACE.search(str(error)):
            lines = data.split(b"\n", int(place[1]) - 1)
            before = len(data) - len(lines[-1])
            return data[: before + int(place[2]) - 1]
    return b""
