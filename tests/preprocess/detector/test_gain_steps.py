"""Steps of the detector's gain are repaired; clean spectra have none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.preprocess.detector.gain_steps import find_gain_steps
from mnflow.preprocess.window import place_windows
from mnflow.spectra import MN
from tests.helpers.spectra import edge_shape

ENERGY_EV = np.arange(600, 700, 0.1)


@pytest.mark.parametrize("gain", [0.9, 1.1])
@pytest.mark.parametrize("from_l3_ev", [-12.0, -7.0, -2.5, -0.3, 2.0, 6.0, 10.5, 14.0])
@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_a_step_of_gain_is_repaired(gain: float, from_l3_ev: float, noise: float) -> None:
    rng = np.random.default_rng(0)
    l3_ev = np.full(3, 642.0)
    clean = edge_shape(ENERGY_EV, [0, 1, 2]) + 2 * (ENERGY_EV / 642) ** -3
    clean = clean + noise * rng.standard_normal(clean.shape)
    spoilt = np.where(642 + from_l3_ev - 0.05 <= ENERGY_EV, gain * clean, clean)
    assert find_gain_steps(ENERGY_EV, clean, l3_ev, MN) == [None] * 3
    for row, step in enumerate(find_gain_steps(ENERGY_EV, spoilt, l3_ev, MN)):
        assert step is not None
        assert abs(ENERGY_EV[step.channel] - 642 - from_l3_ev) < 0.25
        assert step.ratio == pytest.approx(gain, abs=0.03)
        mended = step.mended(spoilt[row : row + 1])[0]
        far = np.abs(ENERGY_EV - 642 - from_l3_ev) > 0.3
        assert np.abs(mended - clean[row])[far].max() < 0.35 * np.abs(spoilt[row] - clean[row]).max()


@pytest.mark.parametrize("at_ev", [630.0, 645.0, 650.0])
def test_a_spike_that_is_not_bridged_is_no_step(at_ev: float) -> None:
    rng = np.random.default_rng(0)
    counts = edge_shape(ENERGY_EV, [0, 1, 2]) + 2 * (ENERGY_EV / 642) ** -3
    counts += 0.003 * rng.standard_normal(counts.shape)
    at = round((at_ev - 600) * 10)
    counts[:, at : at + 3] += 0.2
    assert find_gain_steps(ENERGY_EV, counts, np.full(3, 642.0), MN) == [None] * 3


@pytest.mark.parametrize("from_l3_ev", [-0.3, 2.0, 6.0, 10.5])
def test_a_step_under_which_a_background_was_removed_leaves_little(from_l3_ev: float) -> None:
    rng, l3_ev = np.random.default_rng(0), np.full(3, 642.0)
    under = 2 * (ENERGY_EV / 642) ** -3
    clean = edge_shape(ENERGY_EV, [0, 1, 2]) + under + 0.003 * rng.standard_normal((3, 1000))
    spoilt = np.where(642 + from_l3_ev - 0.05 <= ENERGY_EV, 1.1 * clean, clean) - under
    for row, step in enumerate(find_gain_steps(ENERGY_EV, spoilt, l3_ev, MN)):
        assert step is not None
        assert (step.ratio, step.offset) == (1.0, pytest.approx(0.2, abs=0.12))
        left = (step.mended(spoilt[row : row + 1])[0] - (clean[row] - under))[400:600]
        assert np.abs(left).max() < 0.12


@settings(max_examples=40, deadline=None)
@given(
    noise=st.sampled_from([0.0, 1e-4, 0.003, 0.03, 0.3]), background=st.floats(0, 5), seed=st.integers(0, 99),
    step_ev=st.sampled_from([0.02, 0.1, 0.3, 1.0]), l3_ev=st.floats(630, 650),
)  # fmt: skip
def test_clean_spectra_have_no_step_of_gain(
    noise: float, background: float, seed: int, step_ev: float, l3_ev: float
) -> None:
    energy_ev = np.arange(600, 700, step_ev)
    clean = edge_shape(energy_ev, [0, 1, 2], l3_ev) + background * (energy_ev / 642) ** -3
    counts = clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)
    assert find_gain_steps(energy_ev, counts, np.full(3, l3_ev), MN) == [None] * 3


@pytest.mark.parametrize("every", [2, 5, 10])
@pytest.mark.parametrize("l3_ev", [642.0, 643.3])
def test_values_that_were_repeated_in_rebinning_are_no_steps_of_gain(every: int, l3_ev: float) -> None:
    counts = edge_shape(ENERGY_EV, [0, 1, 2], l3_ev) + 3 * (ENERGY_EV / 642) ** -3
    counts += 0.004 * np.random.default_rng(0).standard_normal(counts.shape)
    repeated = np.repeat(counts[:, ::every], every, axis=1)
    assert find_gain_steps(ENERGY_EV, repeated, np.full(3, l3_ev), MN) == [None] * 3


@pytest.mark.parametrize("gap_ev", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("from_l3_ev", [-6.0, 5.5, 15.5])
def test_a_gap_of_the_axis_is_no_step_of_gain(gap_ev: float, from_l3_ev: float) -> None:
    energy_ev = ENERGY_EV[np.abs(ENERGY_EV - 642 - from_l3_ev) > gap_ev / 2]
    counts = edge_shape(energy_ev, [0, 1, 2]) + 4 * (energy_ev / 642) ** -3
    assert find_gain_steps(energy_ev, counts, np.full(3, 642.0), MN) == [None] * 3


def test_a_repaired_step_moves_no_answer() -> None:
    rng = np.random.default_rng(0)
    clean = edge_shape(ENERGY_EV, [0, 1, 2]) + 2 * (ENERGY_EV / 642) ** -3
    clean += 0.004 * rng.standard_normal((3, 1000))
    spoilt = np.where(ENERGY_EV >= 634.0, 1.1 * clean, clean)
    good, bad = (place_windows(ENERGY_EV, c, MN) for c in (clean, spoilt))
    assert good.gain_steps == [None] * 3
    assert all(step is not None for step in bad.gain_steps)
    assert bad.moved_bins.tolist() == good.moved_bins.tolist()
    np.testing.assert_allclose(bad.intensity, good.intensity, atol=0.06)
