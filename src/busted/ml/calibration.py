"""What a host teaches about a model: how often it was right on traffic that could be read.

Strategy: answers are sorted into ten bins by the model's own probability. Where a connection was
decoded, so that what it is is known, the bin counts it. The probability that is told is the mean of
the model's, which counts as much as `PRIOR` windows, and of what was seen. Counts are halved when a
bin has many, so that last year says less than today. Trees are never changed here.
"""

from __future__ import annotations

import msgspec

BINS = 10
# The model's word counts like so many windows that were seen.
PRIOR = 50.0
# A bin with more is halved: an hour of a busy host, or a week of a quiet one.
MAX_BIN = 2000.0


class Bin(msgspec.Struct):
    """Windows that were seen, and how many of them were an LLM's."""

    windows: float = 0.0
    llm: float = 0.0


class Counts(msgspec.Struct, frozen=True):
    """What is kept between runs: the bins, and the hash of the model that they are about."""

    model: str
    bins: tuple[Bin, ...]


class Calibration:
    """Corrects the probabilities of one model."""

    def __init__(self, model: str, kept: Counts | None = None) -> None:
        """`model` is its hash: counts that were kept of another one say nothing of it."""
        self.is_changed = False
        """Whether a window was learned since the counts were last asked for."""
        self._model = model
        self._bins = [Bin() for _ in range(BINS)]
        if kept is not None and kept.model == model and len(kept.bins) == BINS:
            self._bins = [
                Bin(
                    min(max(bin.windows, 0.0), MAX_BIN),
                    min(max(bin.llm, 0.0), bin.windows, MAX_BIN),
                )
                for bin in kept.bins
            ]

    @property
    def windows(self) -> int:
        """How many windows it goes by, those counted half when a bin was full."""
        return round(sum(bin.windows for bin in self._bins))

    def corrected(self, probability: float) -> float:
        """Return the probability by the model and by what was seen here."""
        bin = self._bins[_index(probability)]
        return (PRIOR * probability + bin.llm) / (PRIOR + bin.windows)

    def learn(self, probability: float, is_llm: bool) -> None:
        """Take a window whose kind became known, with the model's own probability."""
        bin = self._bins[_index(probability)]
        bin.windows += 1
        bin.llm += is_llm
        if bin.windows > MAX_BIN:
            bin.windows, bin.llm = bin.windows / 2, bin.llm / 2
        self.is_changed = True

    def counts(self) -> Counts:
        """Return what is to be kept."""
        self.is_changed = False
        return Counts(self._model, tuple(Bin(bin.windows, bin.llm) for bin in self._bins))


def _index(probability: float) -> int:
    return min(max(int(probability * BINS), 0), BINS - 1)
