"""Windows of traffic for tests: what streamed answers, downloads and chats look like."""

from __future__ import annotations

from busted.records import ProcessKey, Traffic, TrafficSlice

PROCESS = ProcessKey(100, 7)


def streamed(slices: int = 28) -> tuple[TrafficSlice, ...]:
    """Return a question, a wait, and an answer that comes word by word."""
    answer = [TrafficSlice(1000 + 100 * i, 0, 900 + i % 3 * 50, 0, 6) for i in range(slices)]
    return (TrafficSlice(100, 700, 3000, 2, 3), TrafficSlice(200, 9000, 0, 7, 0), *answer)


def downloaded(slices: int = 20) -> tuple[TrafficSlice, ...]:
    """Return a short question and as much as the line carries."""
    answer = [TrafficSlice(200 + 100 * i, 0, 800_000, 0, 570) for i in range(slices)]
    return (TrafficSlice(100, 700, 3000, 2, 3), TrafficSlice(150, 300, 0, 1, 0), *answer)


def polled(rounds: int = 12) -> tuple[TrafficSlice, ...]:
    """Return short questions with short answers."""
    return tuple(TrafficSlice(100 + 500 * i, 300, 600, 1, 1) for i in range(rounds))


def traffic(
    slices: tuple[TrafficSlice, ...],
    cookie: int = 5,
    window: int = 0,
    process: ProcessKey = PROCESS,
    time_ns: int = 10_000_000_000,
) -> Traffic:
    """Return the record of a window."""
    remote = bytes(10) + b"\xff\xff\xc0\x00\x02\x01"
    return Traffic(process, time_ns, cookie, remote, 443, time_ns - 5_000_000_000, window, slices)
