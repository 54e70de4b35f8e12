"""Sticks to an edge: lifetimes, continuum, plural scattering, resolution. Pure array functions.

Whatever acts as a convolution along the energy axis is a factor in Fourier space, so that thousands of pixels
with their own thickness, blur and drift cost one pair of transforms.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mnflow.simulate.physics.scattering import FWHM_TO_SIGMA
from mnflow.spectra.arrays import Array

STICK_EV = np.arange(-15.0, 30.0, 0.05)
"""Energies (B,) that sticks are moved to, eV above the configurations' mean: finer than any lifetime."""

_WIDTH_STEP_EV = 0.1
_ONSET = 0.02


def split_ev(strength: Array) -> float:
    """Energy on `STICK_EV` between L3 and L2, by a 1-D 2-means over the sticks (B,)."""
    used = np.flatnonzero(strength > 1e-3 * strength.max())
    low, high = STICK_EV[used[0]], STICK_EV[used[-1]]
    for _ in range(30):
        middle = (low + high) / 2
        below = middle > STICK_EV
        low = np.average(STICK_EV[below], weights=strength[below] + 1e-12)
        high = np.average(STICK_EV[~below], weights=strength[~below] + 1e-12)
        if (low + high) / 2 == middle:
            break
    return float((low + high) / 2)


def shared(channel: Array, weight: Array, row: Any, shape: tuple[int, int]) -> Array:
    """Weights (n,) on rows of a grid, each shared by the two channels that are next to its place (n,)."""
    left, share = channel.astype(int), channel % 1
    grid = np.zeros(shape)
    np.add.at(grid, (row, left), weight * (1 - share))
    np.add.at(grid, (row, left + 1), weight * share)
    return grid


@dataclass(frozen=True)
class LineShape:
    """How broad the lines of an edge are, and where L2 lies; energies in eV, widths FWHM.

    Attributes
    ----------
    l3_width_ev : float
        Lorentzian width of the lowest L3 lines.
    l2_extra_ev : float
        What L2-L3V Coster-Kronig decay adds to it for L2 (Krause & Oliver 1979,
        https://doi.org/10.1063/1.555595).
    growth : float
        Lorentzian width gained for every eV above the onset of the own edge: states with an eg electron
        hybridise with the ligands and decay faster than the first ones.
    max_width_ev : float
        Where that growth ends.
    disorder_ev : float
        Gaussian width of what differs from ion to ion: distortions, bands, vibrations.
    disorder_growth : float
        Gaussian width gained for every eV above the onset, up to `max_width_ev` (the foreign laboratory's
        law of broadening).
    l2_shift_ev, l2_factor : float
        Moves L2 away from L3, and multiplies its strength.
    """

    l3_width_ev: float
    l2_extra_ev: float = 0.0
    growth: float = 0.0
    max_width_ev: float = 4.0
    disorder_ev: float = 0.0
    disorder_growth: float = 0.0
    l2_shift_ev: float = 0.0
    l2_factor: float = 1.0


def white_lines(energy_ev: Array, strength: Array, l3_ev: float, shape: LineShape) -> tuple[Array, float]:
    """White lines, broadened by lifetimes and disorder, and where L2 lies.

    Parameters
    ----------
    energy_ev : ndarray, shape (C,)
        Energies of the channels in eV, uniform.
    strength : ndarray, shape (B,)
        Sticks on `STICK_EV`, sum 1.
    l3_ev : float
        Where the centroid of L3 is put.
    shape : LineShape
        Widths, and where L2 is.

    Returns
    -------
    intensity : ndarray, shape (C,)
        Area 1 (but for tails beyond the axis and `l2_factor`), per eV.
    l2_ev : float
        Centroid of L2.
    """
    is_l3 = split_ev(strength) > STICK_EV
    centre3 = np.average(STICK_EV[is_l3], weights=strength[is_l3])
    centre2 = np.average(STICK_EV[~is_l3], weights=strength[~is_l3])
    lorentz, gauss = widths(above_onset_ev(strength, ~is_l3), ~is_l3, shape)
    weight = strength * np.where(is_l3, 1.0, shape.l2_factor)
    position = STICK_EV - centre3 + l3_ev + np.where(is_l3, 0.0, shape.l2_shift_ev)
    lines = _voigt_lines(energy_ev, position, weight, lorentz, gauss)
    return lines, float(l3_ev + centre2 - centre3 + shape.l2_shift_ev)


def above_onset_ev(strength: Array, is_l2: Array) -> Array:
    """How far every energy of `STICK_EV` (B,) lies above the first lines of its own edge, 0 below them.

    The onset of an edge is where `_ONSET` of its strength is passed.
    """

    def onset(part: Array) -> float:
        total = np.cumsum(part)
        return float(np.interp(_ONSET * total[-1], total, STICK_EV))

    first = np.where(is_l2, onset(strength * is_l2), onset(strength * ~is_l2))
    return np.clip(STICK_EV - first, 0, None)


def widths(above_ev: Array, is_l2: Array, shape: LineShape) -> tuple[Array, Array]:
    """Lorentzian and Gaussian FWHM (n,) in eV of lines `above_ev` (n,) above their edge's onset."""

    def grown(first: float, growth: float) -> Array:
        return np.minimum(first + growth * above_ev, max(shape.max_width_ev, first))

    lorentz = grown(shape.l3_width_ev, shape.growth) + np.where(is_l2, shape.l2_extra_ev, 0.0)
    return lorentz, grown(shape.disorder_ev, shape.disorder_growth)


def _voigt_lines(
    energy_ev: Array, position_ev: Array, weight: Array, lorentz_ev: Array, gauss_ev: Array
) -> Array:
    """Sum (C,) of Voigt lines of area `weight` (n,) with Lorentzian and Gaussian FWHM of their own (n,).

    Sticks of like widths are convolved together.
    """
    step, channels = energy_ev[1] - energy_ev[0], len(energy_ev)
    channel = (position_ev - energy_ev[0]) / step
    used = (weight > 0) & (channel >= 0) & (channel < channels - 1)
    rounded = np.round(np.stack([lorentz_ev[used], gauss_ev[used]], axis=1) / _WIDTH_STEP_EV).astype(int)
    pairs, level = np.unique(rounded, axis=0, return_inverse=True)  # (L, 2), (n,)
    sticks = shared(channel[used], weight[used], level.ravel(), (len(pairs), channels))
    lorentz, gauss = (pairs * _WIDTH_STEP_EV).T[..., None]
    omega = 2 * np.pi * np.fft.rfftfreq(2 * channels, step)
    factor = np.exp(-0.5 * omega * lorentz - 0.5 * (omega * gauss * FWHM_TO_SIGMA) ** 2)  # of a Voigt line
    total = (np.fft.rfft(sticks, 2 * channels) * factor).sum(axis=0)
    return np.fft.irfft(total, 2 * channels)[:channels] / step


def continuum(
    energy_ev: Array, l3_ev: float, l2_ev: float, delay_ev: float, width_ev: float, decay: float
) -> Array:
    """Two arctan steps (C,) of ratio 2:1 after L3 and L2 with a slow decay (relative, 1/eV).

    The steps follow the 2p3/2 and 2p1/2 thresholds (Pearson et al. 1993,
    https://doi.org/10.1103/PhysRevB.47.8471).
    """

    def step(onset: float) -> Array:
        return 0.5 + np.arctan((energy_ev - onset) / (width_ev / 2)) / np.pi

    above = np.clip(energy_ev - l3_ev - delay_ev, 0, None)
    # an arctan alone reaches far into the pre-edge: end it one width and a half below L3
    below = np.clip((energy_ev - l3_ev + 1.5 * width_ev + 2) / (2 * width_ev), 0, 1)
    return (2 * step(l3_ev + delay_ev) + step(l2_ev + delay_ev)) / 3 * np.exp(-decay * above) * below
