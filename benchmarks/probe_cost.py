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
from busted.kernel.shared import RingReader, SharedMaps
from busted.records import TlsData, decode

# The two connections of ssl_calls.
CAPTURED, MUTED = 0, 1
# How often a round is measured anew because another tracer's probe was there at its end.
MAX_TRIES = 10


class Variant(msgspec.Struct, frozen=True):
    """Where and how a probe is set."""

    way: Way
    place: Place
    name: str
    """Of the place."""


Round = dict[tuple[int, Variant, str], float]
"""Nanoseconds of a call by payload, variant and kind."""


class Costs:
    """The nanoseconds that one call took, by payload, variant and kind, round by round."""

    def __init__(
        self, plan: Plan, library: Library, calls: list[SslCalls], empty_object: Path
    ) -> None:
        self._plan, self._library, self._calls = plan, library, calls
        self._empty_object = empty_object
        self._nanoseconds: dict[tuple[int, Variant, str], list[float]] = defaultdict(list)

    def measure(self, variant: Variant, programs: TlsPrograms) -> None:
        """Time one round of bare, empty, muted and captured calls, close to one another."""
        for _ in range(MAX_TRIES):
            self._calls[0].wait_until_bare(variant.place)
            timed = self._measure(variant, programs)
            if not self._calls[0].probed(variant.place):
                break
        else:
            raise BenchmarkError("another tracer keeps coming and going; stop other monitors")
        for what, nanoseconds in timed.items():
            self._nanoseconds[what].append(nanoseconds)

    def _measure(self, variant: Variant, programs: TlsPrograms) -> Round:
        timed: Round = {}

        def time(
            calls: SslCalls, kind: str, connection: int = CAPTURED, ring: RingReader | None = None
        ) -> None:
            bursts = []
            for _ in range(self._plan.bursts):
                calls.start(connection, self._plan.burst_calls)
                bursts.append(calls.nanoseconds())
                while ring and ring.read():
                    pass
            timed[calls.size, variant, kind] = median(bursts)

        for calls in self._calls:
            time(calls, "bare")
        with _empty(self._empty_object, self._library, variant):
            for calls in self._calls:
                time(calls, "empty")
        programs.attach(self._library.at(variant.place), cookie=1)
        for calls in self._calls:
            _mute(calls, programs)
            time(calls, "muted", MUTED)
            time(calls, "captured", ring=programs.shared.ring)
        programs.detach()
        if lost := programs.shared.lost():
            raise BenchmarkError(f"records were lost, so calls that cost less were timed: {lost}")
        return timed

    def bare(self, size: int, variant: Variant) -> float:
        """What a call takes without a probe."""
        return median(self._nanoseconds[size, variant, "bare"])

    def added(self, size: int, variant: Variant, kind: str) -> float:
        """What the probe adds: the median of the differences within a round."""
        bare = self._nanoseconds[size, variant, "bare"]
        pairs = zip(self._nanoseconds[size, variant, kind], bare, strict=True)
        return median(probed - bare for probed, bare in pairs)


def _mute(calls: SslCalls, programs: TlsPrograms) -> None:
    """Mute the connection, unless it is muted since an earlier round."""
    calls.start(MUTED, 1)
    calls.nanoseconds()
    while batch := programs.shared.ring.read():
        for record in map(decode, batch):
            if isinstance(record, TlsData) and record.key.pid == calls.pid:
                programs.mute(record.key)


def ways(features: Features) -> list[Way]:
    """What this kernel offers, best first."""
    needs = {"session": "session uprobe", "multi": "multi uprobe", "perf": "ring buffer"}
    return [way for way in get_args(Way) if features.has(needs[way])]


def table(plan: Plan, built: Built, on: Processors) -> Table:
    """Measure, and return what each variant adds to a call."""
    with contextlib.ExitStack() as opened:
        calls = [
            opened.enter_context(contextlib.closing(SslCalls(built, size, on.producer)))
            for size in SIZES
        ]
        library = opened.enter_context(contextlib.closing(calls[0].library()))
        offered = ways(probe())
        programs = {way: opened.enter_context(contextlib.closing(_load(way))) for way in offered}
        variants = _variants(offered, library)
        costs = Costs(plan, library, calls, built.empty)
        for _, variant in itertools.product(range(plan.rounds), variants):
            costs.measure(variant, programs[variant.way])
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
    shared = SharedMaps(settings.ring_bytes)
    return TlsPrograms(way, shared, max_call_bytes=settings.max_call_bytes)


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
        bare = costs.bare(size, variant)
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
