"""The amplitude with which accuracy oscillates under shift."""

import numpy as np
import pandas as pd
import pytest

from mnflow.plots import figure_data
from mnflow.reproduction.swing import STRIDES, amplitudes, by_fold, figures, swing
from mnflow.track import tracking
from tests.helpers.memory_store import MemoryStore


def test_swing_is_the_amplitude_of_its_period_and_of_no_other() -> None:
    channel = np.arange(101)
    curve = 0.9 - 1e-5 * (channel - 50) ** 2
    for period in STRIDES:
        waves = np.stack(
            [
                0 * channel,
                0.03 * np.cos(2 * np.pi * channel / period),
                0.02 * np.sin(2 * np.pi * channel / period),
            ]
        )
        assert swing(curve + waves, period) == pytest.approx([0, 0.03, 0.02], abs=2e-3)
    assert swing(curve + 0.03 * np.cos(2 * np.pi * channel / 8), 16) == pytest.approx(0, abs=1e-3)


def test_what_falls_off_far_from_the_trained_place_is_no_swing() -> None:
    shift = np.linspace(-5, 5, 101)
    falls_off = 0.3 + 0.7 / (1 + np.exp((np.abs(shift - 0.3) - 3) / 0.4))
    assert swing(falls_off, 16) < 0.002
    assert swing(falls_off, 8) < 0.002


def test_amplitudes_are_those_of_the_waves_in_whole_periods() -> None:
    channel = np.arange(101)
    cubic = 0.9 - 1e-2 * (channel / 50 - 1) + 1e-1 * (channel / 50 - 1) ** 3
    waves = np.stack([cubic, cubic + 0.03 * np.cos(np.pi * channel), 0.02 * np.sin(2 * np.pi * channel / 6)])
    period, amplitude = amplitudes(waves[None])
    assert amplitude.shape == (1, 3, 48)  # 101 channels hold six periods of 16
    assert period.tolist() == (96 / np.arange(1, 49)).tolist()
    assert amplitude[0, 0] == pytest.approx(0, abs=1e-12)  # what falls off is no wave
    assert amplitude[0, 1, :-1] == pytest.approx(0, abs=1e-3)
    assert amplitude[0, 1, -1] == pytest.approx(0.06, rel=2e-3)  # from crest to trough: the fastest
    assert amplitude[0, 2, 15] == pytest.approx(0.02, rel=2e-2)
    ends = cubic.copy()
    ends[[0, 1, -3, -2, -1]] = 0  # as many are cut off at one end as at the other, but for one
    np.testing.assert_allclose(amplitudes(ends)[1], amplitude[0, 0], atol=1e-12)


def test_the_background_is_that_of_the_neighbours() -> None:
    channel = np.arange(96)
    waves = sum(a * np.cos(2 * np.pi * k * channel / 96) for k, a in ((4, 0.01), (6, 0.05), (8, 0.04)))
    assert swing(np.asarray(waves), 16) == pytest.approx(0.05 - 0.02, abs=2e-3)


def test_the_figure_is_of_fully_convolutional_nets_at_10x(memory: MemoryStore) -> None:
    def run(arch: str, amplitude: float, augmentation: str = "10x", noise: str = "false") -> str:
        tags = tracking.tags_of("cv_train", arch, augmentation, "stratified")
        with tracking.step({**tags, "noise_augmentation": noise}, arch, {}) as own:
            pass
        shift_ev = np.arange(-48, 48) / 10
        wave = 0.9 + amplitude * np.cos(2 * np.pi * np.arange(96) / 8)
        with tracking.step({**tracking.tags_of("shift_eval"), "cv_run": own.id}, "shift_eval", {}) as shift:
            table = {
                "fold": np.repeat([0, 1], 96),
                "shift_ev": np.tile(shift_ev, 2),
                "accuracy": [*wave, *wave],
            }
            shift.table(pd.DataFrame(table), "shift")
        return own.id

    others = [run("dense", 0.1), run("fcn", 0.1, "none"), run("fcn", 0.1, noise="true")]
    assert figures([memory.get_run(run_id) for run_id in others]) == {}
    ids = [*others, run("fcn", 0.02), run("fcn", 0.04), run("fcn_wide", 0.01)]
    with tracking.step({**tracking.tags_of("cv_train", "fcn", "10x", "stratified")}, "fcn", {}) as bare:
        bare.tags({"noise_augmentation": "false"})  # without a shift test
    found = figures([memory.get_run(run_id) for run_id in [*ids, bare.id]])
    assert list(found) == ["swing"]
    drawn = figure_data(found["swing"]).query("series != ''")
    assert drawn["series"].unique().tolist() == ["fcn 10x", "fcn_wide 10x"]
    at_8 = drawn[np.isclose(drawn["x"], 8)]
    assert at_8["y"].tolist() == pytest.approx([0.03, 0.01], rel=2e-2)  # mean over folds and runs


def test_a_table_has_a_row_per_fold_by_shift() -> None:
    table = pd.DataFrame({"fold": [1, 0, 1, 0], "shift_ev": [0.1, 0.1, -0.1, -0.1], "accuracy": [1, 2, 3, 4]})
    folds = by_fold(table)
    assert folds.to_numpy().tolist() == [[4, 2], [3, 1]]
    assert (folds.index.tolist(), folds.columns.tolist()) == ([0, 1], [-0.1, 0.1])
