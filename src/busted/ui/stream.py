"""Live events as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Each client reads the one stream from the monitor at its own pace. What it missed, because it or the
monitor was away or too slow, is told as an event of its own, `gap`; nothing is lost in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from busted.ui.source import Chosen, Entry, Source

# Sent at once; what one client holds of our memory.
CHUNK_BYTES = 256 << 10
# Proxies give up on a silent connection after a minute (nginx, proxy_read_timeout).
KEEP_ALIVE_SECONDS = 15.0


async def stream(
    source: Source, chosen: Chosen, last_id: str | None, keep_alive: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[bytes]:
    """Yield what a client is sent, without end; behind the event `last_id` where one is given."""
    live = source.live
    position = live.newest
    # At once, so that the client knows that it is connected.
    yield b"retry: 2000\n\n"
    if last_id:
        found = await asyncio.to_thread(live.number_of, last_id)
        if found is None:
            yield gap(None, "what came after the event that was seen last is here no more")
        else:
            position = found
    while True:
        entries, missed = live.after(position, CHUNK_BYTES)
        if missed:
            yield gap(missed, "events came faster than they were read")
        if entries:
            position = entries[-1].number
            if sent := await asyncio.to_thread(_lines, source, entries, chosen):
                yield sent
        elif not await _more(source, position, keep_alive):
            yield b": still here\n\n"


def gap(count: int | None, why: str) -> bytes:
    """Return the event that tells of missing ones; `count` is None where it is not known."""
    return b"event: gap\ndata: " + msgspec.json.encode({"count": count, "why": why}) + b"\n\n"


def _lines(source: Source, entries: Sequence[Entry], chosen: Chosen) -> bytes:
    return b"".join(
        _line(entry) for entry in entries if not entry.id or source.agrees(entry.event, chosen)
    )


def _line(entry: Entry) -> bytes:
    # JSON has no line ends of its own.
    if not entry.id:
        return b"event: gap\ndata: " + entry.event + b"\n\n"
    return b"event: event\nid: %s\ndata: %s\n\n" % (entry.id.encode(), entry.event)


async def _more(source: Source, position: int, seconds: float) -> bool:
    loop, came = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(came.set)

    source.live.when_more(position, wake)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await came.wait()
    return came.is_set()
