"""Numbers of a window of traffic: what a streamed answer looks like from outside.

Strategy: one pass over the slices of `records.Traffic`, then what needs them sorted. A request is a
slice that sent something; a run is received slices that follow each other without a pause. An
answer that is made word by word is one long run of small segments at an even pace, after a wait; a
page or a file is a short run of full segments; a chat is many small ones both ways. All numbers are
of shapes, so that a faster line or a longer prompt moves few of them.

Left out: sizes of the TLS handshake, ports, addresses and names. They would tell clients and
hosts apart, which are known by other means, and not what they do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from busted.records import TrafficSlice

# Received slices further apart than this belong to two runs: a token seldom takes that long.
PAUSE_MS = 450
# A slice that sends less is no request: an acknowledgement of HTTP/2, a ping.
REQUEST_BYTES = 120
# Fewer slices say nothing: a handshake, a request, an answer.
MIN_SLICES = 4

FEATURES = (
    "sent",  # bytes, as log2, as all bytes here
    "received",
    "received_share",  # of all bytes, 0 to 1
    "slices",
    "seconds",  # from the first slice to the last
    "busy",  # received slices a second
    "segment_received",  # mean bytes of a segment
    "segment_sent",
    "request",  # the largest slice that was sent
    "requests",  # slices that sent a request, of all
    "wait",  # the longest from a request to what came then, seconds
    "wait_median",
    "slice_median",  # bytes received in a slice
    "slice_spread",  # standard deviation over mean, as all spreads
    "slice_largest",  # share of the largest slice in all that was received
    "segments",  # mean number a received slice
    "gap_median",  # seconds between received slices
    "gap_largest",
    "gap_spread",
    "run_seconds",  # the longest run
    "run_share",  # its part of all received slices
    "run_rate",  # bytes a second in it
    "run_segment",  # mean bytes of a segment in it
    "run_spread",  # of the bytes of its slices
    "run_trend",  # bytes of its second half over all of it
    "run_sent",  # bytes sent in it after its first slice, over those received
    "window",  # how many windows the connection had before, up to 8
    "connections",  # which the process opened in the last minute, as log2
    "destinations",  # of these
)


class Context(msgspec.Struct, frozen=True):
    """What is known beside the window: its number, and what its process did in the last minute."""

    window: int = 0
    connections: int = 1
    destinations: int = 1


def features(slices: Sequence[TrafficSlice], context: Context) -> list[float] | None:
    """Return the numbers of a window in the order of `FEATURES`, or None where it has too little.

    Any slices will do, in any order of times: what is nonsense gives numbers all the same.
    """
    if len(slices) < MIN_SLICES:
        return None
    sent = received = segments_sent = segments_received = requests = request = 0
    asked_ms = -1
    previous_ms: int | None = None
    waits: list[int] = []
    gaps: list[int] = []
    amounts: list[int] = []
    run_start = best_start = best_length = 0
    for at_ms, out, came, out_segments, came_segments in slices:
        if out:
            sent += out
            segments_sent += out_segments
            if out > request:
                request = out
            if out >= REQUEST_BYTES:
                requests += 1
                asked_ms = at_ms
        if came:
            received += came
            segments_received += came_segments
            if asked_ms >= 0 and out < REQUEST_BYTES:
                waits.append(at_ms - asked_ms)
                asked_ms = -1
            if previous_ms is not None:
                gap = at_ms - previous_ms
                gaps.append(gap)
                if gap > PAUSE_MS:
                    run_start = len(amounts)
            amounts.append(came)
            previous_ms = at_ms
            if len(amounts) - run_start > best_length:
                best_length, best_start = len(amounts) - run_start, run_start
    if not amounts:
        return None
    seconds = abs(slices[-1][0] - slices[0][0]) / 1000
    count = len(amounts)
    run = _run(slices, best_start, best_length)
    ordered = sorted(amounts)
    waits.sort()
    ordered_gaps = sorted(gaps)
    return [
        _log(sent),
        _log(received),
        received / (sent + received),
        float(len(slices)),
        seconds,
        count / (seconds + 0.1),
        received / (segments_received or 1),
        sent / (segments_sent or 1),
        _log(request),
        requests / len(slices),
        waits[-1] / 1000 if waits else 0.0,
        waits[len(waits) // 2] / 1000 if waits else 0.0,
        _log(ordered[count // 2]),
        _spread(amounts),
        ordered[-1] / received,
        segments_received / count,
        ordered_gaps[len(gaps) // 2] / 1000 if gaps else 0.0,
        ordered_gaps[-1] / 1000 if gaps else 0.0,
        _spread(gaps),
        run[0],
        best_length / count,
        *run[1:],
        float(min(context.window, 8)),
        _log(context.connections),
        _log(context.destinations),
    ]


def _run(slices: Sequence[TrafficSlice], start: int, length: int) -> tuple[float, ...]:
    """Return the numbers of the longest run, which begins at the received slice `start`."""
    run: list[int] = []
    first_ms = last_ms = segments = sent = seen = 0
    for at_ms, out, came, _, came_segments in slices:
        if came:
            seen += 1
            if seen > start + length:
                break
            if seen > start:
                if not run:
                    first_ms = at_ms
                else:
                    sent += out
                run.append(came)
                segments += came_segments
                last_ms = at_ms
    total = sum(run) or 1
    seconds = abs(last_ms - first_ms) / 1000
    return (
        seconds,
        _log(int(total / (seconds + 0.1))),
        total / (segments or 1),
        _spread(run),
        sum(run[length // 2 :]) / total,
        sent / total,
    )


def _log(number: int) -> float:
    return math.log2(number + 1)


def _spread(numbers: Sequence[int]) -> float:
    """Return the standard deviation over the mean, 0 where there is none."""
    count = len(numbers)
    total = sum(numbers)
    if count < 2 or total <= 0:
        return 0.0
    mean = total / count
    squares = sum(number * number for number in numbers) / count - mean * mean
    return math.sqrt(squares) / mean if squares > 0 else 0.0
