"""Behaviour of connections: windows of traffic in, what they are like and what is novel out.

A connection that behaves like an LLM's client to a host that no table names is told once, unless it
was decoded: then what it is, is known. What is known of decoded connections teaches the
calibration, which is kept in a file over restarts; removing the file forgets it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from busted import events, ml
from busted.ml.calibration import Counts
from busted.ml.classifier import BehaviorClass, Generic, LlmApi, MlClassifier, Unknown
from busted.ml.forest import Forest, ModelError, read_forest
from busted.records import ProcessKey, Traffic

_SHIPPED = Path(ml.__file__).parent / "model.json"
# From this confidence on a connection to a host that nobody named is told.
NOVEL = 0.9
# Labels of connections: as many as are followed. Those that were set longest ago go first.
MAX_LABELS = 8192
# The counts of ten bins are a few hundred bytes; more is another file.
_MAX_BYTES = 64 * 1024
_NAMES: dict[type[BehaviorClass], str] = {
    LlmApi: "llm_api",
    Generic: "generic",
    Unknown: "unknown",
}


class BehaviourSettings(msgspec.Struct, frozen=True):
    """What the operator chose."""

    is_wanted: bool = True
    # A model of `busted ml train`; None: the one that comes with Busted.
    model: Path | None = None
    # Where what this host taught is kept; None: nowhere.
    calibration: Path | None = None


class Behaviour:
    """Knows of each connection what it behaves like. It never raises on what records hold."""

    def __init__(self, forest: Forest, kept: Counts | None = None) -> None:
        self._classifier = MlClassifier(forest, kept)
        self.windows: dict[str, int] = dict.fromkeys(_NAMES.values(), 0)
        """How many windows were taken, by what their connections behaved like then."""
        self._model = forest.model.version
        self._labels: dict[int, bool] = {}
        self._told: dict[int, None] = {}

    def feed(self, traffic: Traffic) -> BehaviorClass:
        """Take a window, and return what its connection behaves like now."""
        if not traffic.window:
            self._classifier.opened(traffic.key, traffic.remote, traffic.began_ns)
        found = self._classifier.observe(
            traffic.key, traffic.cookie, traffic.window, traffic.slices, traffic.time_ns
        )
        self.windows[_NAMES[type(found)]] += 1
        if traffic.cookie in self._labels:
            self._classifier.label(traffic.cookie, self._labels[traffic.cookie])
        return found

    def label(self, cookie: int, is_llm: bool) -> None:
        """Take what a decoded connection is; its windows teach the calibration from now on."""
        if cookie in self._labels:
            return
        self._labels[cookie] = is_llm
        if len(self._labels) > MAX_LABELS:
            del self._labels[next(iter(self._labels))]
        self._classifier.label(cookie, is_llm)

    def labelled(self, cookie: int) -> bool | None:
        """Return whether a connection is an LLM's, or None where it was not decoded."""
        return self._labels.get(cookie)

    def is_novel(self, cookie: int, found: BehaviorClass) -> bool:
        """Tell, once a connection, that it behaves like an LLM's and was not decoded."""
        if not isinstance(found, LlmApi) or found.confidence < NOVEL:
            return False
        if cookie in self._labels or cookie in self._told:
            return False
        self._told[cookie] = None
        if len(self._told) > MAX_LABELS:
            del self._told[next(iter(self._told))]
        return True

    def of_connection(self, cookie: int, provider: str | None) -> events.Behavior | None:
        """Return what events tell of a connection, None where no window of it was seen."""
        return self.told(self._classifier.of_connection(cookie, provider))

    def of_process(self, process: ProcessKey) -> events.Behavior | None:
        """Return the same of the likeliest connection of a process."""
        return self.told(self._classifier.of_process(process))

    def told(self, found: BehaviorClass) -> events.Behavior | None:
        """Return a class as events tell it."""
        if isinstance(found, Unknown):
            return None
        return events.Behavior(
            kind="llm_api" if isinstance(found, LlmApi) else "generic",
            confidence=found.confidence,
            provider=found.provider if isinstance(found, LlmApi) else None,
            model=self._model,
        )

    def changed_counts(self) -> Counts | None:
        """Return the counts of the calibration if they changed since the last call."""
        calibration = self._classifier.calibration
        return calibration.counts() if calibration.is_changed else None


class BehaviourError(Exception):
    """A model or a file of counts cannot be used; the message is one line that says why."""


def shipped_model() -> Forest:
    """Return the model that comes with Busted."""
    return read_forest(_SHIPPED.read_bytes())


def open_behaviour(settings: BehaviourSettings) -> Behaviour:
    """Return what knows behaviour as the operator wants it. Raises BehaviourError."""
    model, counts = settings.model, settings.calibration
    try:
        forest = read_forest(model.read_bytes()) if model else shipped_model()
    except (OSError, ModelError) as error:
        raise BehaviourError(f"cannot use the model {model}: {error}") from error
    return Behaviour(forest, read_counts(counts) if counts else None)


def read_counts(path: Path) -> Counts | None:
    """Return what an earlier run kept, or None where there is nothing to read, or not ours."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=Counts)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        # What it taught is learned again.
        return None


def write_counts(path: Path, counts: Counts) -> None:
    """Keep counts for the next run; the old ones or the new ones are there. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(msgspec.json.encode(counts))
    fresh.replace(path)
