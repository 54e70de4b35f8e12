"""What is wrong within the window: plateaus, whatever was done to them, and nothing else."""

import numpy as np
import pytest

from mnflow.preprocess.detector.faults import MAX_INTENSITY, REASONS, find_faults, interpolated
from mnflow.spectra import MN
from tests.helpers.spectra import edge_shape

ENERGY_EV = np.arange(600, 700, 0.1)


def _reasons(counts: np.ndarray, energy_ev: np.ndarray = ENERGY_EV, *limit: float) -> list[str]:
    return [REASONS[i] for i in find_faults(energy_ev, np.atleast_2d(counts), 642.2, MN, *limit)]


def _spectra(background: float, step_ev: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    energy_ev = np.arange(600, 700, step_ev)
    return energy_ev, edge_shape(energy_ev, [0, 1, 2]) + background * (energy_ev / 642) ** -3


@pytest.mark.parametrize("background", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("noise", [0.0, 0.003, 0.02, 0.1])
@pytest.mark.parametrize("step_ev", [0.05, 0.1, 0.3, 1.0])
def test_good_spectra_have_no_fault(background: float, noise: float, step_ev: float) -> None:
    energy_ev, counts = _spectra(background, step_ev)
    counts = np.repeat(counts, 20, axis=0) + noise * np.random.default_rng(0).normal(
        size=(60, len(energy_ev))
    )
    assert set(_reasons(counts, energy_ev)) == {"used"}


@pytest.mark.parametrize("clip", [0.5, 0.7])
@pytest.mark.parametrize("ripple", [0.0, 0.005])
@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("background", [0.0, 1.0])
def test_a_plateau_is_seen_with_ripple_and_without_background(
    clip: float, ripple: float, removed: bool, background: float
) -> None:
    rng = np.random.default_rng(0)
    energy_ev, counts = _spectra(background)
    limit = background + clip * 1.05
    near = np.abs(energy_ev - 648) < 12
    flat = limit * (1 + ripple * rng.uniform(-1, 1, counts.shape))
    cut = np.where(near & (counts > limit), flat, counts)
    cut = cut - removed * background * (energy_ev / 642) ** -3
    assert _reasons(cut, energy_ev) == ["saturated"] * 3


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("step_ev", [0.05, 0.1])
def test_a_ripple_of_a_twentieth_of_the_edge_hides_no_plateau(step_ev: float, removed: bool) -> None:
    """0.5 % of the counts, either way, on a background four times as high as what is left of the edge."""
    energy_ev, counts = _spectra(2.0, step_ev)
    limit, near = 2.0 + 0.5, np.abs(energy_ev - 648) < 12
    flat = limit * (1 + 0.005 * np.random.default_rng(0).uniform(-1, 1, counts.shape))
    cut = np.where(near & (counts > limit), flat, counts) - removed * 2.0 * (energy_ev / 642) ** -3
    assert _reasons(cut, energy_ev) == ["saturated"] * 3


def test_noise_is_no_plateau() -> None:
    """Of a tenth of the edge, and correlated as a detector's point spread leaves it."""
    energy_ev, counts = _spectra(3.0)
    noisy = np.repeat(counts, 200, axis=0)
    white = np.random.default_rng(0).normal(size=noisy.shape)
    noisy += 0.1 * (white + np.roll(white, 1, axis=1)) / np.sqrt(2)
    assert set(_reasons(noisy, energy_ev)) == {"used"}


def test_values_that_were_repeated_are_no_plateau() -> None:
    energy_ev, counts = _spectra(1.0, 0.5)
    repeated = np.repeat(counts, 5, axis=1)
    fine_ev = np.repeat(energy_ev, 5) + np.tile(0.1 * np.arange(5), len(energy_ev))
    assert _reasons(repeated, fine_ev) == ["used"] * 3


def test_each_fault_has_its_reason() -> None:
    counts = np.tile(1000 * edge_shape(ENERGY_EV), (5, 1)).astype(np.uint16)
    counts[1, 500] = 65535  # 650 eV
    counts[2] = 7
    counts[3, :100] = counts[3, -100:] = 65535  # where nobody looks
    assert _reasons(counts) == ["used", "saturated", "empty", "used", "used"]
    assert _reasons(counts[[0, 4]], ENERGY_EV, 900) == ["saturated"] * 2
    real = np.tile(edge_shape(ENERGY_EV), (3, 1))
    real[0, 450], real[1, 450], real[2, 5] = np.nan, 2 * MAX_INTENSITY, np.nan
    assert _reasons(real) == ["not finite", "not finite", "used"]


def test_nan_and_infinity_are_interpolated() -> None:
    counts = np.array([[0.0, np.nan, 2.0, np.inf], [np.nan] * 4, [1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(interpolated(counts), [[0, 1, 2, 2], [0] * 4, [1, 2, 3, 4]])
    good = np.ones((2, 3))
    assert interpolated(good) is good
    assert interpolated(good.astype(int)).dtype.kind == "i"
