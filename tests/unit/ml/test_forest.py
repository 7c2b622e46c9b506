from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.ml.features import FEATURES, Context, features
from busted.ml.forest import MAX_DEPTH, MAX_TREES, Forest, ModelError, read_forest
from tests.ml.models import TREE, forest, model
from tests.ml.windows import downloaded, streamed


def row(slices: Any) -> list[float]:
    found = features(slices, Context())
    assert found is not None
    return found


def test_the_score_is_the_mean_of_what_the_trees_say() -> None:
    two = forest(trees=(TREE, 0.5))

    assert two.score(row(streamed())) == pytest.approx((0.95 + 0.5) / 2)
    assert two.score(row(downloaded())) == pytest.approx((0.02 + 0.5) / 2)


def test_a_model_survives_its_file() -> None:
    read = read_forest(msgspec.json.encode(model()))

    assert read.score(row(streamed())) == forest().score(row(streamed()))


def test_what_is_far_from_all_training_is_foreign() -> None:
    low, high = [0.0] * len(FEATURES), [1e9] * len(FEATURES)
    high[FEATURES.index("segment_received")] = 10.0
    narrow = forest(lowest=tuple(low), highest=tuple(high))

    assert narrow.is_foreign(row(downloaded()))
    assert not forest().is_foreign(row(downloaded()))


def deep(levels: int) -> Any:
    return 0.5 if not levels else [0, 1.0, deep(levels - 1), 0.5]


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 99},
        {"features": FEATURES[1:]},
        {"lowest": ()},
        {"trees": ()},
        {"trees": (0.5,) * (MAX_TREES + 1)},
        {"hash": "another"},
        {"trees": (1.5,)},
        {"trees": ([99, 1.0, 0.1, 0.2],)},
        {"trees": ([0, "x", 0.1, 0.2],)},
        {"trees": ([0, 1.0, 0.1],)},
        {"trees": (deep(MAX_DEPTH + 1),)},
    ],
)
def test_a_model_that_cannot_be_asked_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        Forest(model(**changes))


@given(st.binary())
def test_a_file_that_is_no_model_is_refused(raw: bytes) -> None:
    with pytest.raises(ModelError):
        read_forest(raw)
