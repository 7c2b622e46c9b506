"""Reading JSON that strangers wrote: each look-up says what it wants and gets it or nothing.

A body seen on the wire may have any shape: `content` is a string, a list, null or a number
depending on the client. These functions never raise and never coerce.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

_NOTHING: Mapping[str, object] = {}


def mapping(value: object) -> Mapping[str, object]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def items(value: object) -> Sequence[object]:
    """Return `value` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else ()


def string(value: object, limit: int | None = None) -> str | None:
    """Return `value`, at most `limit` characters of it, if it is a non-empty string, else None."""
    return value[:limit] if isinstance(value, str) and value else None


def integer(value: object) -> int | None:
    """Return `value` if it is a whole number that a signed 64-bit field holds, else None."""
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return None


def to_json(value: object, limit: int) -> tuple[str, bool]:
    """Return `value` as JSON text, at most `limit` characters, and whether it was cut."""
    try:
        text = msgspec.json.encode(value).decode()
    except (ValueError, TypeError, RecursionError):
        return "", True  # lone surrogates or nesting without end: nothing that can be shown
    return text[:limit], len(text) > limit
