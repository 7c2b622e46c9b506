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

from collections.abc import Sequence
from math import log2, sqrt
from operator import mul, sub

import msgspec

from busted.records import TrafficSlice

# Received slices further apart than this belong to two runs: a token seldom takes that long.
PAUSE_MS = 450
# A slice that sends less is no request: an acknowledgement of HTTP/2, a ping.
REQUEST_BYTES = 120
# What a segment carries at most on Ethernet over IPv4 (RFC 9293, 3.7.1; RFC 894). On loopback, and
# with jumbo frames, it is more, which says where the two ends are and not what they do.
SEGMENT_BYTES = 1460.0
# Fewer slices say nothing: a handshake, a request, an answer.
MIN_SLICES = 4

FEATURES = (
    "sent",  # bytes, as log2, as all bytes here
    "received",
    "received_share",  # of all bytes, 0 to 1
    "slices",
    "seconds",  # from the first slice to the last
    "busy",  # received slices a second
    "segment_received",  # mean bytes of a segment, as all segments here up to SEGMENT_BYTES
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
    came = [one for one in slices if one.received]
    if not came:
        return None
    at, outs, _, out_segments, _ = zip(*slices, strict=True)
    times, sent_beside, amounts, _, segments = zip(*came, strict=True)
    sent, received, count = sum(outs), sum(amounts), len(amounts)
    gaps = list(map(sub, times[1:], times))
    waits = _waits(slices)
    seconds = abs(at[-1] - at[0]) / 1000
    largest_request = max(outs)
    requests = sum(map(REQUEST_BYTES.__le__, outs))
    start, end = _longest_run(gaps)
    run, run_segments = amounts[start:end], sum(segments[start:end])
    run_seconds, run_total = abs(times[end - 1] - times[start]) / 1000, sum(run)
    ordered, ordered_gaps = sorted(amounts), sorted(gaps)
    return [
        log2(sent + 1),
        log2(received + 1),
        received / (sent + received),
        float(len(slices)),
        seconds,
        count / (seconds + 0.1),
        min(received / (sum(segments) or 1), SEGMENT_BYTES),
        min(sent / (sum(out_segments) or 1), SEGMENT_BYTES),
        log2(largest_request + 1),
        requests / len(slices),
        waits[-1] / 1000 if waits else 0.0,
        waits[len(waits) // 2] / 1000 if waits else 0.0,
        log2(ordered[count // 2] + 1),
        _spread(amounts, received),
        ordered[-1] / received,
        sum(segments) / count,
        ordered_gaps[len(gaps) // 2] / 1000 if gaps else 0.0,
        ordered_gaps[-1] / 1000 if gaps else 0.0,
        _spread(gaps, sum(gaps)),
        run_seconds,
        len(run) / count,
        log2(run_total / (run_seconds + 0.1) + 1),
        min(run_total / (run_segments or 1), SEGMENT_BYTES),
        _spread(run, run_total),
        sum(run[len(run) // 2 :]) / run_total,
        sum(sent_beside[start + 1 : end]) / run_total,
        float(min(context.window, 8)),
        log2(context.connections + 1),
        log2(context.destinations + 1),
    ]


def _waits(slices: Sequence[TrafficSlice]) -> list[int]:
    """Return, sorted, how long each answer took to begin, in milliseconds."""
    waits: list[int] = []
    asked_ms = -1
    for at_ms, sent, received, _, _ in slices:
        if sent >= REQUEST_BYTES:
            asked_ms = at_ms
        elif received and asked_ms >= 0:
            waits.append(at_ms - asked_ms)
            asked_ms = -1
    waits.sort()
    return waits


def _longest_run(gaps: Sequence[int]) -> tuple[int, int]:
    """Return where the longest run begins and ends, of the received slices between these gaps."""
    start = best_start = best_end = 0
    for end, gap in enumerate(gaps, 1):
        if gap > PAUSE_MS:
            if end - start > best_end - best_start:
                best_start, best_end = start, end
            start = end
    end = len(gaps) + 1
    return (start, end) if end - start > best_end - best_start else (best_start, best_end)


def _spread(numbers: Sequence[int], total: int) -> float:
    """Return the standard deviation over the mean, 0 where there is none."""
    count = len(numbers)
    if count < 2 or total <= 0:
        return 0.0
    mean = total / count
    squares = sum(map(mul, numbers, numbers)) / count - mean * mean
    return sqrt(squares) / mean if squares > 0 else 0.0
