from __future__ import annotations

import pytest

from busted.ml.calibration import MAX_BIN, Calibration


def test_without_anything_learned_the_model_has_the_word() -> None:
    assert Calibration("a").corrected(0.83) == pytest.approx(0.83)


def test_what_was_seen_moves_the_probability_of_its_bin_alone() -> None:
    calibration = Calibration("a")
    for _ in range(450):
        calibration.learn(0.95, False)

    assert calibration.corrected(0.95) < 0.15
    assert calibration.corrected(0.85) == pytest.approx(0.85)
    assert calibration.windows == 450


def test_old_windows_count_less_than_new_ones() -> None:
    calibration = Calibration("a")
    for _ in range(3 * int(MAX_BIN)):
        calibration.learn(0.95, False)
    for _ in range(int(MAX_BIN)):
        calibration.learn(0.95, True)

    assert calibration.corrected(0.95) > 0.4
    assert calibration.windows <= MAX_BIN


def test_counts_survive_a_restart_with_the_same_model_only() -> None:
    calibration = Calibration("a")
    for _ in range(100):
        calibration.learn(0.55, True)
    assert calibration.is_changed
    counts = calibration.counts()

    assert not calibration.is_changed
    assert Calibration("a", counts).corrected(0.55) == calibration.corrected(0.55)
    assert Calibration("b", counts).corrected(0.55) == pytest.approx(0.55)
