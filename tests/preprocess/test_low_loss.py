"""Thickness as eXSpy finds it, and plural scattering taken out of edges in which it is known."""

import warnings
from math import factorial

import numpy as np
import pytest

from mnflow.errors import InputError
from mnflow.preprocess.low_loss import thickness, without_plural_scattering

STEP_EV = 0.5
ENERGY_EV = np.arange(-50, 460, STEP_EV)


def _low_loss(t: float) -> np.ndarray:
    """Counts (C,) of a specimen of relative thickness `t`: Poisson's series of one broad plasmon."""
    elastic = np.exp(-0.5 * (ENERGY_EV / 0.6) ** 2)
    elastic /= elastic.sum()
    single = np.where(ENERGY_EV > 3, np.exp(-0.5 * ((ENERGY_EV - 22) / 5) ** 2), 0)
    single /= single.sum()
    total, power = np.zeros_like(ENERGY_EV), elastic
    zero = int(np.argmin(np.abs(ENERGY_EV)))
    for order in range(8):
        total += np.exp(-t) * t**order / factorial(order) * power
        power = np.convolve(power, single)[zero : zero + len(ENERGY_EV)]
    return total


@pytest.mark.parametrize("t", [0.1, 0.4, 1.0, 1.5])
def test_thickness_of_known_specimens(t: float) -> None:
    assert thickness(ENERGY_EV, _low_loss(t)[None])[0] == pytest.approx(t, abs=0.02)


@pytest.mark.parametrize("t", [0.3, 0.8, 1.5])
def test_plural_scattering_is_taken_out(t: float) -> None:
    energy_ev = np.arange(620, 720, STEP_EV)
    lines = np.exp(-0.5 * ((energy_ev - 642) / 1.2) ** 2) + 0.5 * np.exp(
        -0.5 * ((energy_ev - 653) / 1.2) ** 2
    )
    single = lines + 0.15 / (1 + np.exp(-(energy_ev - 643)))
    low_loss = _low_loss(t)
    zero = int(np.argmin(np.abs(ENERGY_EV)))
    thick = np.convolve(single, low_loss)[zero : zero + len(energy_ev)]
    elastic = np.where(ENERGY_EV <= 3, low_loss, 0)
    wanted = np.convolve(single, elastic)[zero : zero + len(energy_ev)]
    found = without_plural_scattering(STEP_EV, thick[None], ENERGY_EV, low_loss[None])[0]
    inside = energy_ev < 690
    assert np.abs(thick - wanted)[inside].max() > 0.05 * wanted.max()
    np.testing.assert_allclose(found[inside], wanted[inside], atol=0.02 * wanted.max())


def test_a_zero_loss_peak_is_needed() -> None:
    with pytest.raises(InputError, match="Expected a low loss from before the zero-loss peak"):
        thickness(np.arange(5, 100, 0.5), np.ones((1, 190)))


def test_thickness_as_exspy_finds_it(real_data: object) -> None:
    from mnflow.read.formats import signals

    path = real_data / "foreign" / "lsmo_linescan_low_loss.hspy"  # type: ignore[operator]
    (signal,) = signals(path)
    counts, axis = np.asarray(signal["data"]), signal["axes"][-1]
    energy_ev = axis["offset"] + axis["scale"] * np.arange(axis["size"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from exspy.signals import EELSSpectrum

        theirs = EELSSpectrum(counts)
        theirs.axes_manager[-1].offset, theirs.axes_manager[-1].scale = axis["offset"], axis["scale"]
        threshold = theirs.estimate_elastic_scattering_threshold(window=8.0)
        expected = theirs.estimate_thickness(threshold=threshold).data
    np.testing.assert_allclose(thickness(energy_ev, counts), np.ravel(expected), rtol=0.012)
