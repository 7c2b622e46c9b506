"""Training on made-up windows: what comes out is asked as the monitor asks it."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
import zstandard

from busted.agent import behaviour_training as training
from busted.agent.behaviour_training import TrainingError, thresholds
from busted.agent.config import DEFAULT_TABLES
from busted.ml.features import Context, features
from busted.ml.forest import Forest
from busted.ml.measure import measure
from busted.ml.samples import Sample, write_samples
from busted.records import TrafficSlice
from tests.ml.windows import downloaded, polled, streamed

needs_sklearn = pytest.mark.needs("sklearn")


def shaken(slices: tuple[TrafficSlice, ...], chance: random.Random) -> tuple[TrafficSlice, ...]:
    """The same shape with other numbers."""
    times = chance.uniform(0.9, 1.1)
    size = chance.uniform(0.7, 1.3)
    return tuple(
        TrafficSlice(
            int(one.at_ms * times),
            int(one.sent * size),
            int(one.received * size),
            one.segments_sent,
            one.segments_received,
        )
        for one in slices
    )


def windows(part: str, *clients: str) -> list[Sample]:
    chance = random.Random(part)
    shapes = {"llm_stream": streamed(), "download": downloaded(), "rest": polled()}
    return [
        Sample(part, kind, f"{client} server", number, Context(), shaken(shape, chance))
        for client in clients
        for kind, shape in shapes.items()
        for number in range(20)
    ]


@pytest.fixture(scope="module")
def forest() -> Forest:
    samples = windows("train", "curl", "node", "aiohttp") + windows("held_out", "requests")
    return training.train(samples, "made up", "1")


@needs_sklearn
def test_a_model_tells_clients_that_it_never_saw(forest: Forest) -> None:
    found = measure(forest, windows("held_out", "go"))

    assert (found.precision, found.recall) == (1.0, 1.0)
    assert forest.model.figures is not None
    assert forest.model.figures.recall == 1.0
    assert forest.model.training == "made up"


@needs_sklearn
def test_a_model_is_asked_as_it_was_trained(forest: Forest, tmp_path: Path) -> None:
    training.write_model(forest, tmp_path / "model.json")
    read = training.read_model(tmp_path / "model.json")
    row = features(streamed(), Context())
    assert row is not None

    assert read.score(row) == forest.score(row) > 0.9
    assert read.model.llm >= training.LEAST > 1 - training.LEAST >= read.model.generic


@needs_sklearn
@pytest.mark.parametrize(
    "samples",
    [
        [],
        windows("train", "curl"),
        [one for one in windows("train", "curl", "node") if not one.is_llm],
        windows("held_out", "curl", "node"),
        [one for one in windows("train", "curl", "node") if one.is_llm <= (one.client == "curl")],
    ],
    ids=["nothing", "one client", "one kind", "held out only", "one client of a kind"],
)
def test_what_cannot_be_trained_with_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(TrainingError):
        training.train(samples, "", "1")


@needs_sklearn
def test_what_is_alike_among_the_unknown_is_found_and_drawn(forest: Forest, tmp_path: Path) -> None:
    nothing = Forest(msgspec.structs.replace(forest.model, llm=1.1, generic=-0.1))
    samples = windows("unseen", "curl", "node")

    found = training.discover(samples, nothing, tmp_path / "clusters.png")

    kinds = [set(cluster.kinds) for cluster in found if cluster.windows >= 20]
    assert {frozenset(one) for one in kinds} >= {frozenset({"llm_stream"}), frozenset({"download"})}
    assert (tmp_path / "clusters.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(TrainingError, match="too few"):
        training.discover(samples[:3], nothing)


@needs_sklearn
def test_figures_are_drawn(forest: Forest, tmp_path: Path) -> None:
    pictures = training.draw(measure(forest, windows("held_out", "go")), tmp_path)

    assert [picture.name for picture in pictures] == ["confusion.png", "reliability.png"]
    assert all(picture.read_bytes()[:4] == b"\x89PNG" for picture in pictures)


def test_thresholds_find_most_of_what_they_are_for() -> None:
    probabilities = [i / 1000 for i in range(1000)]
    llm, generic = thresholds(probabilities, [p >= 0.5 for p in probabilities])

    # Nothing is called so that is less likely than LEAST.
    assert (llm, generic) == (0.6, 0.4)
    llm, generic = thresholds([0.99] * 50 + [0.02] * 50, [True] * 50 + [False] * 50)
    assert (llm, generic) == (0.99, 0.02)


def test_files_of_samples_are_read_and_others_are_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.zst", tmp_path / "bad"
    good.write_bytes(zstandard.compress(write_samples("made up", windows("train", "curl"))))
    bad.write_bytes(zstandard.compress(b"nothing"))

    samples, description = training.read_all([good, good], DEFAULT_TABLES)
    assert (len(samples), description) == (120, "made up; made up")
    with pytest.raises(TrainingError, match="bad"):
        training.read_all([bad], DEFAULT_TABLES)
    with pytest.raises(TrainingError, match="missing"):
        training.read_all([tmp_path / "missing"], DEFAULT_TABLES)
