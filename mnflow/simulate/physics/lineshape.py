"""Sticks to an edge as a spectrometer sees it: lifetimes, continuum, plural scattering, resolution. Pure array functions.

Whatever acts as a convolution along the energy axis is a factor in Fourier space, so that thousands of pixels with
their own thickness, blur and drift cost one pair of transforms.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STICK_EV = np.arange(-15.0, 30.0, 0.05)
"""Energies (B,) that sticks are moved to, eV above the configurations' mean: finer than any lifetime."""

Array = NDArray[Any]
Range = tuple[float, float]
_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
_WIDTH_STEP_EV = 0.05


@dataclass(frozen=True)
class Scattering:
    """What a specimen's inelastic scattering is drawn from, uniformly; energies in eV.

    Attributes
    ----------
    band_gap_ev : tuple of float
        Where losses begin.
    plasmon_ev, plasmon_width_ev : tuple of float
        Position and width of the Drude plasmon.
    low_loss_share : tuple of float
        Share of interband transitions, below the plasmon, in the single losses.
    """

    band_gap_ev: Range = (0.5, 4.0)
    plasmon_ev: Range = (19.0, 27.0)
    plasmon_width_ev: Range = (8.0, 25.0)
    low_loss_share: Range = (0.05, 0.4)

    def draw(self, n: int, step_ev: float, rng: np.random.Generator) -> Array:
        """A single-scattering distribution (n,) of some oxide on losses 0, step_ev, ..."""
        ranges = (self.band_gap_ev, self.plasmon_ev, self.plasmon_width_ev, self.low_loss_share)
        return single_scattering(np.arange(n) * step_ev, *(rng.uniform(*r) for r in ranges))


@dataclass(frozen=True)
class Degradation:
    """How much worse than acquired a training spectrum is made, drawn uniformly; see `degrade`.

    Attributes
    ----------
    thickness : tuple of float
        Added t/lambda; 100 nm of an oxide at 80 keV are about 1.3.
    blur_ev : tuple of float
        Added Gaussian FWHM in eV.
    tail_share, tail_ev : tuple of float
        Share and length (eV) of an exponential tail to higher losses.
    stretch : tuple of float
        Relative error of the dispersion.
    """

    thickness: Range = (0.0, 1.3)
    blur_ev: Range = (0.0, 1.6)
    tail_share: Range = (0.0, 0.3)
    tail_ev: Range = (0.3, 2.5)
    stretch: Range = (-0.05, 0.05)
    scattering: Scattering = Scattering()


def split_ev(strength: Array) -> float:
    """Energy on `STICK_EV` that divides L3 from L2: between the two means of a 1-D 2-means over the sticks (B,)."""
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


def white_lines(
    energy_ev: Array,
    strength: Array,
    l3_ev: float,
    l3_width_ev: float,
    l2_width_ev: float,
    growth: float,
    l2_shift_ev: float = 0.0,
    l2_factor: float = 1.0,
    disorder_ev: float = 0.0,
) -> tuple[Array, float]:
    """White lines, broadened by lifetimes and disorder, and where L2 lies.

    Parameters
    ----------
    energy_ev : ndarray, shape (C,)
        Energies of the channels in eV, uniform.
    strength : ndarray, shape (B,)
        Sticks on `STICK_EV`, sum 1.
    l3_ev : float
        Where the centroid of L3 is put.
    l3_width_ev, l2_width_ev : float
        Lorentzian FWHM of the lowest L3 and L2 lines; L2 is wider by L2-L3V Coster-Kronig decay
        (Krause & Oliver 1979, https://doi.org/10.1063/1.555595).
    growth : float
        FWHM gained for every eV above the centroid of the own edge: higher multiplet terms decay faster.
    l2_shift_ev, l2_factor : float
        Moves L2 away from L3, and multiplies its strength.
    disorder_ev : float
        Gaussian FWHM of what differs from ion to ion: distortions, bands, vibrations.

    Returns
    -------
    intensity : ndarray, shape (C,)
        Area 1 (but for tails beyond the axis and `l2_factor`), per eV.
    l2_ev : float
        Centroid of L2.
    """
    border = split_ev(strength)
    is_l3 = border > STICK_EV
    centre3 = np.average(STICK_EV[is_l3], weights=strength[is_l3])
    centre2 = np.average(STICK_EV[~is_l3], weights=strength[~is_l3])
    width = np.where(is_l3, l3_width_ev, l2_width_ev)
    width = width + growth * np.clip(STICK_EV - np.where(is_l3, centre3, centre2), 0, 8)
    weight = strength * np.where(is_l3, 1.0, l2_factor)
    position = STICK_EV - centre3 + l3_ev + np.where(is_l3, 0.0, l2_shift_ev)
    lines = _voigt_lines(energy_ev, position, weight, width, disorder_ev)
    return lines, float(l3_ev + centre2 - centre3 + l2_shift_ev)


def _voigt_lines(energy_ev: Array, position_ev: Array, weight: Array, fwhm_ev: Array, gauss_ev: float) -> Array:
    """Sum (C,) of lines of area `weight` (n,): Lorentzians of their own FWHM (n,), and one Gaussian FWHM for all.

    Sticks of like width are convolved together.
    """
    step, channels = energy_ev[1] - energy_ev[0], len(energy_ev)
    channel = (position_ev - energy_ev[0]) / step
    used = (weight > 0) & (channel >= 0) & (channel < channels - 1)
    level = np.round(fwhm_ev[used] / _WIDTH_STEP_EV).astype(int)
    left, share = channel[used].astype(int), channel[used] % 1
    sticks = np.zeros((level.max() + 1, channels))
    np.add.at(sticks, (level, left), weight[used] * (1 - share))
    np.add.at(sticks, (level, left + 1), weight[used] * share)
    levels = np.unique(level)
    decay = np.pi * np.fft.rfftfreq(2 * channels, step)  # a Lorentzian's transform is exp(-pi fwhm |f|)
    factor = np.exp(-np.outer(levels * _WIDTH_STEP_EV, decay))
    total = (np.fft.rfft(sticks[levels], 2 * channels) * factor).sum(axis=0)
    total = total * response_factor(step, 2 * channels, np.array([gauss_ev]))[0]
    return np.fft.irfft(total, 2 * channels)[:channels] / step


def continuum(energy_ev: Array, l3_ev: float, l2_ev: float, delay_ev: float, width_ev: float, decay: float) -> Array:
    """Two arctan steps of ratio 2:1 behind L3 and L2 that reach 1, times a slow decay (relative, 1/eV); shape (C,).

    The steps follow the 2p3/2 and 2p1/2 thresholds (Pearson et al. 1993, https://doi.org/10.1103/PhysRevB.47.8471).
    """

    def step(onset: float) -> Array:
        return 0.5 + np.arctan((energy_ev - onset) / (width_ev / 2)) / np.pi

    above = np.clip(energy_ev - l3_ev - delay_ev, 0, None)
    # an arctan alone reaches far into the pre-edge: end it one width and a half below L3
    below = np.clip((energy_ev - l3_ev + 1.5 * width_ev + 2) / (2 * width_ev), 0, 1)
    return (2 * step(l3_ev + delay_ev) + step(l2_ev + delay_ev)) / 3 * np.exp(-decay * above) * below


def single_scattering(
    loss_ev: Array, band_gap_ev: float, plasmon_ev: float, plasmon_width_ev: float, low_share: float
) -> Array:
    """Distribution (C,) of single inelastic losses, sum 1: interband transitions from the gap on, and a Drude plasmon.

    Form of the plasmon: Egerton, "EELS in the Electron Microscope", eq. 3.43, https://doi.org/10.1007/978-1-4419-9583-4
    """
    above = np.clip(loss_ev - band_gap_ev, 0, None)
    onset = 1 - np.exp(-((above / 3) ** 1.5))
    drude = loss_ev * plasmon_ev**2 * plasmon_width_ev / ((loss_ev**2 - plasmon_ev**2) ** 2 + (loss_ev * plasmon_width_ev) ** 2)
    interband = np.sqrt(above) * np.exp(-above / 5)
    plasmon = onset * drude
    return (1 - low_share) * plasmon / plasmon.sum() + low_share * interband / interband.sum()


def plural_factor(single: Array, thickness: Array, n_fft: int) -> NDArray[np.complex128]:
    """Fourier factor (P, n_fft // 2 + 1) of plural scattering for thicknesses t/lambda (P,).

    Sum over n of exp(-t) t^n / n! times the n-fold convolution of `single` is exp(t (S - 1)); Egerton eq. 4.8.
    """
    return np.exp(thickness[:, None] * (np.fft.rfft(single, n_fft) - 1))


def response_factor(
    step_ev: float, n_fft: int, fwhm_ev: Array, tail_share: float = 0.0, tail_ev: float = 1.0, shift_ev: Array | float = 0.0
) -> NDArray[np.complex128]:
    """Fourier factor (P, n_fft // 2 + 1) of a Gaussian (P,), an exponential tail to higher losses, and a shift (P,)."""
    omega = 2 * np.pi * np.fft.rfftfreq(n_fft, step_ev)
    gauss = np.exp(-0.5 * (np.asarray(fwhm_ev)[:, None] * _FWHM_TO_SIGMA * omega) ** 2)
    tail = 1 - tail_share + tail_share / (1 + 1j * omega * tail_ev)
    return gauss * tail * np.exp(-1j * omega * np.atleast_1d(shift_ev)[:, None])


def convolve(intensity: Array, factor: NDArray[np.complex128], n_fft: int) -> Array:
    """Apply Fourier factors (P, F) to spectra (P, C); `n_fft` of twice C or more keeps the end away from the start."""
    n = intensity.shape[-1]
    return np.fft.irfft(np.fft.rfft(intensity, n_fft) * factor, n_fft)[..., :n]


def degrade(
    intensity: NDArray[np.float32], step_ev: float, rng: np.random.Generator, by: Degradation | None = None
) -> NDArray[np.float32]:
    """Background-free spectra as a thicker specimen and a poorer, wrongly calibrated spectrometer would give them.

    Every spectrum gets a thickness, a single-scattering distribution, a blur, a tail and a dispersion of its own. Training
    on such copies is how a net that is trained on thin specimens learns to read thick ones.

    Parameters
    ----------
    intensity : ndarray of float32, shape (N, C)
        Spectra without background on one energy axis that begins well before the edge.
    step_ev : float
        Width of a channel in eV.
    rng : Generator
        Source of all draws.
    by : Degradation, optional
        Ranges.

    Returns
    -------
    ndarray of float32, shape (N, C)
    """
    by = by or Degradation()
    n, channels = intensity.shape
    n_fft = 2 * channels
    out = np.empty_like(intensity, dtype=np.float32)
    for i in range(n):  # one by one: a spectrum's transforms stay in the cache
        single = by.scattering.draw(channels, step_ev, rng)
        response = response_factor(
            step_ev, n_fft, np.array([rng.uniform(*by.blur_ev)]), rng.uniform(*by.tail_share), rng.uniform(*by.tail_ev)
        )
        factor = response * plural_factor(single, np.array([rng.uniform(*by.thickness)]), n_fft)
        out[i] = _stretched(convolve(intensity[i : i + 1], factor, n_fft)[0], 1 + rng.uniform(*by.stretch))
    return out


def _stretched(intensity: Array, factor: float) -> Array:
    """A spectrum (C,) on an axis whose steps are `factor` times as wide, about its middle; end values continue it."""
    channel = np.arange(len(intensity)) - len(intensity) / 2
    return np.interp(channel * factor, channel, intensity)
