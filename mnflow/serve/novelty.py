"""Novelty score, for out-of-distribution (OOD) spectra: noise, shape, another element, saturation.

The second score is that of chemometrics: the residual beside the principal components of known spectra (Q),
after L3 was moved to one place. Q takes another element's edge, or white lines that end in a plateau, for a
strange Mn edge, so two more scores tell these apart: regressions on what `mnflow.fit.out_of_distribution`
was shown of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mnflow.preprocess.resample import moving_average
from mnflow.spectra.arrays import Bools, Floats32, Ints

WINDOW = (-0.1, 0.47)
"""What is looked at around L3, as shares of the crop: -3 ... +14 eV for Mn, with L2 in it."""

SMOOTHING = 5
"""Channels that spectra are averaged over before their shape is looked at."""

_L3_SMOOTHING, _L3_SPAN = 9, 31  # channels
_NOISE_LAG = 4  # channels
_SIXTIETH = 0.8416  # 60th percentile of a normal deviate's absolute value
_STEP = 2  # every other smoothed channel says all


class Located(NamedTuple):
    """N normalised crops (N, n_crop), the same smoothed, the channel of L3 and the noise of each (N,)."""

    crops: Floats32
    smooth: Floats32
    l3: Ints
    noise: Floats32

    def around_l3(self, channels: Ints) -> Floats32:
        """The smoothed intensity (N, P) at `channels` (P,) from L3, continued by the end values."""
        place = np.minimum(np.maximum(self.l3[:, None] + channels, 0), self.smooth.shape[1] - 1)
        return np.asarray(self.smooth[np.arange(len(place))[:, None], place])


def locate(crops: Floats32) -> Located:
    """What the shape of an edge is looked at by."""
    return Located(crops, moving_average(crops, SMOOTHING), l3_channel(crops), noise_level(crops))


class Scores(NamedTuple):
    """Four numbers for each of N crops; the higher, the less like the known spectra."""

    noise: Floats32
    residual: Floats32
    other_element: Floats32
    saturated: Floats32


@dataclass(frozen=True)
class Novelty:
    """What known spectra look like.

    Attributes
    ----------
    mean : ndarray, shape (P,)
        Mean of the aligned, smoothed spectra.
    components : ndarray, shape (R, P)
        Their principal components.
    planes, offsets, coefficients : ndarray, shapes (P, H), (H,), (H, 2)
        What tells other elements' edges, and saturated white lines, from ours: sums of `coefficients` times
        how far a spectrum is beyond each plane.
    noise_slope : float
        How much the residual grows with the noise.
    limits : tuple of float
        Largest noise, residual (beyond what the noise explains), likeness to another element and likeness to
        saturated white lines of known spectra.
    false_alarm_rate : float
        Share of held-out known spectra beyond a limit, on spectrum images that the limits were not made from.
    """

    mean: Floats32
    components: Floats32
    planes: Floats32
    offsets: Floats32
    coefficients: Floats32
    noise_slope: float = 0.0
    limits: tuple[float, float, float, float] = (np.inf, np.inf, np.inf, np.inf)
    false_alarm_rate: float = 0.0

    REASONS = ("noise", "unknown_shape", "other_element", "saturated")

    def scores(self, located: Located) -> Scores:
        """Score N normalised crops."""
        spectra = aligned(located)[0]  # (N, P)
        residual = spectra - self.mean
        residual -= (residual @ self.components.T) @ self.components
        misfit = np.sqrt(np.einsum("np,np->n", residual, residual))
        other, saturated = (beyond(spectra, self.planes, self.offsets) @ self.coefficients).T
        return Scores(located.noise, misfit - self.noise_slope * located.noise, other, saturated)

    def reasons(self, located: Located) -> Bools:
        """Which limit each crop is beyond: (N, 4) in the order of `REASONS`."""
        return np.stack(self.scores(located), axis=1) > np.array(self.limits, dtype=np.float32)


def beyond(spectra: Floats32, planes: Floats32, offsets: Floats32) -> Floats32:
    """How far aligned spectra (N, P) are beyond H planes: (N, H), nowhere below zero."""
    return np.maximum(spectra @ planes + offsets, 0)


def l3_channel(crops: Floats32) -> Ints:
    """Channel of L3 in N crops: the maximum near where a spectrum first comes near its greatest value."""
    smooth = moving_average(crops, _L3_SMOOTHING)
    smooth -= smooth.min(axis=1, keepdims=True)
    first = (smooth >= 0.7 * smooth.max(axis=1, keepdims=True)).argmax(axis=1)
    near = np.minimum(first[:, None] + np.arange(_L3_SPAN), crops.shape[1] - 1)  # (N, span)
    return np.asarray(first + smooth[np.arange(len(crops))[:, None], near].argmax(axis=1))


def aligned(located: Located, stretches: Sequence[float] = (1.0,)) -> Floats32:
    """The window around L3 of N smoothed crops, at every stretch: zero mean, unit length, (S, N, P).

    At a stretch of 0.8, what lies 8 eV behind L3 comes to lie 10 eV behind it.
    """
    n, n_crop = located.smooth.shape
    first, matrix = _stretching(tuple(stretches), n_crop)
    around = located.around_l3(np.arange(first, first + len(matrix)))
    window = (around @ matrix).reshape(n, len(stretches), -1)
    window /= np.maximum(np.sqrt(np.einsum("nsp,nsp->ns", window, window)), 1e-9)[..., None]
    return window.transpose(1, 0, 2)


@lru_cache
def _stretching(stretches: tuple[float, ...], n_crop: int) -> tuple[int, Floats32]:
    """First channel needed after L3, and the matrix (channels, S * P) that interpolates and centres."""
    low, high = (round(share * n_crop) for share in WINDOW)
    offset = np.multiply.outer(np.array(stretches), np.arange(low, high, _STEP))  # (S, P) in channels
    left = np.floor(offset).astype(np.int64)
    first = int(left.min())
    matrix = np.zeros((int(left.max()) + 2 - first, *offset.shape))
    stretch, point = np.indices(offset.shape)
    matrix[left - first, stretch, point] = 1 - (offset - left)
    matrix[left + 1 - first, stretch, point] = offset - left
    matrix -= matrix.mean(axis=2, keepdims=True)
    return first, matrix.reshape(len(matrix), -1).astype(np.float32)


def noise_level(crops: Floats32) -> Floats32:
    """Noise of N crops compared with their standard deviation, (N,).

    From second differences over `_NOISE_LAG` channels, of which white lines make few large ones: hence a
    percentile. The lag also finds the noise of much wider channels, which interpolation has smoothed.
    """
    lag = _NOISE_LAG
    second = np.abs(crops[:, : -2 * lag] + crops[:, 2 * lag :] - 2 * crops[:, lag:-lag])
    place = second.shape[1] * 3 // 5
    typical = np.partition(second, place, axis=1)[:, place] / (_SIXTIETH * np.sqrt(6))
    return np.asarray(typical / np.maximum(crops.std(axis=1), 1e-9))
