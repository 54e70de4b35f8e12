import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from mnflow.errors import InputError
from mnflow.preprocess import fit_power_law, locate_edge, subtract_background
from mnflow.preprocess.background import locate_edges
from mnflow.spectra import MN
from tests.helpers.images import make
from tests.helpers.spectra import edge_shape

WINDOW_EV = 634 + 0.1 * np.arange(50)


@given(amplitude=st.floats(1e-3, 1e9), exponent=st.floats(-20, 60))
def test_exact_power_laws_are_found(amplitude: float, exponent: float) -> None:
    fit = fit_power_law(WINDOW_EV, amplitude * (WINDOW_EV[None] / 640) ** -exponent)
    assert fit.exponent[0] == pytest.approx(exponent, abs=1e-5)
    np.testing.assert_allclose(
        fit(np.array([615.0, 640, 685]))[0],
        amplitude * (np.array([615.0, 640, 685]) / 640) ** -exponent,
        rtol=1e-4,
    )


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
    counts[0], counts[1], counts[2] = (
        0.0,
        -1.0,
        np.where(np.arange(50) == 0, 1e9, -1e6),
    )  # no background, and no power law
    together = fit_power_law(WINDOW_EV, counts)
    for i, row in enumerate(counts):
        alone = fit_power_law(WINDOW_EV, row[None])
        np.testing.assert_allclose(alone.amplitude[0], together.amplitude[i], rtol=1e-9)
        np.testing.assert_allclose(alone.exponent[0], together.exponent[i], rtol=1e-7, atol=1e-9)


def test_agrees_with_hyperspy() -> None:
    """HyperSpy's least squares (fast=False) up to 685 eV: within 2 % of the background, and within 0.01 %
    where it converged.

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
    energy_ev, fitted, extrapolated = (
        600 + 0.1 * np.arange(950),
        slice(300, 351),
        slice(300, 851),
    )  # both ends belong to it
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


@pytest.mark.parametrize("l3_ev", [637.0, 640.5, 643.0, 646.0, 650.0])
@pytest.mark.parametrize("removed", [False, True])
def test_the_edge_is_found_whatever_the_calibration(l3_ev: float, removed: bool) -> None:
    made = make(np.random.default_rng(2), l3_ev=l3_ev)
    mean = (made.edge if removed else np.asarray(made.raw.counts).reshape(made.edge.shape)).mean(axis=(0, 1))
    wide = slice(150, 850)
    found = locate_edge(made.raw.energy_ev[wide], mean[wide], MN)
    assert found.l3_ev == pytest.approx(l3_ev, abs=0.31)
    assert l3_ev - 8 < found.onset_ev < l3_ev - 2.5
    assert found.background_removed is removed
    assert found.contrast > 10


def test_every_spectrum_has_an_edge_of_its_own() -> None:
    energy_ev = 615 + 0.1 * np.arange(700)
    spectra = edge_shape(energy_ev, [0, 1, 0, 0], l3_ev=642.0)
    spectra[1] = edge_shape(energy_ev, 1, l3_ev=648.0) + 3 * (energy_ev / 640) ** -3  # background on
    spectra[2] = np.random.default_rng(0).normal(0, 1, 700)  # no edge
    spectra[3] = np.where(energy_ev < 684, 0.0, 1.0)  # where the axis ends
    found = locate_edges(energy_ev, spectra, MN)
    assert found == [locate_edge(energy_ev, spectrum, MN) for spectrum in spectra]
    assert [p.l3_ev for p in found[:3]] == pytest.approx([642.2, 648.2, 644.0], abs=0.31)
    assert [p.background_removed for p in found[:2]] == [True, False]
    assert found[2].contrast < 5
    assert found[2].onset_ev == 635
    assert found[3].l3_ev > 684


def test_noise_has_no_contrast() -> None:
    energy_ev = 615 + 0.1 * np.arange(700)
    noise = 1000 * (energy_ev / 640) ** -3 + np.random.default_rng(3).normal(0, 5, 700)
    assert locate_edge(energy_ev, noise, MN).contrast < 5


def test_the_published_spectra_need_no_background(real_data: object) -> None:
    from mnflow.read import read_file

    raw = read_file(real_data / "published" / "Mn2_615-685eV_thinnest_448.pkl")  # type: ignore[operator]
    found = locate_edge(raw.energy_ev, raw.counts.mean(axis=0), MN)
    assert found.background_removed
    assert found.l3_ev == pytest.approx(644.1, abs=0.3)
