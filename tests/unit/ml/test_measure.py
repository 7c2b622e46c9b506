from __future__ import annotations

import pytest

from busted.ml.features import Context
from busted.ml.measure import Called, measure
from busted.ml.samples import Sample
from busted.records import TrafficSlice
from tests.ml.models import TREE, forest
from tests.ml.windows import downloaded, streamed


def sample(kind: str, slices: tuple[TrafficSlice, ...]) -> Sample:
    return Sample("held_out", kind, "curl node", 1, Context(), slices)


def test_figures_are_shares_of_windows() -> None:
    found = measure(
        forest(),
        [
            *[sample("llm_stream", streamed())] * 3,
            sample("llm_stream", downloaded()),  # missed
            *[sample("download", downloaded())] * 4,
            sample("ticker", streamed()),  # wrong
            sample("rest", streamed()[:2]),  # says too little, and counts nowhere
        ],
    )

    assert found.precision == pytest.approx(3 / 4)
    assert found.recall == pytest.approx(3 / 4)
    assert found.not_llm == pytest.approx(4 / 5)
    assert found.kinds["llm_stream"] == Called(llm=3, generic=1)
    assert found.kinds["download"].windows == 4
    assert "rest" not in found.kinds


def test_calibration_is_right_where_shares_are_what_was_told() -> None:
    # Says 0.5 of everything, and half of it is an LLM's.
    even = forest(trees=(0.5,), slope=10.0, offset=-5.0)
    windows = [sample("llm_stream", streamed()), sample("download", downloaded())]

    assert measure(even, windows).calibration_error == pytest.approx(0)
    assert measure(even, windows[:1]).calibration_error == pytest.approx(0.5)


def test_whole_answers_are_told_of_and_count_nowhere() -> None:
    found = measure(forest(trees=(TREE,)), [sample("llm_whole", streamed())])

    assert found.kinds["llm_whole"].llm == 1
    assert (found.precision, found.recall, found.calibration_error) == (0, 0, 0)


def test_nothing_gives_zeros() -> None:
    found = measure(forest(), [])

    assert (found.precision, found.recall, found.not_llm, found.kinds) == (0, 0, 0, {})
