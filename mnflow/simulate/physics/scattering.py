"""Inelastic scattering and the spectrometer's response as factors in Fourier space. Pure array functions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnflow.spectra.arrays import Array

Range = tuple[float, float]

FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))


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
class Oscillators:
    """The foreign laboratory's loss function: a dielectric of three Lorentz oscillators, drawn uniformly.

    They stand for O 2p to metal 3d, O 2p to metal 4s and 4p, and all that lies higher.

    Attributes
    ----------
    band_gap_ev : tuple of float
        Where losses begin.
    energy_ev, damping_ev, strength_ev2 : tuple of tuple of float
        Of every oscillator; strengths are squared plasma energies.
    """

    band_gap_ev: Range = (0.5, 3.8)
    energy_ev: tuple[Range, ...] = ((3.5, 6.0), (8.0, 12.0), (17.0, 24.0))
    damping_ev: tuple[Range, ...] = ((2.0, 4.0), (4.0, 9.0), (8.0, 16.0))
    strength_ev2: tuple[Range, ...] = ((10.0, 50.0), (100.0, 260.0), (80.0, 260.0))

    def draw(self, n: int, step_ev: float, rng: np.random.Generator) -> Array:
        """A single-scattering distribution (n,) of some oxide on losses 0, step_ev, ..."""
        gap_ev = rng.uniform(*self.band_gap_ev)
        parts = (self.energy_ev, self.damping_ev, self.strength_ev2)
        return oscillator_loss(
            np.arange(n) * step_ev, gap_ev, *(np.array([rng.uniform(*r) for r in part]) for part in parts)
        )


def oscillator_loss(
    loss_ev: Array, band_gap_ev: float, energy_ev: Array, damping_ev: Array, strength_ev2: Array
) -> Array:
    """Loss function Im(-1 / epsilon) (C,) of Lorentz oscillators (K,) above a band gap, sum 1.

    Egerton, "EELS in the Electron Microscope", section 3.3.3, https://doi.org/10.1007/978-1-4419-9583-4
    """
    e = loss_ev[:, None]
    epsilon = 1 + (strength_ev2 / (energy_ev**2 - e**2 - 1j * e * damping_ev)).sum(axis=1)
    above = np.clip(loss_ev - band_gap_ev, 0, None)
    loss = np.imag(-1 / epsilon) * (1 - np.exp(-(above**2)))
    return loss / loss.sum()


def single_scattering(
    loss_ev: Array, band_gap_ev: float, plasmon_ev: float, plasmon_width_ev: float, low_share: float
) -> Array:
    """Distribution (C,) of single losses, sum 1: interband transitions from the gap on, and a plasmon.

    Form of the plasmon: Egerton, "EELS in the Electron Microscope", eq. 3.43,
    https://doi.org/10.1007/978-1-4419-9583-4
    """
    above = np.clip(loss_ev - band_gap_ev, 0, None)
    onset = 1 - np.exp(-((above / 3) ** 1.5))
    away = (loss_ev**2 - plasmon_ev**2) ** 2 + (loss_ev * plasmon_width_ev) ** 2
    drude = loss_ev * plasmon_ev**2 * plasmon_width_ev / away
    interband = np.sqrt(above) * np.exp(-above / 5)
    plasmon = onset * drude
    return (1 - low_share) * plasmon / plasmon.sum() + low_share * interband / interband.sum()


def plural_factor(single: Array, thickness: Array, n_fft: int) -> NDArray[np.complex128]:
    """Fourier factor (P, n_fft // 2 + 1) of plural scattering for thicknesses t/lambda (P,).

    Sum over n of exp(-t) t^n / n! times n-fold convolutions of `single`: exp(t (S - 1)); Egerton eq. 4.8.
    """
    return np.exp(thickness[:, None] * (np.fft.rfft(single, n_fft) - 1))


def response_factor(
    step_ev: float,
    n_fft: int,
    fwhm_ev: Array,
    tail_share: float = 0.0,
    tail_ev: float = 1.0,
    shift_ev: Array | float = 0.0,
) -> NDArray[np.complex128]:
    """Fourier factor (P, n_fft // 2 + 1): Gaussian (P,), exponential tail to high losses, shift (P,)."""
    omega = 2 * np.pi * np.fft.rfftfreq(n_fft, step_ev)
    gauss = np.exp(-0.5 * (np.asarray(fwhm_ev)[:, None] * FWHM_TO_SIGMA * omega) ** 2)
    tail = 1 - tail_share + tail_share / (1 + 1j * omega * tail_ev)
    return gauss * tail * np.exp(-1j * omega * np.atleast_1d(shift_ev)[:, None])


def convolve(intensity: Array, factor: NDArray[np.complex128], n_fft: int) -> Array:
    """Apply Fourier factors (P, F) to spectra (P, C).

    An `n_fft` of twice C or more keeps the end from wrapping to the start.
    """
    n = intensity.shape[-1]
    return np.fft.irfft(np.fft.rfft(intensity, n_fft) * factor, n_fft)[..., :n]
