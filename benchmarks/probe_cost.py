"""What a probe adds to one SSL_write: an empty one, a muted connection, a captured one.

For each way that the kernel offers to attach, at the place that busted.kernel.places chose and
on the first instruction of SSL_write. An empty probe is of the same kind at the same place, so
the difference is what our programs cost; all the rest is the kernel's trap and its way back.

Calls come in bursts that the ring has room for and that last about as long as the monitor
leaves it alone, so a reader that gets no processor in time cannot make a call cheaper.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec

from benchmarks.plan import SIZES, Plan, Processors
from benchmarks.programs import BenchmarkError, Built, Library, SslCalls
from benchmarks.table import Table, median
from busted.agent.config import Settings
from busted.kernel.features import Features, probe
from busted.kernel.libbpf import TRACE_UPROBE_MULTI, TRACE_UPROBE_SESSION, BpfObject
from busted.kernel.places import Place
from busted.kernel.programs import TlsPrograms, Way
from busted.records import TlsData, decode

# The two connections of ssl_calls.
CAPTURED, MUTED = 0, 1


class Variant(msgspec.Struct, frozen=True):
    """Where and how a probe is set."""

    way: Way
    place: Place
    name: str
    """Of the place."""


class Costs:
    """The nanoseconds that one call took, round by round."""

    def __init__(self) -> None:
        self.bare: dict[int, list[float]] = defaultdict(list)
        self.probed: dict[tuple[int, Variant, str], list[float]] = defaultdict(list)

    def added(self, size: int, variant: Variant, kind: str) -> float:
        """What the probe added, as the median of the differences within a round."""
        pairs = zip(self.probed[size, variant, kind], self.bare[size], strict=True)
        return median(probed - bare for probed, bare in pairs)


def ways(features: Features) -> list[Way]:
    """What this kernel offers, best first."""
    needs = {"session": "session uprobe", "multi": "multi uprobe", "perf": "ring buffer"}
    return [way for way in get_args(Way) if features.has(needs[way])]


def table(plan: Plan, built: Built, on: Processors) -> Table:
    """Measure, and return what each variant adds to a call."""
    with contextlib.ExitStack() as opened:
        calls = {
            size: opened.enter_context(
                contextlib.closing(SslCalls(built.ssl_calls, size, on.producer))
            )
            for size in SIZES
        }
        library = opened.enter_context(contextlib.closing(calls[SIZES[0]].library()))
        offered = ways(probe())
        programs = {way: opened.enter_context(contextlib.closing(_load(way))) for way in offered}
        variants = _variants(offered, library)
        costs = Costs()
        for _ in range(plan.rounds):
            for size in SIZES:
                costs.bare[size].append(_time(calls[size], CAPTURED, plan))
            for variant in variants:
                _round(plan, built, library, programs[variant.way], variant, calls, costs)
    return _table(variants, costs)


def _variants(offered: list[Way], library: Library) -> list[Variant]:
    names = {library.chosen: "chosen", library.first_instruction: "first instruction"}
    if library.chosen == library.first_instruction:
        names = {library.chosen: "chosen: first instruction"}
    return [
        Variant(way, place, name)
        for (place, name), way in itertools.product(names.items(), offered)
    ]


def _load(way: Way) -> TlsPrograms:
    settings = Settings()
    return TlsPrograms(way, ring_bytes=settings.ring_bytes, max_call_bytes=settings.max_call_bytes)


def _round(
    plan: Plan,
    built: Built,
    library: Library,
    programs: TlsPrograms,
    variant: Variant,
    calls: dict[int, SslCalls],
    costs: Costs,
) -> None:
    with _empty(built.empty, library, variant):
        for size in SIZES:
            costs.probed[size, variant, "empty"].append(_time(calls[size], CAPTURED, plan))
    programs.attach(library.at(variant.place), cookie=1)
    for size in SIZES:
        _mute(calls[size], programs)
        for kind, connection in (("muted", MUTED), ("captured", CAPTURED)):
            nanoseconds = _time(calls[size], connection, plan, programs)
            costs.probed[size, variant, kind].append(nanoseconds)
    programs.detach()
    if lost := programs.lost():
        raise BenchmarkError(f"records were lost, so calls that cost less were timed: {lost}")


def _mute(calls: SslCalls, programs: TlsPrograms) -> None:
    """Mute the connection, unless it is muted since an earlier round."""
    calls.start(MUTED, 1)
    calls.nanoseconds()
    while batch := programs.ring.read():
        for record in map(decode, batch):
            if isinstance(record, TlsData) and record.key.pid == calls.pid:
                programs.mute(record.key)


def _time(
    calls: SslCalls, connection: int, plan: Plan, programs: TlsPrograms | None = None
) -> float:
    """Return the nanoseconds of one call, as the median of a few bursts."""
    bursts = []
    for _ in range(plan.bursts):
        calls.start(connection, plan.burst_calls)
        bursts.append(calls.nanoseconds())
        while programs and programs.ring.read():
            pass
    return median(bursts)


@contextlib.contextmanager
def _empty(object_file: Path, library: Library, variant: Variant) -> Iterator[None]:
    """Set a probe that does nothing, as busted.kernel.programs would set ours."""
    path = f"/proc/self/fd/{library.at(variant.place).fd}"
    offset = variant.place.offset
    bpf = BpfObject(object_file)
    names = ["empty_session"] if variant.way == "session" else ["empty_return", "empty_entry"]
    for name in names:
        bpf.autoload(name, True)
        if variant.way != "perf":
            kind = TRACE_UPROBE_SESSION if variant.way == "session" else TRACE_UPROBE_MULTI
            bpf.attach_type(name, kind)
    bpf.load()
    links = []
    for name in names:
        at_return = name == "empty_return"
        if variant.way == "perf":
            links.append(bpf.attach_uprobe(name, path, offset, at_return=at_return))
        else:
            links.append(
                bpf.attach_uprobe_multi(name, path, [offset], attach_type=kind, at_return=at_return)
            )
    try:
        yield
    finally:
        for link in links:
            link.close()
        bpf.close()


def _table(variants: list[Variant], costs: Costs) -> Table:
    rows = []
    for variant, size in itertools.product(variants, SIZES):
        empty, muted, captured = (
            costs.added(size, variant, kind) for kind in ("empty", "muted", "captured")
        )
        bare = median(costs.bare[size])
        rows.append((variant.name, variant.way, size, bare, empty, muted, muted / empty, captured))
    return Table(
        "What a probe adds to one SSL_write",
        "Nanoseconds of the writing process's processor time, over memory BIOs. Empty is a probe "
        "that does nothing, of the same kind at the same place. Goals: muted within 1.15 of empty "
        "and under 3,000 at the chosen place; captured under 5,000 at 4 KB.",
        (
            "place",
            "way",
            "payload B",
            "bare call",
            "+ empty",
            "+ muted",
            "muted / empty",
            "+ captured",
        ),
        tuple(rows),
    )
