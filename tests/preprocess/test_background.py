import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from mnflow.errors import InputError
from mnflow.preprocess.background import fit_power_law, subtract_background, without_background
from mnflow.spectra import MN
from tests.helpers.images import make

WINDOW_EV = 634 + 0.1 * np.arange(50)


@given(amplitude=st.floats(1e-3, 1e9), exponent=st.floats(-20, 60))
def test_exact_power_laws_are_found(amplitude: float, exponent: float) -> None:
    fit = fit_power_law(WINDOW_EV, amplitude * (WINDOW_EV[None] / 640) ** -exponent)
    assert fit.exponent[0] == pytest.approx(exponent, abs=1e-5)
    at_ev = np.array([615.0, 640, 685])
    np.testing.assert_allclose(fit(at_ev)[0], amplitude * (at_ev / 640) ** -exponent, rtol=1e-4)


@pytest.mark.parametrize(("counts", "exponent"), [(50, 3.0), (1e3, 2.0), (1e5, 4.5)])
def test_least_squares_as_scipy_finds_them(counts: float, exponent: float) -> None:
    y = np.random.default_rng(0).poisson(counts * (WINDOW_EV / 640) ** -exponent, (8, 50)).astype(float)
    fit = fit_power_law(WINDOW_EV, y)
    for i, row in enumerate(y):
        (a, r), _ = curve_fit(
            lambda e, a, r: a * (e / fit.reference_ev) ** -r, WINDOW_EV, row, p0=(row.mean(), 3.0)
        )
        assert fit.amplitude[i] == pytest.approx(a, rel=1e-5)
        assert fit.exponent[i] == pytest.approx(r, abs=2e-3)


def test_a_spectrum_alone_is_fitted_as_among_others() -> None:
    rng = np.random.default_rng(0)
    counts = rng.uniform(-1, 9, (40, 1)) * (WINDOW_EV / 640) ** -rng.uniform(-5, 9, (40, 1)) + rng.normal(
        size=(40, 50)
    )
    # no background, and no power law
    counts[0], counts[1], counts[2] = (0.0, -1.0, np.where(np.arange(50) == 0, 1e9, -1e6))
    together = fit_power_law(WINDOW_EV, counts)
    for i, row in enumerate(counts):
        alone = fit_power_law(WINDOW_EV, row[None])
        np.testing.assert_allclose(alone.amplitude[0], together.amplitude[i], rtol=1e-9)
        np.testing.assert_allclose(alone.exponent[0], together.exponent[i], rtol=1e-7, atol=1e-9)


def test_agrees_with_hyperspy() -> None:
    """HyperSpy's least squares up to 685 eV: within 2 % of the background, 0.01 % where it converged.

    Its iteration stops early now and then; ours never leaves the larger sum of squares.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HyperSpy's own, at import
        from exspy.signals import EELSSpectrum

        counts = np.asarray(make(np.random.default_rng(0), shape=(2, 6)).raw.counts)
        signal = EELSSpectrum(counts)
        axis = signal.axes_manager[-1]
        axis.offset, axis.scale, axis.units = 600.0, 0.1, "eV"
        theirs = (
            counts
            - signal.remove_background(signal_range=(630.0, 635.0), fast=False, show_progressbar=False).data
        )
    # both ends belong to it
    energy_ev, fitted, extrapolated = (600 + 0.1 * np.arange(950), slice(300, 351), slice(300, 851))
    ours = fit_power_law(energy_ev[fitted], counts[:, fitted])(energy_ev)
    difference = np.abs(ours / theirs - 1)[:, extrapolated].max(axis=1)  # (N,)
    squares = [((counts - b)[:, fitted].astype(float) ** 2).sum(axis=1) for b in (ours, theirs)]
    assert (squares[0] <= squares[1] * (1 + 1e-5)).all()
    converged = squares[1] < squares[0] * (1 + 1e-5)
    assert converged.sum() >= 6
    assert difference[converged].max() < 1e-4
    assert difference.max() < 0.02


def test_what_has_no_positive_mean_gets_a_constant() -> None:
    fit = fit_power_law(WINDOW_EV, np.array([np.full(50, -2.0), np.zeros(50)]))
    np.testing.assert_allclose(fit(np.array([615.0, 685.0])), [[-2, -2], [0, 0]])


@settings(max_examples=60)
@given(st.lists(st.floats(-1e15, 1e15), min_size=50, max_size=50))
def test_any_counts_give_finite_backgrounds(counts: list[float]) -> None:
    fit = fit_power_law(WINDOW_EV, np.array([counts]))
    assert np.isfinite(fit(np.array([615.0, 640.0, 685.0]))).all()


def test_subtraction_leaves_the_edge() -> None:
    made = make(np.random.default_rng(1), dose=1e8)
    free, _ = subtract_background(made.raw.energy_ev, np.asarray(made.raw.counts), 638.0, MN)
    thick = made.thickness.ravel() > 0.3
    edge = made.edge.reshape(free.shape)[thick]
    peak = edge.max(axis=1, keepdims=True)
    assert np.abs((free[thick] - edge) / peak)[:, 400:550].max() < 0.02


def test_too_few_channels_before_the_onset() -> None:
    with pytest.raises(InputError, match=r"Expected 50 channels before the Mn edge's onset .* got 3"):
        subtract_background(WINDOW_EV, np.ones((1, 50), np.float32), 634.25, MN)
    assert (
        np.abs(subtract_background(WINDOW_EV, np.ones((1, 50), np.float32), WINDOW_EV[10], MN)[0]).max()
        < 1e-5
    )


@pytest.mark.parametrize("level", [-1.0, 0.0, 5.0])
def test_of_a_level_only_the_slope_of_a_power_law_is_taken_out(level: float) -> None:
    """From where the spectrum begins; before, its first value was continued."""
    energy_ev = np.arange(615.0, 685.0, 0.1)
    counts = (level * (np.maximum(energy_ev, 639.0) / 639.0) ** -3.0)[None].astype(np.float32)
    free = without_background("level", energy_ev, counts, 638.0, MN, start_ev=639.0)
    expected = np.full_like(counts, level) if level > 0 else counts
    np.testing.assert_allclose(free, expected, atol=0.005 * abs(level))
    np.testing.assert_array_equal(without_background("removed", energy_ev, counts, 638.0, MN), counts)


def test_a_power_law_is_subtracted_and_its_level_is_that_of_the_first_channel() -> None:
    energy_ev = np.arange(615.0, 685.0, 0.1)
    power_law = (5 * (energy_ev / 640) ** -3.0)[None].astype(np.float32)
    assert np.abs(without_background("power law", energy_ev, power_law, 638.0, MN)).max() < 1e-4
    coarse_ev = np.arange(640.0, 685.0, 1.0)  # in half an eV there is one channel
    counts = np.where(coarse_ev < 640.5, 5.0, 0.0)[None].astype(np.float32)
    free = without_background("level", coarse_ev, counts, 638.0, MN)
    np.testing.assert_allclose(free, counts + 5 * (1 - (coarse_ev / 640) ** -3.0), atol=1e-5)
