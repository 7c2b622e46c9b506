"""What metrics are asked for at each scrape, beside what they count themselves."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from busted.sinks.delivery import Figures


class ProgramRuns(msgspec.Struct, frozen=True):
    """An eBPF program; it is counted only where the kernel was told to (--bpf-stats)."""

    name: str
    runs: int
    run_seconds: float


class KernelFigures(msgspec.Struct, frozen=True):
    """What is known at the kernel's side; `fill` is of the buffer of records, from 0 to 1.

    `hold_seconds` is the median of what held requests waited lately, `windows` counts windows of
    traffic by what their connections behaved like.
    """

    fill: float | None = None
    programs: tuple[ProgramRuns, ...] = ()
    held: dict[str, int] = {}
    hold_seconds: float | None = None
    windows: dict[str, int] = {}


class Sources(msgspec.Struct, frozen=True):
    """Who is asked: for losses by place, for outputs by name, for what the kernel's side knows."""

    lost: Callable[[], dict[str, int]] = dict
    outputs: Callable[[], dict[str, Figures]] = dict
    kernel: Callable[[], KernelFigures] = KernelFigures
