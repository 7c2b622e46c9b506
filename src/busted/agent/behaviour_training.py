"""Training: samples in, a model out; and what of the samples belongs together, and pictures of
both.

Strategy: a random forest of small trees, each feature chosen among a few, so that a model is 100 KB
of JSON that plain Python evaluates. Probabilities and thresholds come from predictions of clients
that the forest of that fold did not see (one client left out in turn), so they hold for new ones.

This takes the extra `ml`, which the monitor does without: it runs in a process of its own, the
command's.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from busted.agent.behaviour_labels import labelled
from busted.agent.config import Tables
from busted.agent.policies import MissingExtra
from busted.ml import forest as model_file
from busted.ml.features import FEATURES
from busted.ml.forest import Figures, Forest, Model, ModelError, read_forest, tree_hash
from busted.ml.measure import Measured, measure
from busted.ml.samples import LLM, LLM_WHOLE, Sample, SamplesError, numbers, read_samples

TREES, DEPTH, LEAF = 32, 8, 4
# Above the one threshold so many were an LLM's in training, and below the other so many were not;
# each finds so many of them, and none is less likely than LEAST: what is between is called unknown.
SURE, FOUND, LEAST = 0.99, 0.97, 0.6
# Fewer windows of a kind are no cluster.
CLUSTER = 10
# A compressed file of samples is some hundred KB; this much is another file.
MAX_BYTES = 1 << 30
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


class TrainingError(Exception):
    """No model can be made of this; the message is one line that says why."""


def require_ml() -> None:
    """Raise MissingExtra where nothing can be trained."""
    if (
        importlib.util.find_spec("sklearn") is None
        or importlib.util.find_spec("matplotlib") is None
    ):
        raise MissingExtra(
            "training needs the extra `ml`, which is not installed: pip install 'busted[ml]'"
        )


def read_all(files: Sequence[Path], tables: Tables) -> tuple[list[Sample], str]:
    """Return the samples of all files, recordings or samples, and what they are. TrainingError."""
    found: list[Sample] = []
    told: list[str] = []
    for file in files:
        try:
            with open(file, "rb") as opened:
                head = opened.read(len(_ZSTANDARD))
            if head == _ZSTANDARD:
                raw = zstandard.ZstdDecompressor().decompress(
                    file.read_bytes(), max_output_size=MAX_BYTES
                )
                samples = read_samples(raw)
                found += samples.samples
                told.append(samples.description)
            else:
                found += labelled(file, tables)
                told.append(f"recording {file.name}")
        except (OSError, SamplesError, zstandard.ZstdError) as error:
            raise TrainingError(f"cannot read {file}: {error}") from error
    return found, "; ".join(told)


def train(samples: Sequence[Sample], description: str, version: str) -> Forest:
    """Return a forest of the part `train`, with its figures where others are held out."""
    import numpy
    from sklearn.linear_model import LogisticRegression

    rows = [
        (sample, row)
        for sample, row in numbers(samples)
        if sample.part == "train" and sample.kind != LLM_WHOLE
    ]
    labels = numpy.array([sample.is_llm for sample, _ in rows])
    table = numpy.array([row for _, row in rows], dtype=float)
    clients = numpy.array([sample.client for sample, _ in rows])
    if len(set(labels.tolist())) < 2 or len(set(clients.tolist())) < 2:
        raise TrainingError(
            f"{len(rows)} windows are of one kind or one client: both kinds are needed, "
            "LLM traffic and other, and two clients"
        )
    weights = _weights([sample for sample, _ in rows])
    scores = numpy.zeros(len(rows))
    for client in sorted(set(clients.tolist())):
        others = clients != client
        if len(set(labels[others].tolist())) < 2:
            raise TrainingError(
                f"all windows of one kind are those of {client}: add another client"
            )
        scores[~others] = _scores(
            _fit(table[others], labels[others], weights[others]), table[~others]
        )
    platt = LogisticRegression(C=1e6).fit(scores.reshape(-1, 1), labels)
    slope, offset = float(platt.coef_[0][0]), float(platt.intercept_[0])
    probabilities = platt.predict_proba(scores.reshape(-1, 1))[:, 1]
    llm, generic = thresholds(probabilities.tolist(), labels.tolist())
    trees = [_exported(tree.tree_) for tree in _fit(table, labels, weights).estimators_]
    forest = Forest(
        Model(
            format=model_file.FORMAT,
            version=version,
            hash=tree_hash(trees),
            training=description,
            features=FEATURES,
            lowest=tuple(table.min(axis=0).tolist()),
            highest=tuple(table.max(axis=0).tolist()),
            slope=slope,
            offset=offset,
            llm=llm,
            generic=generic,
            trees=tuple(trees),
        )
    )
    return Forest(msgspec.structs.replace(forest.model, figures=figures(forest, samples)))


def figures(forest: Forest, samples: Sequence[Sample]) -> Figures | None:
    """Return how well a forest does on what was held out, or None where nothing was."""
    held_out = [sample for sample in samples if sample.part == "held_out"]
    if not held_out:
        return None
    found = measure(forest, held_out)
    unseen = measure(forest, [sample for sample in samples if sample.part == "unseen"])
    return Figures(
        precision=round(found.precision, 4),
        recall=round(found.recall, 4),
        calibration_error=round(found.calibration_error, 4),
        unseen_kinds_not_llm=round(unseen.not_llm, 4),
    )


def thresholds(probabilities: Sequence[float], labels: Sequence[bool]) -> tuple[float, float]:
    """Return from where on traffic is called an LLM's, and up to where other traffic.

    Each is as strict as it can be while it finds `FOUND` of what it is for, unless that is not
    sure.
    """
    order = sorted(zip(probabilities, labels, strict=True))
    llm = _threshold([(probability, is_llm) for probability, is_llm in reversed(order)])
    generic = 1 - _threshold([(1 - probability, not is_llm) for probability, is_llm in order])
    return round(max(llm, LEAST), 4), round(min(generic, 1 - LEAST), 4)


def _threshold(falling: Sequence[tuple[float, bool]]) -> float:
    """Return the threshold of probabilities that fall, each with whether it is right."""
    wanted = sum(is_right for _, is_right in falling)
    right, sure = 0, 1.0
    for seen, (probability, is_right) in enumerate(falling, 1):
        right += is_right
        if right / seen >= SURE:
            sure = probability
            if right >= FOUND * wanted:
                break
    return sure


def write_model(forest: Forest, path: Path) -> None:
    """Write a model to a file. Raises TrainingError."""
    try:
        path.write_bytes(msgspec.json.encode(forest.model) + b"\n")
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror}") from error


def read_model(path: Path) -> Forest:
    """Return the forest of a file. Raises TrainingError."""
    try:
        return read_forest(path.read_bytes())
    except (OSError, ModelError) as error:
        raise TrainingError(f"cannot use {path}: {error}") from error


def made(directory: Path) -> Path:
    """Return a directory, which is made where it is not there. Raises TrainingError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot make {directory}: {error.strerror}") from error
    return directory


class Cluster(msgspec.Struct, frozen=True):
    """Windows that are like each other; `typical` has the medians of what is easiest to read."""

    windows: int
    kinds: dict[str, int]
    typical: dict[str, float]


def discover(
    samples: Sequence[Sample], forest: Forest, picture: Path | None = None
) -> list[Cluster]:
    """Return the clusters of the windows that the forest calls unknown, the largest first."""
    import numpy
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    rows = [(sample, row) for sample, row in numbers(samples) if _is_unknown(forest, row)]
    if len(rows) < 2 * CLUSTER:
        raise TrainingError(f"{len(rows)} windows are unknown: too few to find what is alike")
    table = numpy.array([row for _, row in rows])
    scaled = StandardScaler().fit_transform(table)
    found = HDBSCAN(min_cluster_size=CLUSTER, copy=True).fit_predict(scaled)
    clusters = []
    for number in sorted(set(found.tolist()) - {-1}):
        chosen = numpy.flatnonzero(found == number)
        kinds: dict[str, int] = defaultdict(int)
        for at in chosen:
            kinds[rows[at][0].kind] += 1
        medians = numpy.median(table[chosen], axis=0)
        typical = {
            name: round(float(value), 2) for name, value in zip(FEATURES, medians, strict=True)
        }
        clusters.append(Cluster(len(chosen), dict(kinds), typical))
    if picture:
        _draw_clusters(PCA(2).fit_transform(scaled), found, picture)
    return sorted(clusters, key=lambda cluster: -cluster.windows)


def draw(found: Measured, directory: Path) -> list[Path]:
    """Draw what each kind was called, and how far probabilities can be relied on."""
    axes, figure, save = _picture(directory / "confusion.png")
    kinds = list(found.kinds)
    shares = [
        [getattr(found.kinds[kind], name) / found.kinds[kind].windows for name in _NAMES]
        for kind in kinds
    ]
    figure.colorbar(axes.imshow(shares, vmin=0, vmax=1, aspect="auto", cmap="Blues"))
    axes.set_xticks(range(len(_NAMES)), _NAMES)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_title("What each kind of traffic was called")
    pictures = [save()]
    axes, _, save = _picture(directory / "reliability.png")
    bins = [bin for bin in found.reliability if bin.windows]
    axes.plot([0, 1], [0, 1], "--", color="grey")
    axes.plot([b.told / b.windows for b in bins], [b.llm / b.windows for b in bins], "o-")
    axes.set_xlabel("probability told")
    axes.set_ylabel("share that was an LLM's")
    axes.set_title(f"Calibration, error {found.calibration_error:.3f}")
    return [*pictures, save()]


_NAMES = ("llm", "generic", "unknown")


def _draw_clusters(points: Any, found: Any, path: Path) -> None:
    axes, _, save = _picture(path)
    axes.scatter(points[:, 0], points[:, 1], c=found, s=8, cmap="tab20")
    axes.set_title("Unknown traffic, two main components")
    save()


def _picture(path: Path) -> tuple[Any, Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")

    def save() -> Path:
        figure.savefig(path, dpi=110)
        pyplot.close(figure)
        return path

    return axes, figure, save


def _is_unknown(forest: Forest, row: Sequence[float]) -> bool:
    probability = forest.probability(forest.score(row))
    between = forest.model.generic < probability < forest.model.llm
    return between or forest.is_foreign(row)


def _weights(samples: Sequence[Sample]) -> Any:
    """Weigh windows so that both classes count the same, and in each its kinds by client."""
    import numpy

    counts: dict[tuple[str, str], int] = defaultdict(int)
    for sample in samples:
        counts[sample.kind, sample.client] += 1
    groups: dict[bool, int] = defaultdict(int)
    for kind, _ in counts:
        groups[kind == LLM] += 1
    return numpy.array(
        [1 / counts[sample.kind, sample.client] / groups[sample.is_llm] for sample in samples]
    ) * len(samples)


def _fit(table: Any, labels: Any, weights: Any) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        TREES, max_depth=DEPTH, min_samples_leaf=LEAF, max_features="sqrt", random_state=7
    )
    return forest.fit(table, labels, sample_weight=weights)


def _scores(forest: Any, table: Any) -> Any:
    return forest.predict_proba(table)[:, 1]


def _exported(tree: Any, node: int = 0) -> Any:
    """Return a tree as nested lists, with as many digits as matter."""
    if tree.children_left[node] < 0:
        below, llm = tree.value[node][0]
        return round(float(llm / (below + llm)), 4)
    return [
        int(tree.feature[node]),
        float(f"{tree.threshold[node]:.6g}"),
        _exported(tree, tree.children_left[node]),
        _exported(tree, tree.children_right[node]),
    ]
