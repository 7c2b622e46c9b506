"""Events as files for other tools and for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from busted.events import Event
from busted.sinks import har, jsonl, transcript

FORMATS = ("jsonl", "har", "markdown")


def pieces(format: str, events: Iterable[Event]) -> Iterator[bytes]:
    """Return a file of events, piece by piece; `format` is one of FORMATS."""
    if format == "jsonl":
        yield from map(jsonl.render, events)
    elif format == "markdown":
        # Half a surrogate pair, which JSON may carry, has no UTF-8.
        yield from (text.encode(errors="replace") for text in transcript.markdown(events))
    else:
        yield msgspec.json.encode(har.archive(events)) + b"\n"
