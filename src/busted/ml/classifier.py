"""What connections and processes behave like: an LLM's client, other traffic, or neither for sure.

Strategy: each window of a connection gets a probability from the forest, corrected by what this
host taught; a connection's is the mean of its last windows. It is called LLM traffic above the
model's one threshold and generic below the other, and Unknown between them, where there are too few
slices, or where the numbers are far from all that the model was trained with. A process is what the
likeliest of its connections is.

A connection that was decoded needs no guess: its label teaches the calibration, one window at a
time.

Left out: which provider it is. Its pace does not tell: the same models are served by many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from busted.ml.calibration import Calibration, Counts
from busted.ml.features import features
from busted.ml.forest import Forest
from busted.ml.history import History
from busted.records import ProcessKey, TrafficSlice


class LlmApi(msgspec.Struct, frozen=True, tag="llm_api"):
    """Behaves like a client of a model that streams; `provider` where the host's name told it."""

    confidence: float
    provider: str | None = None


class Generic(msgspec.Struct, frozen=True, tag="generic"):
    """Behaves like other traffic."""

    confidence: float


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """Neither can be said: too little was seen, or nothing like it in training."""


BehaviorClass = LlmApi | Generic | Unknown
"""A confidence is the probability that the class is right, 0.5 to 1."""


class Limits(msgspec.Struct, frozen=True):
    """What is remembered at most; beyond it, what was seen longest ago is forgotten."""

    # As many as the kernel side follows (the `traffic` map of bpf/traffic.h).
    connections: int = 8192
    # What a connection did minutes ago says little of what it does now.
    windows: int = 8


class _Seen:
    """The last windows of a connection, as the model's own probabilities."""

    __slots__ = ("probabilities", "process")

    def __init__(self, process: ProcessKey, windows: int) -> None:
        self.process = process
        self.probabilities: deque[float] = deque(maxlen=windows)


class MlClassifier:
    """Takes windows of traffic, and says what is behind them. It never raises on what they hold."""

    def __init__(
        self,
        forest: Forest,
        kept: Counts | None = None,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        """`kept` is what `calibration` had at the end of an earlier run."""
        self.calibration = Calibration(forest.model.hash, kept)
        self._forest, self._limits = forest, limits
        self._history = History()
        self._connections: dict[int, _Seen] = {}

    def opened(self, process: ProcessKey, destination: bytes, now_ns: int) -> None:
        """Take a connection that a process opened."""
        self._history.opened(process, destination, now_ns)

    def observe(
        self,
        process: ProcessKey,
        cookie: int,
        window: int,
        slices: Sequence[TrafficSlice],
        now_ns: int,
    ) -> BehaviorClass:
        """Take a window of a connection, and return what that behaves like now."""
        row = features(slices, self._history.context(process, window, now_ns))
        if row is None or self._forest.is_foreign(row):
            return self.of_connection(cookie)
        seen = self._connections.pop(cookie, None) or _Seen(process, self._limits.windows)
        self._connections[cookie] = seen
        if len(self._connections) > self._limits.connections:
            del self._connections[next(iter(self._connections))]
        seen.probabilities.append(self._forest.probability(self._forest.score(row)))
        return self._class(seen)

    def of_connection(self, cookie: int, provider: str | None = None) -> BehaviorClass:
        """Return what a connection behaves like, by its last windows."""
        seen = self._connections.get(cookie)
        if seen is None:
            return Unknown()
        found = self._class(seen)
        if provider and isinstance(found, LlmApi):
            return LlmApi(found.confidence, provider)
        return found

    def of_process(self, process: ProcessKey) -> BehaviorClass:
        """Return what the connection of a process that is likeliest an LLM's behaves like."""
        seen = [seen for seen in self._connections.values() if seen.process == process]
        return self._class(max(seen, key=self._mean)) if seen else Unknown()

    def label(self, cookie: int, is_llm: bool) -> None:
        """Learn what a connection is that was decoded: its last window teaches the calibration."""
        seen = self._connections.get(cookie)
        if seen is not None:
            self.calibration.learn(seen.probabilities[-1], is_llm)

    def _mean(self, seen: _Seen) -> float:
        corrected = map(self.calibration.corrected, seen.probabilities)
        return sum(corrected) / len(seen.probabilities)

    def _class(self, seen: _Seen) -> BehaviorClass:
        probability, model = self._mean(seen), self._forest.model
        if probability >= model.llm:
            return LlmApi(round(probability, 3))
        if probability <= model.generic:
            return Generic(round(1 - probability, 3))
        return Unknown()
