"""JSON lines: an event's public form, one object a line (https://jsonlines.org)."""

from __future__ import annotations

from busted.events import Event, to_json


def render(event: Event) -> bytes:
    """Return the event as one line of JSON with its line break."""
    return to_json(event) + b"\n"
