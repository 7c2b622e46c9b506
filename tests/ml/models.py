"""A small model for tests: one tree that asks whether segments are small and much is received."""

from __future__ import annotations

from typing import Any

from busted.ml.features import FEATURES
from busted.ml.forest import FORMAT, Forest, Model, tree_hash

# Mean bytes of a received segment, then the seconds of the longest run.
TREE: list[Any] = [
    FEATURES.index("run_segment"),
    700.0,
    [FEATURES.index("run_seconds"), 1.5, 0.05, 0.95],
    0.02,
]


def model(**changes: Any) -> Model:
    """Return the model, with other fields where a test wants them."""
    fields: dict[str, Any] = {
        "format": FORMAT,
        "version": "test",
        "training": "none",
        "features": FEATURES,
        "lowest": (-1e9,) * len(FEATURES),
        "highest": (1e9,) * len(FEATURES),
        "slope": 10.0,
        "offset": -5.0,
        "llm": 0.9,
        "generic": 0.2,
        "trees": (TREE,),
    }
    fields |= changes
    return Model(hash=fields.pop("hash", tree_hash(fields["trees"])), **fields)


def forest(**changes: Any) -> Forest:
    """Return the same, ready to be asked."""
    return Forest(model(**changes))
