from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.agent.clock import Clock, read_clock, rfc3339

CLOCK = Clock(monotonic_offset_ns=1_700_000_000_000_000_000, boot_offset_ns=5)


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (999_999_999, "1970-01-01T00:00:00.999999999Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_709_164_800_000_000_000, "2024-02-29T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_have_nanoseconds_and_are_utc(wall_ns: int, text: str) -> None:
    assert rfc3339(wall_ns) == text


def test_each_kernel_clock_has_its_offset() -> None:
    assert CLOCK.wall_ns(7) == 1_700_000_000_000_000_007
    assert CLOCK.time(7) == rfc3339(1_700_000_000_000_000_007)
    assert CLOCK.start_time(7) == rfc3339(12)


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_later_times_sort_later_as_text(first: int, second: int) -> None:
    assert (rfc3339(first) < rfc3339(second)) is (first < second)


@pytest.mark.parametrize("clock", [time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME])
def test_the_offsets_are_those_of_this_host(clock: int) -> None:
    before = time.time_ns() - time.clock_gettime_ns(clock)
    found = read_clock()
    after = time.time_ns() - time.clock_gettime_ns(clock)
    offset = {
        time.CLOCK_MONOTONIC: found.monotonic_offset_ns,
        time.CLOCK_BOOTTIME: found.boot_offset_ns,
    }[clock]
    # The clocks are read one after another, so either may be late by what lies between.
    assert abs(offset - before) < 1_000_000_000
    assert abs(offset - after) < 1_000_000_000


@given(st.integers(0, 1 << 62), st.integers(0, 2**64 - 1))
def test_whatever_a_recording_says_its_times_are_dates(offset: int, record_ns: int) -> None:
    clock = msgspec.json.decode(msgspec.json.encode(Clock(offset, offset)), type=Clock)
    assert clock.time(record_ns).endswith("Z")
    assert clock.start_time(record_ns).endswith("Z")


@pytest.mark.parametrize("offset", [-1, (1 << 62) + 1, 10**30])
def test_a_clock_that_cannot_be_is_refused(offset: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(Clock(0, offset)), type=Clock)


@given(st.integers(0, 1 << 62))
def test_the_start_of_a_process_can_be_had_back_from_its_text(boot_ns: int) -> None:
    assert CLOCK.started_ns(CLOCK.start_time(boot_ns)) == boot_ns
