"""How well a forest does on samples: precision, recall, calibration, and what each kind was called.

The classes are the monitor's, by one window. Whole answers of a model are told of by themselves:
they are neither right nor wrong, for a slow service answers just so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from busted.ml.features import features
from busted.ml.forest import Forest
from busted.ml.samples import LLM_WHOLE, Sample

BINS = 10


class Called(msgspec.Struct):
    """What the windows of one kind were called."""

    llm: int = 0
    generic: int = 0
    unknown: int = 0

    @property
    def windows(self) -> int:
        """How many there were."""
        return self.llm + self.generic + self.unknown


class ReliabilityBin(msgspec.Struct):
    """Windows of about one probability, and how many were an LLM's."""

    windows: int = 0
    llm: int = 0
    told: float = 0.0


class Measured(msgspec.Struct, frozen=True):
    """The figures; what cannot be divided is 0."""

    kinds: dict[str, Called]
    sources: dict[str, Called]
    reliability: tuple[ReliabilityBin, ...]
    precision: float
    recall: float
    calibration_error: float
    not_llm: float
    """Of the windows that were no LLM's, how many were not called so."""


def measure(forest: Forest, samples: Iterable[Sample]) -> Measured:
    """Return how well the forest does on samples that it was not trained with."""
    kinds: dict[str, Called] = defaultdict(Called)
    sources: dict[str, Called] = defaultdict(Called)
    bins = tuple(ReliabilityBin() for _ in range(BINS))
    right = wrong = missed = others = 0
    for sample in samples:
        row = features(sample.slices, sample.context)
        if row is None:
            continue
        probability = forest.probability(forest.score(row))
        name = _name(forest, row, probability)
        for called in (kinds[sample.kind], sources[f"{sample.kind}: {sample.source}"]):
            setattr(called, name, getattr(called, name) + 1)
        if sample.kind == LLM_WHOLE:
            continue
        bin = bins[min(int(probability * BINS), BINS - 1)]
        bin.windows, bin.llm = bin.windows + 1, bin.llm + sample.is_llm
        bin.told += probability
        right += sample.is_llm and name == "llm"
        missed += sample.is_llm and name != "llm"
        wrong += not sample.is_llm and name == "llm"
        others += not sample.is_llm
    return Measured(
        dict(sorted(kinds.items())),
        dict(sorted(sources.items())),
        bins,
        right / (right + wrong) if right else 0.0,
        right / (right + missed) if right else 0.0,
        _calibration_error(bins),
        (others - wrong) / others if others else 0.0,
    )


def _name(forest: Forest, row: Sequence[float], probability: float) -> str:
    if forest.is_foreign(row):
        return "unknown"
    if probability >= forest.model.llm:
        return "llm"
    return "generic" if probability <= forest.model.generic else "unknown"


def _calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error (Naeini et al. 2015): the mean distance of bins."""
    windows = sum(bin.windows for bin in bins)
    return sum(abs(bin.told - bin.llm) for bin in bins) / windows if windows else 0.0
