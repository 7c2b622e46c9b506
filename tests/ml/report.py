"""`make ml-report`: how well the shipped model does on what it never saw, for docs/ml.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import zstandard

from busted.agent.behaviour import shipped_model
from busted.ml.forest import Forest
from busted.ml.measure import Called, Measured, measure
from busted.ml.samples import LLM, LLM_WHOLE, Sample, Samples, numbers, read_samples
from tests.requirements import ROOT

SAMPLES = Path(__file__).parent / "samples.zst"
PAGE = ROOT / "docs/ml.md"
MAX_BYTES = 1 << 28


def samples() -> Samples:
    """Return the samples of the sources."""
    raw = zstandard.ZstdDecompressor().decompress(SAMPLES.read_bytes(), max_output_size=MAX_BYTES)
    return read_samples(raw)


def part(all_samples: Samples, name: str) -> list[Sample]:
    """Return the samples of a part: `train`, `held_out`, `unseen`."""
    return [sample for sample in all_samples.samples if sample.part == name]


def page() -> str:
    """Return docs/ml.md."""
    all_samples, forest = samples(), shipped_model()
    held_out = measure(forest, part(all_samples, "held_out"))
    unseen = measure(forest, part(all_samples, "unseen"))
    return "\n".join(
        (
            _OPENING,
            *_model(forest),
            _FIGURES,
            *_figures(held_out, unseen),
            _KINDS,
            *_called(held_out.kinds),
            _UNSEEN,
            *_called(unseen.kinds),
            _SOURCES,
            *_called(held_out.sources),
            *_called(unseen.sources),
            _CALIBRATION,
            *_calibration(held_out),
            _DATA,
            *_data(all_samples),
            "",
        )
    )


_OPENING = """# How well behaviour is told

The shipped model of [behaviour](behaviour.md), measured with traffic that it was not trained with:
no client, no server and no pace of a provider of the part `held_out` is in the part `train` (but
for `chat`, whose server is), and no kind of the part `unseen` is in either. Made by
`make ml-report`; a test compares. Real programs made this traffic, on one machine, with a delaying
line between them: real networks lose packets and change, so expect figures below these.

Two things were changed after a first look at these parts, so they are not quite blind: `crawl` was
added to the training because an earlier model called half of `git` an LLM's, and thresholds, which
are set by the training alone, were first fixed at 0.9.

## The model
"""
_FIGURES = """
## Figures

By window, on clients and servers that are new to it.

| Figure | Goal | Measured |
|---|---|---|"""
_KINDS = """
## Kinds of traffic that it knows, of clients and servers that it does not

| Kind | Windows | Called LLM | Generic | Unknown |
|---|---|---|---|---|"""
_UNSEEN = """
## Kinds of traffic that it never saw

| Kind | Windows | Called LLM | Generic | Unknown |
|---|---|---|---|---|"""
_SOURCES = """
## By client, server, pace and delay

| Source | Windows | Called LLM | Generic | Unknown |
|---|---|---|---|---|"""
_CALIBRATION = """
## Calibration

Windows by the probability that the model told, and how many were an LLM's.

| Told | Windows | Mean told | Were an LLM's |
|---|---|---|---|"""
_DATA = """
## What it was made with

Windows that have enough in them to say something, and their connections.

| Part | Kind | Client and server | Windows | Connections |
|---|---|---|---|---|"""


def _model(forest: Forest) -> Iterable[str]:
    model = forest.model
    trees = f"{len(model.trees)} trees, hash `{model.hash[:16]}`"
    yield f"Version {model.version}, {trees}; trained with"
    yield f"{model.training}. LLM from probability {model.llm}, generic up to {model.generic}."


def _figures(held_out: Measured, unseen: Measured) -> Iterable[str]:
    yield f"| Precision | 0.98 | {held_out.precision:.3f} |"
    yield f"| Recall | 0.95 | {held_out.recall:.3f} |"
    yield f"| Expected calibration error | | {held_out.calibration_error:.3f} |"
    yield f"| Windows of unseen kinds that were not called LLM | 0.90 | {unseen.not_llm:.3f} |"


def _called(rows: dict[str, Called]) -> Iterable[str]:
    for name, called in rows.items():
        label = f"`{name}`"
        if name in (LLM, LLM_WHOLE):
            label += " (streamed)" if name == LLM else " (in one piece: not counted)"
        numbers_told = (called.windows, called.llm, called.generic, called.unknown)
        yield f"| {label} | {' | '.join(map(str, numbers_told))} |"


def _calibration(found: Measured) -> Iterable[str]:
    for number, bin in enumerate(found.reliability):
        if bin.windows:
            told, llm = bin.told / bin.windows, bin.llm / bin.windows
            label = f"{number / 10:.1f} to {number / 10 + 0.1:.1f}"
            yield f"| {label} | {bin.windows} | {told:.3f} | {llm:.3f} |"


def _data(all_samples: Samples) -> Iterable[str]:
    windows: dict[tuple[str, str, str], list[int]] = {}
    for sample, _ in numbers(all_samples.samples):
        # The last word is the delay of the line, and the pace stands before it.
        who = " to ".join(sample.source.split(" ")[:2])
        windows.setdefault((sample.part, sample.kind, who), []).append(sample.connection)
    for (name, kind, who), connections in sorted(windows.items()):
        yield f"| {name} | `{kind}` | {who} | {len(connections)} | {len(set(connections))} |"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE.read_text())
