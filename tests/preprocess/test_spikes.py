"""Spikes and dead channels are bridged; clean spectra stay as they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.preprocess.spikes import without_spikes
from mnflow.preprocess.window import place_windows
from mnflow.spectra import MN
from tests.helpers.spectra import edge_shape

ENERGY_EV = np.arange(600, 700, 0.1)


def _counts(
    rng: np.random.Generator, dose: float, background: float, energy_ev: np.ndarray = ENERGY_EV
) -> np.ndarray:
    clean = edge_shape(energy_ev, [0, 1, 2]) + background * (energy_ev / 642) ** -3
    return rng.poisson(dose * clean).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    dose=st.sampled_from([1.0, 10.0, 1e3, 1e6]), background=st.floats(0.05, 5), seed=st.integers(0, 99),
    step_ev=st.sampled_from([0.02, 0.1, 0.3, 1.0]),
)  # fmt: skip
def test_clean_spectra_stay_to_the_last_bit(
    dose: float, background: float, seed: int, step_ev: float
) -> None:
    energy_ev = np.arange(600, 700, step_ev)
    counts = _counts(np.random.default_rng(seed), dose, background, energy_ev)
    mended, found = without_spikes(energy_ev, counts)
    assert mended is counts
    assert not found.any()


@pytest.mark.parametrize("height", [-1.0, 0.5, 1.0, 2.0, 20.0, 500.0])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("at_ev", [625.0, 642.0, 645.0, 653.0, 660.0])
@pytest.mark.parametrize("kind", ["f4", "u4"])
def test_spikes_are_bridged(height: float, width: int, at_ev: float, kind: str) -> None:
    dose = 1e4
    clean = _counts(np.random.default_rng(0), dose, 1.5).astype(kind)
    at = round((at_ev - 600) * 10)
    spoilt = clean.astype(np.float64)
    spoilt[1, at : at + width] += dose * height
    mended, found = without_spikes(ENERGY_EV, spoilt.astype(kind))
    assert found.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(mended[[0, 2]], clean[[0, 2]])
    assert mended.dtype == kind
    assert np.abs(mended[1].astype(float) - clean[1]).max() < 0.15 * dose
    np.testing.assert_array_equal(
        np.delete(mended[1], np.s_[at - 3 : at + 6]), np.delete(clean[1], np.s_[at - 3 : at + 6])
    )


def test_a_spike_is_counted_and_moves_no_window() -> None:
    clean = _counts(np.random.default_rng(0), 1e4, 1.5)
    spoilt = clean.copy()
    spoilt[0, 250] = 1e6
    good, bad = (place_windows(ENERGY_EV, c, MN) for c in (clean, spoilt))
    assert bad.spikes.tolist() == [1, 0, 0]
    assert bad.moved_bins.tolist() == good.moved_bins.tolist()
    np.testing.assert_allclose(bad.intensity, good.intensity, atol=300)
    assert not bad.faults.any()
