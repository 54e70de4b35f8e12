"""Spectra as a thicker specimen and a poorer, wrongly calibrated spectrometer would give them."""

from dataclasses import dataclass, field

import numpy as np

from mnflow.simulate.physics.scattering import (
    Range,
    Scattering,
    convolve,
    plural_factor,
    response_factor,
)
from mnflow.spectra.arrays import Array, Floats32


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

    thickness: Range = (0.0, 1.5)
    blur_ev: Range = (0.0, 1.6)
    tail_share: Range = (0.0, 0.3)
    tail_ev: Range = (0.3, 2.5)
    stretch: Range = (-0.05, 0.05)
    scattering: Scattering = field(default_factory=Scattering)


def degrade(
    intensity: Floats32, step_ev: float, rng: np.random.Generator, by: Degradation | None = None
) -> Floats32:
    """Make background-free spectra look as from a thicker specimen and a poorer, miscalibrated instrument.

    Every spectrum gets a thickness, a single-scattering distribution, a blur, a tail and a dispersion of its
    own. Training on such copies is how a net that is trained on thin specimens learns to read thick ones.

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
            step_ev,
            n_fft,
            np.array([rng.uniform(*by.blur_ev)]),
            rng.uniform(*by.tail_share),
            rng.uniform(*by.tail_ev),
        )
        factor = response * plural_factor(single, np.array([rng.uniform(*by.thickness)]), n_fft)
        out[i] = _stretched(convolve(intensity[i : i + 1], factor, n_fft)[0], 1 + rng.uniform(*by.stretch))
    return out


def _stretched(intensity: Array, factor: float) -> Array:
    """A spectrum (C,) with its axis stretched by `factor` about the middle; end values continue it."""
    channel = np.arange(len(intensity)) - len(intensity) / 2
    return np.interp(channel * factor, channel, intensity)
