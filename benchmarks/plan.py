"""How much to measure, and where: what the questions share."""

from __future__ import annotations

import os

import msgspec

# Bytes of plaintext: a short JSON message, a page of prompt, a full TLS record.
SIZES = (200, 4096, 16384)


class Plan(msgspec.Struct, frozen=True):
    """What one run measures; every round measures every variant once."""

    rounds: int = 7
    reading_seconds: float = 0.4
    live_megabytes: int = 300
    max_live_calls: int = 100_000
    bursts: int = 3
    burst_calls: int = 900  # at 16 KiB they fit into a ring of 16 MiB
    monitor_rounds: int = 3
    settle_seconds: float = 5.0
    idle_seconds: float = 10.0
    processes: int = 300
    sent_packets: int = 4000
    file_calls: int = 20_000
    classify_rounds: int = 15
    classify_calls: int = 50
    policy_events: int = 2000
    held_requests: int = 100
    connections: int = 5000
    windows: int = 5000
    history_events: int = 1_000_000


FULL = Plan()
# Shows that everything runs; its figures mean nothing.
QUICK = Plan(
    rounds=1,
    reading_seconds=0.02,
    live_megabytes=2,
    max_live_calls=200,
    bursts=1,
    burst_calls=20,
    monitor_rounds=1,
    settle_seconds=0.1,
    idle_seconds=0.1,
    processes=3,
    sent_packets=50,
    file_calls=50,
    classify_rounds=1,
    classify_calls=1,
    policy_events=20,
    held_requests=3,
    connections=20,
    windows=20,
    history_events=500,
)


class Processors(msgspec.Struct, frozen=True):
    """Producer and reader do not share a processor, where there are two."""

    producer: int
    reader: int


def processors() -> Processors:
    """Choose among those that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    return Processors(allowed[0], allowed[-1])
