from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.ml.features import FEATURES, MIN_SLICES, Context, features
from busted.records import TrafficSlice
from tests.ml.windows import downloaded, polled, streamed

U32, U16 = st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)
SLICES = st.lists(st.builds(TrafficSlice, U32, U32, U32, U16, U16), max_size=32)


def named(slices: tuple[TrafficSlice, ...], context: Context | None = None) -> dict[str, float]:
    row = features(slices, context or Context())
    assert row is not None
    return dict(zip(FEATURES, row, strict=True))


@given(SLICES, st.builds(Context, U32, U32, U32))
def test_any_slices_give_numbers_or_nothing(slices: list[TrafficSlice], context: Context) -> None:
    row = features(slices, context)

    assert row is None or (len(row) == len(FEATURES) and all(map(math.isfinite, row)))


def test_too_few_slices_say_nothing() -> None:
    assert features(streamed()[: MIN_SLICES - 1], Context()) is None
    assert features([TrafficSlice(i, 100, 0, 1, 0) for i in range(9)], Context()) is None


def test_an_answer_word_by_word_is_one_long_run_of_small_segments() -> None:
    row = named(streamed())

    assert row["run_seconds"] == pytest.approx(2.7)
    assert row["run_share"] == pytest.approx(28 / 29)
    assert row["run_segment"] < 200
    assert row["wait"] == pytest.approx(0.8)
    assert row["gap_median"] == pytest.approx(0.1)


def test_a_download_is_a_run_of_full_segments() -> None:
    row = named(downloaded())

    assert row["run_segment"] > 1300
    assert row["wait"] < 0.1


def test_polling_has_no_run() -> None:
    row = named(polled())

    assert row["run_seconds"] == 0
    assert row["requests"] == 1.0


def test_what_the_process_did_beside_it_counts() -> None:
    row = named(streamed(), Context(window=3, connections=7, destinations=3))

    assert (row["window"], row["connections"], row["destinations"]) == (3.0, 3.0, 2.0)
