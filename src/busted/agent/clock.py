"""The kernel's clocks as wall-clock time.

Records carry CLOCK_MONOTONIC and processes start on CLOCK_BOOTTIME; neither says what time it
is. The offsets are read once, so that events keep their order when the wall clock is set.
"""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec

_SECOND = 1_000_000_000
_EPOCH = datetime.fromtimestamp(0, UTC)


# Recordings are foreign: with any time of a record, which has 64 bits, it is a date before 3000.
_Offset = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class Clock(msgspec.Struct, frozen=True):
    """Nanoseconds to add to each kernel clock to get nanoseconds since 1970, UTC."""

    monotonic_offset_ns: _Offset
    boot_offset_ns: _Offset

    def wall_ns(self, monotonic_ns: int) -> int:
        """Return nanoseconds since 1970 for a record's time."""
        return monotonic_ns + self.monotonic_offset_ns

    def time(self, monotonic_ns: int) -> str:
        """Return a record's time as RFC 3339, UTC, nanoseconds."""
        return rfc3339(self.wall_ns(monotonic_ns))

    def start_time(self, boot_ns: int) -> str:
        """Return a process's start as RFC 3339, UTC, nanoseconds."""
        return rfc3339(boot_ns + self.boot_offset_ns)

    def started_ns(self, start_time: str) -> int:
        """Return the start of a process on CLOCK_BOOTTIME, given what its events call it."""
        seconds, _, fraction = start_time.rstrip("Z").partition(".")
        since_1970 = datetime.fromisoformat(seconds + "+00:00") - _EPOCH
        return round(since_1970.total_seconds()) * _SECOND + int(fraction) - self.boot_offset_ns


def read_clock() -> Clock:
    """Read how far the kernel's clocks are from the wall clock now."""
    wall = time.time_ns()
    return Clock(
        monotonic_offset_ns=wall - time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        boot_offset_ns=wall - time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    )


def rfc3339(wall_ns: int) -> str:
    """Format nanoseconds since 1970 (RFC 3339, section 5.6)."""
    seconds, nanoseconds = divmod(wall_ns, _SECOND)
    return f"{_second(seconds)}.{nanoseconds:09d}Z"


# Events come in the order of their times, and each tells when its process started.
@functools.lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
