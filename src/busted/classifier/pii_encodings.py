"""What a text says in another spelling: base64, URL escapes, escapes of JSON.

A search sees no address in `bob%40example.com`. So what is spelled in one of these ways is
spelled out, searched, and what is found there is placed where it stands in the original. JSON's
escapes of two characters mostly stand between values: as blanks they keep every place. Only
those that spell a printable character can be part of one.

Left out: base64 across lines, and values that are compressed or spelled in two ways at once.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable
from typing import Literal

import msgspec

from busted.classifier.pii_checks import decoded_base64

Encoding = Literal["base64", "url", "json"]

# A value of less cannot hold a card number; one of more is a file.
MIN_BASE64, MAX_BASE64 = 24, 1 << 16
MAX_URL = 1 << 14


def _spelled_in_hex(number: int) -> set[bytes]:
    low = b"%02x" % number
    return {low, low.upper(), low[:1].upper() + low[1:], low[:1] + low[1:].upper()}


_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{%d,%d}={0,2}" % (MIN_BASE64, MAX_BASE64))
_URL_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~%+-"
_URL = re.compile(rb"[A-Za-z0-9._~%%+!*'()-]{3,%d}" % MAX_URL)
_URL_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_JSON_ESCAPE = re.compile(rb"\\+(?:u00([2-7][0-9A-Fa-f])|(/))")
_BYTES = {digits: bytes((number,)) for number in range(256) for digits in _spelled_in_hex(number)}
_SHORT_ESCAPES = (b"\\n", b"\\r", b"\\t", b'\\"', b"\\b", b"\\f")
_LONG_ESCAPE = re.compile(rb"\\u[0-9a-fA-F]{4}")


class Decoded(msgspec.Struct, frozen=True):
    """What a part of a text stands for, and where each place of that is in the text.

    `escapes` were undone, up to `read_to`, where `plain` ends too.
    """

    start: int
    end: int
    plain: bytes
    place: Callable[[int, int], tuple[int, int]]
    encoding: Encoding
    read_to: int
    escapes: int = 0


# The first 18 bytes of text in base64, told from other words: of the four characters that stand
# for three bytes below 128, the first is one of 24, and two of 16 or 32 (RFC 4648 section 4).
_FIRST = rb"[CI-Za-f]"
_SECOND = rb"[A-HQ-Xg-nw-z0-3]"
_THIRD = rb"[ABEFIJMNQRUVYZcdghklopstwx014589]"
BASE64_BEGINS = (
    rb"(?:^|[^A-Za-z0-9+/_-]|\\[bfnrt])(?:" + _FIRST + _SECOND + _THIRD + rb"[A-Za-z0-9+/_-]){6}"
)
# The first escape of a word only.
URL_BEGINS = rb"(?:^|[^A-Za-z0-9._~%+-])[A-Za-z0-9._~+-]{0,64}%[2-7][0-9A-Fa-f]"
# What matches whenever those do, and is faster to search for.
BASE64_GATE = rb"[A-Za-z0-9+/]{%d}" % MIN_BASE64
URL_GATE = rb"%[2-7][0-9A-Fa-f]"
# What stands in values; `<`, `>`, `&` and quotes, which many escape, stand between them.
JSON_BEGINS = rb"\\u00(?:2[bdefBDEF]|3[0-9adAD]|40|[4-7][0-9a-fA-F])|:\\{1,4}/\\{1,4}/"


def base64(data: bytes, end: int) -> Decoded | None:
    """Return what a word of base64 says, whose first 24 characters end here; None if no text."""
    match = _BASE64.match(data, end - MIN_BASE64)
    if match is None:
        return None
    start = match.start()
    plain = decoded_base64(match[0])

    def place(first: int, last: int) -> tuple[int, int]:
        # Three bytes have four characters; a character that says part of it belongs to it.
        return start + first // 3 * 4, min(start + -(-last // 3) * 4, match.end())

    return Decoded(start, match.end(), plain, place, "base64", match.end())


def url(data: bytes, end: int, limit: int) -> Decoded | None:
    """Return what a word with URL escapes says (RFC 3986 section 2.1), whose first ends here.

    Only the first `limit` are undone.
    """
    before = data[max(0, end - 67) : end]
    start = end - len(before) + len(before.rstrip(_URL_BYTES))
    match = _URL.match(data, start)
    if match is None:
        return None
    return _undone(data, start, match.end(), _URL_ESCAPE, "url", limit)


def url_text(data: bytes) -> Decoded:
    """Return a text with all its URL escapes undone, however many."""
    return _undone(data, 0, len(data), _URL_ESCAPE, "url", None)


def json(data: bytes, limit: int | None) -> Decoded:
    """Return a text with escapes of printable characters undone (RFC 8259 section 7).

    Only the first `limit` are; None undoes them all.
    """
    return _undone(data, 0, len(data), _JSON_ESCAPE, "json", limit)


def without_escapes(data: bytes) -> bytes:
    """Return JSON text, or JSON in JSON, with each escape replaced by as many blanks."""
    for escape in _SHORT_ESCAPES:
        data = data.replace(escape, b"  ")
    if b"\\u" in data:
        data = _LONG_ESCAPE.sub(b" " * 6, data)
    return data.replace(b"\\", b" ")


def _undone(
    data: bytes,
    start: int,
    end: int,
    escape: re.Pattern[bytes],
    encoding: Encoding,
    limit: int | None,
) -> Decoded:
    """Undo escapes that spell one byte each."""
    pieces: list[bytes] = []
    # Where the bytes after each escape stand, here and there.
    here, there = [start], [0]
    length, read_to = 0, start
    for count, match in enumerate(escape.finditer(data, start, end)):
        if count == limit:
            break
        spelled = match[1]
        byte = _BYTES[spelled] if spelled else b"/"
        pieces += (data[read_to : match.start()], byte)
        length += match.start() - read_to + 1
        read_to = match.end()
        here.append(read_to)
        there.append(length)

    def original(place: int) -> int:
        row = bisect.bisect_right(there, place) - 1
        return here[row] + place - there[row]

    def place(first: int, last: int) -> tuple[int, int]:
        # The end of an escape is where what follows it begins.
        return original(first), original(last)

    undone = len(here) - 1
    if limit is None or undone < limit:
        pieces.append(data[read_to:end])
        read_to = end
    return Decoded(start, end, b"".join(pieces), place, encoding, read_to, undone)
