"""PCA noise: spectra split into signal and noise, and training crops with shifted and scaled noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnflow.augment.energy_shift import crops, draw_shifts
from mnflow.errors import InputError
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Floats32

MAX_NOISE_SCALE = 5.0
"""Largest factor on the noise in training and in the noise test; 1 is the measured noise."""

KEPT_COMPONENTS = 10
"""Principal components that count as signal; the others are noise."""


@dataclass(frozen=True)
class PcaNoise:
    """Principal components of training spectra, which split any spectrum into signal and noise.

    Attributes
    ----------
    mean : ndarray, shape (C,)
    components : ndarray, shape (kept_components, C)
    """

    mean: Floats32
    components: Floats32

    def split(self, intensity: Floats32) -> tuple[Floats32, Floats32]:
        """Split spectra (N, C) into signal and noise, each (N, C); their sum is the spectra."""
        scores = (intensity - self.mean) @ self.components.T
        cleaned = np.asarray(self.mean + scores @ self.components, dtype=np.float32)
        return cleaned, np.asarray(intensity - cleaned, dtype=np.float32)


def fit_noise(intensity: Floats32, kept_components: int = KEPT_COMPONENTS) -> PcaNoise:
    """The signal's principal components in training spectra (N, C) of one scale.

    Raises `InputError` if there are not more spectra and channels than components to keep.
    """
    if not 0 < kept_components < min(intensity.shape):
        raise InputError(
            f"Cannot keep {kept_components} components of {intensity.shape[0]} spectra; expected 1 ... one "
            f"fewer."
        )
    mean = intensity.mean(axis=0, dtype=np.float64)
    centred = intensity - mean
    components = principal_components(centred, kept_components)
    return PcaNoise(mean.astype(np.float32), np.ascontiguousarray(components, dtype=np.float32))


def principal_components(centred: NDArray[np.floating], n: int) -> NDArray[np.floating]:
    """The `n` orthonormal directions (n, C) of largest variance of spectra (N, C) whose mean is zero."""
    # The covariance (C, C) is smaller than the spectra; eigh sorts by increasing variance.
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(vectors[:, : -n - 1 : -1].T)


def to_unit_range(intensity: Floats32, edge: Edge) -> Floats32:
    """Scale wide spectra (N, C) to [0, 1] in the unshifted crop, or thick pixels rule the components."""
    window = intensity[:, edge.crop_start : edge.crop_start + edge.n_crop]
    low = window.min(axis=1, keepdims=True)
    span = window.max(axis=1, keepdims=True) - low
    return (intensity - low) / (span + (span == 0))


def draw_scales(rng: np.random.Generator, n: int, max_scale: float = MAX_NOISE_SCALE) -> Floats32:
    """Draw `n` factors on the noise in [0, max_scale), their square roots uniform.

    Half of them lie below a quarter of `max_scale`: drawn uniformly, most training spectra would be noisier
    than any measured one, which costs accuracy on unshifted spectra (docs/scaling.md).
    """
    return (max_scale * rng.uniform(0, 1, n) ** 2).astype(np.float32)


def augment(
    cleaned: Floats32,
    noise: Floats32 | None,
    edge: Edge,
    rng: np.random.Generator,
    max_shift: int,
    max_scale: float = MAX_NOISE_SCALE,
) -> Floats32:
    """Draw one fresh training crop of every wide spectrum.

    Parameters
    ----------
    cleaned : ndarray, shape (N, C)
        Wide spectra; with noise augmentation only their signal.
    noise : ndarray, shape (N, C), or None
        Their residual noise, which is added times a factor drawn for each; None for no noise augmentation.
    max_shift : int
        Largest shift in channels; 0 for none.

    Returns
    -------
    ndarray, shape (N, n_crop)
        Normalised crops, in the order of the spectra.
    """
    wide = cleaned if noise is None else cleaned + draw_scales(rng, len(cleaned), max_scale)[:, None] * noise
    return crops(wide, draw_shifts(rng, len(cleaned), max_shift), edge)
