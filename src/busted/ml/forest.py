"""A trained forest, read from JSON and asked in plain Python.

Strategy: a tree is nested tuples, so that one step down is one comparison; a forest of a few
dozen small trees takes about ten microseconds. What a model says of itself (version, what it
was trained with, its measured figures) travels with it, and a hash of its trees tells two apart.

Left out: training, which takes scikit-learn: `busted ml train`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from busted.ml.features import FEATURES

FORMAT = 1
# What a model may have at most: more could not be asked in time.
MAX_TREES = 200
MAX_DEPTH = 16

# A leaf says how likely it is an LLM's; else: which feature, the threshold, and where to go.
Node = float | tuple[int, float, Any, Any]


class ModelError(Exception):
    """A model cannot be used; the message is one line that says why."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How well a model did on clients and servers that it was not trained with, 0 to 1."""

    precision: float
    recall: float
    calibration_error: float
    unseen_kinds_not_llm: float


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The file: trees, how their answer becomes a probability, and what the model is.

    `slope` and `offset` make the mean of the trees a probability (Platt 1999); from `llm` on it is
    called LLM traffic, up to `generic` it is called other traffic, and between them neither.
    """

    format: int
    version: str
    hash: str
    training: str
    figures: Figures | None = None
    features: tuple[str, ...]
    # The range of each feature in the training data: what is far outside was never seen.
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    slope: float
    offset: float
    llm: float
    generic: float
    trees: tuple[Any, ...]


class Forest:
    """A model, ready to be asked."""

    def __init__(self, model: Model) -> None:
        """Raises ModelError where the model is not one that this version can ask."""
        if model.format != FORMAT:
            raise ModelError(f"the model has format {model.format}, this Busted reads {FORMAT}")
        if model.features != FEATURES:
            raise ModelError("the model was trained with other features: train it anew")
        if len(model.lowest) != len(FEATURES) or len(model.highest) != len(FEATURES):
            raise ModelError("the model does not tell the range of each feature")
        if not 0 < len(model.trees) <= MAX_TREES:
            raise ModelError(f"the model has {len(model.trees)} trees, not 1 to {MAX_TREES}")
        if model.hash != tree_hash(model.trees):
            raise ModelError("the hash of the model is not that of its trees: it was changed")
        self.model = model
        self._trees = [_node(tree, MAX_DEPTH) for tree in model.trees]

    def score(self, features: Sequence[float]) -> float:
        """Return the mean of what the trees say, 0 to 1; no probability yet."""
        total = 0.0
        for node in self._trees:
            while type(node) is tuple:
                feature, threshold, below, above = node
                node = below if features[feature] <= threshold else above
            total += node  # type: ignore[operator]  # no tuple: a leaf
        return total / len(self._trees)

    def probability(self, score: float) -> float:
        """Return how likely a score is LLM traffic's, 0 to 1, as far as training could tell."""
        return 1 / (1 + math.exp(-(self.model.slope * score + self.model.offset)))

    def is_foreign(self, features: Sequence[float]) -> bool:
        """Tell whether this is far from all that the model was trained with."""
        for value, lowest, highest in zip(
            features, self.model.lowest, self.model.highest, strict=True
        ):
            margin = (highest - lowest) / 2
            if not lowest - margin <= value <= highest + margin:
                return True
        return False


def read_forest(raw: bytes) -> Forest:
    """Return the forest of a model file. Raises ModelError."""
    try:
        return Forest(msgspec.json.decode(raw, type=Model))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"not a model: {error}") from error


def tree_hash(trees: Sequence[Any]) -> str:
    """Return what tells these trees from others: SHA-256 of their JSON, in hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(trees)).hexdigest()


def _node(tree: Any, depth: int) -> Node:
    if isinstance(tree, float | int) and 0 <= tree <= 1:
        return float(tree)
    if not isinstance(tree, list) or len(tree) != 4 or not depth:
        raise ModelError("a tree of the model is not one")
    feature, threshold, below, above = tree
    if not isinstance(feature, int) or not 0 <= feature < len(FEATURES):
        raise ModelError(f"a tree of the model asks for feature {feature!r}")
    if not isinstance(threshold, float | int):
        raise ModelError(f"a tree of the model compares with {threshold!r}")
    return feature, float(threshold), _node(below, depth - 1), _node(above, depth - 1)
