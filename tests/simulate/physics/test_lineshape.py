"""From sticks to an edge: what is conserved, and what is known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnflow.augment.degrade import Degradation, degrade
from mnflow.simulate.physics.lineshape import STICK_EV, LineShape, continuum, split_ev, white_lines, widths
from mnflow.simulate.physics.scattering import (
    Oscillators,
    Scattering,
    convolve,
    oscillator_loss,
    plural_factor,
    response_factor,
    single_scattering,
)

ENERGY_EV = np.arange(560.0, 760.0, 0.1)
LOSS_EV = np.arange(2000) * 0.1


@pytest.fixture
def sticks():
    """Two lines, 2:1 and 10 eV apart."""
    strength = np.zeros(len(STICK_EV))
    strength[[100, 300]] = 2 / 3, 1 / 3
    return strength


def centre(intensity):
    return np.average(ENERGY_EV, weights=intensity)


def fwhm(intensity, energy_ev=ENERGY_EV):
    above = energy_ev[intensity > intensity.max() / 2]
    return above[-1] - above[0]


def test_l3_and_l2_are_told_apart(sticks):
    assert STICK_EV[100] < split_ev(sticks) < STICK_EV[300]


def test_white_lines_keep_area_positions_and_ratio(sticks):
    lines, l2_ev = white_lines(ENERGY_EV, sticks, 640.0, LineShape(0.4, 0.4))
    assert lines.sum() * 0.1 == pytest.approx(1, abs=0.01)
    assert l2_ev == pytest.approx(650.0)
    l3 = lines[np.abs(ENERGY_EV - 640) < 5].sum()
    assert l3 / lines[np.abs(ENERGY_EV - 650) < 5].sum() == pytest.approx(2, rel=0.05)


def test_widths_grow_from_the_onset_of_each_edge_up_to_a_limit():
    above, is_l2 = np.array([0.0, 1.0, 20.0, 0.0, 1.0]), np.array([False, False, False, True, True])
    lorentz, gauss = widths(above, is_l2, LineShape(0.3, 0.5, growth=0.4, max_width_ev=2.0, disorder_ev=1.0))
    assert lorentz == pytest.approx([0.3, 0.7, 2.0, 0.8, 1.2])
    assert gauss == pytest.approx(np.ones(5))
    lorentz, gauss = widths(
        above, is_l2, LineShape(0.3, 0.5, max_width_ev=2.0, disorder_ev=0.2, disorder_growth=0.3)
    )
    assert lorentz == pytest.approx([0.3, 0.3, 0.3, 0.8, 0.8])
    assert gauss == pytest.approx([0.2, 0.5, 2.0, 0.2, 0.5])


def test_the_first_line_stays_sharp_and_later_ones_are_lower(sticks):
    strength = sticks.copy()
    strength[140] = 2 / 3  # another L3 line, 2 eV higher: the centroid of L3 lies between the two
    for shape in (LineShape(0.4, growth=0.5), LineShape(0.4, disorder_ev=0.1, disorder_growth=0.5)):
        lines, _ = white_lines(ENERGY_EV, strength, 640.0, shape)
        first, second = (lines[np.abs(ENERGY_EV - e) < 0.06].max() for e in (639, 641))
        alone = white_lines(ENERGY_EV, sticks, 639.0, replace(shape, growth=0.0, disorder_growth=0.0))[
            0
        ].max()
        assert first == pytest.approx(alone, rel=0.15)
        assert second < 0.6 * first


def test_l2_moves_scales_and_widens(sticks):
    plain, moved, wide = (
        white_lines(ENERGY_EV, sticks, 640.0, LineShape(0.4, **changed))
        for changed in ({}, {"l2_shift_ev": 0.5, "l2_factor": 0.5}, {"l2_extra_ev": 0.8})
    )
    assert moved[1] - plain[1] == pytest.approx(0.5)
    assert moved[0].max() == pytest.approx(plain[0].max(), rel=0.01)
    l2 = ENERGY_EV > 647
    assert moved[0][l2].max() == pytest.approx(plain[0][l2].max() / 2, rel=0.05)
    assert fwhm(wide[0][l2], ENERGY_EV[l2]) == pytest.approx(1.2, abs=0.15)
    assert fwhm(wide[0][~l2], ENERGY_EV[~l2]) == pytest.approx(fwhm(plain[0][~l2], ENERGY_EV[~l2]), abs=0.01)


def test_continuum_steps_are_two_to_one():
    steps = continuum(ENERGY_EV, 640.0, 652.0, delay_ev=1.0, width_ev=0.2, decay=0.0)
    assert steps[ENERGY_EV < 630].max() == 0
    assert steps[np.abs(ENERGY_EV - 647) < 1].mean() == pytest.approx(2 / 3, abs=0.02)
    assert steps[-1] == pytest.approx(1, abs=0.01)


def test_single_scattering_begins_at_the_gap_and_peaks_at_the_plasmon():
    single = single_scattering(LOSS_EV, 3.0, 23.0, 10.0, 0.0)
    assert single.sum() == pytest.approx(1)
    assert single[LOSS_EV <= 3.0].sum() == 0
    assert abs(LOSS_EV[single.argmax()] - 23) < 3


def test_oscillators_begin_at_the_gap_and_make_a_plasmon():
    """A single free oscillator at 0 eV is Drude's: its loss peaks at the plasma energy."""
    loss_ev = LOSS_EV[1:]
    drude = oscillator_loss(loss_ev, 0.0, np.array([0.0]), np.array([2.0]), np.array([20.0**2]))
    assert loss_ev[drude.argmax()] == pytest.approx(20, abs=0.2)
    for seed in range(5):
        loss = Oscillators((3.0, 3.0)).draw(2000, 0.1, np.random.default_rng(seed))
        assert loss.sum() == pytest.approx(1)
        assert loss.min() >= 0
        assert loss[LOSS_EV <= 3.0].sum() == 0
        assert 15 < LOSS_EV[loss.argmax()] < 35


@settings(max_examples=20, deadline=None)
@given(t=st.floats(0, 2), seed=st.integers(0, 1000))
def test_plural_scattering_moves_intensity_and_loses_none(t, seed):
    single = Scattering().draw(1000, 0.1, np.random.default_rng(seed))
    spectrum = np.exp(-0.5 * ((np.arange(1000) - 200) / 10) ** 2)
    thick = convolve(spectrum[None], plural_factor(single, np.array([t]), 4000), 4000)[0]
    assert thick.min() > -1e-9
    # the rest lies beyond the end of the axis; the unscattered part is exp(-t)
    assert spectrum.sum() * np.exp(-t) - 1e-6 <= thick.sum() <= spectrum.sum() * (1 + 1e-9)
    assert thick[190:210].max() == pytest.approx(np.exp(-t), rel=0.2, abs=0.05)


def test_plural_scattering_is_the_poisson_series():
    """Two orders by hand against the closed form."""
    single, t, n = single_scattering(LOSS_EV[:500], 2.0, 22.0, 12.0, 0.2), 0.1, 1000
    spectrum = np.zeros(500)
    spectrum[20] = 1.0
    twice = np.convolve(single, single)[:500]
    series = np.exp(-t) * (spectrum + t * np.roll(single, 20) + t**2 / 2 * np.roll(twice, 20))
    closed = convolve(spectrum[None], plural_factor(single, np.array([t]), n), n)[0]
    assert closed[20:] == pytest.approx(series[20:], abs=2e-4)


def test_response_widens_shifts_and_tails():
    n, peak = 2 * len(ENERGY_EV), np.exp(-0.5 * ((ENERGY_EV - 640) / 0.05) ** 2)
    widened = convolve(peak[None], response_factor(0.1, n, np.array([2.0]), shift_ev=np.array([3.0])), n)[0]
    assert fwhm(widened) == pytest.approx(2.0, abs=0.21)
    assert centre(widened) == pytest.approx(643.0, abs=0.01)
    tailed = convolve(peak[None], response_factor(0.1, n, np.array([0.5]), 0.3, 2.0), n)[0]
    assert centre(tailed) == pytest.approx(640 + 0.3 * 2.0, abs=0.05)
    assert tailed.sum() == pytest.approx(peak.sum(), rel=1e-3)


def test_degraded_spectra_are_wider_seeded_and_leave_the_input_alone():
    spectra = np.tile(np.exp(-0.5 * ((ENERGY_EV - 640) / 0.5) ** 2).astype(np.float32), (20, 1))
    before = spectra.copy()
    worse = degrade(spectra, 0.1, np.random.default_rng(3))
    assert (spectra == before).all()
    assert worse.shape == spectra.shape
    assert worse.dtype == np.float32
    assert np.mean([fwhm(w) for w in worse]) > fwhm(spectra[0])
    assert (worse == degrade(spectra, 0.1, np.random.default_rng(3))).all()


def test_no_degradation_is_the_identity():
    none = Degradation((0, 0), (0, 0), (0, 0), (1, 1), (0, 0))
    spectra = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)
    assert degrade(spectra, 0.1, np.random.default_rng(0), none) == pytest.approx(spectra, abs=1e-5)
