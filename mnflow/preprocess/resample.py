"""Energy axes, and resampling in eV with one set of weights for all spectra of a file."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mnflow.spectra.arrays import Array, Floats, Floats32, Ints

_MAX_TAPS = 12

FEW = 64
"""Rows of an array that stay in a core's own cache while several passes are made over them."""

_KEPT_CHANNELS = 2000
"""Longer axes are not kept in memory: on the worst of these, weights are 6 MB."""


def few_rows(n: int) -> list[slice]:
    """An array's `n` rows in parts of `FEW`."""
    return [slice(i, i + FEW) for i in range(0, n, FEW)]


@dataclass(frozen=True)
class Resampler:
    """Linear map from one energy axis to another.

    Between source channels it interpolates linearly; where the source is finer than the target it averages
    over the target's channel, so that no counts are wasted; on equal axes it is the identity; beyond the
    source's ends it continues the end values.

    Attributes
    ----------
    first : ndarray of int64, shape (T,)
        First source channel that a target channel is made of.
    weight : ndarray of float32, shape (taps, T)
        Weights of the source channels from `first` on; each column sums to 1.
    """

    first: Ints
    weight: Floats32

    def __call__(self, intensity: Array) -> Floats32:
        """Resample intensity (N, C) to (N, T)."""
        taps, targets = self.weight.shape
        if taps > _MAX_TAPS:
            return self._average(intensity)
        consecutive = bool((np.diff(self.first) == 1).all())
        out = np.empty((intensity.shape[0], targets), dtype=np.float32)
        part = np.empty((FEW, targets), dtype=np.float32)
        for rows in few_rows(len(out)):
            weighted = part[: len(out[rows])]
            for tap in range(taps):
                start = int(self.first[0]) + tap
                at: Any = slice(start, start + targets) if consecutive else self.first + tap
                into = weighted if tap else out[rows]
                np.multiply(intensity[rows, at], self.weight[tap], out=into, casting="same_kind")
                if tap:
                    out[rows] += weighted
        return out

    def _average(self, intensity: Array) -> Floats32:
        """Target by target: for sources so fine that a target channel is made of many."""
        taps = len(self.weight)
        targets = zip(self.first, self.weight.T, strict=True)
        return np.stack([intensity[:, f : f + taps].astype(np.float32) @ w for f, w in targets], axis=1)


def resampler(energy_ev: Floats, target_ev: Floats) -> Resampler:
    """Weights that resample from `energy_ev` (C,), increasing, to the uniform `target_ev` (T,), both in eV.

    The last ones are kept: spectra that an instrument sends one by one share their axis.
    """
    if len(energy_ev) > _KEPT_CHANNELS:
        return _weights(energy_ev, target_ev)
    return _kept_weights(energy_ev.tobytes(), target_ev.tobytes())


@lru_cache(maxsize=8)
def _kept_weights(energies: bytes, targets: bytes) -> Resampler:
    return _weights(np.frombuffer(energies), np.frombuffer(targets))


def _weights(energy_ev: Floats, target_ev: Floats) -> Resampler:
    target_step = float(target_ev[1] - target_ev[0])
    near = energy_ev[(energy_ev >= target_ev[0] - target_step) & (energy_ev <= target_ev[-1] + target_step)]
    source_step = float(median(np.diff(near))) if len(near) > 1 else np.inf
    width = max(0.0, target_step - source_step)  # box that is averaged over; 0 is plain interpolation
    if width < 0.01 * target_step:
        return _pack(np.arange(len(target_ev)), target_ev, np.ones(len(target_ev)), energy_ev, len(target_ev))
    low, high = target_ev - width / 2, target_ev + width / 2
    edges = np.unique(np.concatenate([low, high, energy_ev[(energy_ev > low[0]) & (energy_ev < high[-1])]]))
    middle, length = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    # the piece's target channel, unless it lies in a gap between two boxes
    target = np.searchsorted(low, middle) - 1
    inside = middle < high[target]
    return _pack(target[inside], middle[inside], length[inside] / width, energy_ev, len(target_ev))


def _pack(target: Any, at_ev: Any, share: Any, energy_ev: Floats, targets: int) -> Resampler:
    """Sum linear interpolations at `at_ev`, each with its share, into taps of every target channel."""
    left = np.clip(np.searchsorted(energy_ev, at_ev, side="right") - 1, 0, len(energy_ev) - 2)
    fraction = np.clip((at_ev - energy_ev[left]) / (energy_ev[left + 1] - energy_ev[left]), 0.0, 1.0)
    # rounding of equal axes
    fraction = np.where(fraction < 1e-6, 0.0, np.where(fraction > 1 - 1e-6, 1.0, fraction))
    first = np.full(targets, len(energy_ev), dtype=np.int64)
    last = np.zeros(targets, dtype=np.int64)
    np.minimum.at(first, target, left)
    np.maximum.at(last, target, left + 1)
    taps = int((last - first).max()) + 1
    first = np.minimum(first, len(energy_ev) - taps)  # so that every tap lies on the axis
    weight = np.zeros((taps, targets))
    np.add.at(weight, (left - first[target], target), share * (1 - fraction))
    np.add.at(weight, (left + 1 - first[target], target), share * fraction)
    return Resampler(first, weight.astype(np.float32))


def moving_average(spectra: Array, width: int) -> Array:
    """Mean over `width` neighbouring channels of (N, C), equal to `scipy.ndimage.uniform_filter1d`.

    What a server imports counts for its start and its memory, and scipy.ndimage is half of it.
    """
    before = width // 2 + 1
    total = np.empty((len(spectra), spectra.shape[1] + width))
    total[:, :before] = spectra[:, :1]
    total[:, before:] = spectra[:, -1:]
    total[:, before : before + spectra.shape[1]] = spectra
    np.cumsum(total, axis=1, out=total)
    return ((total[:, width:] - total[:, :-width]) / width).astype(spectra.dtype)


def median(values: Floats) -> Any:
    """Medians (...) of finite values (..., M), with less overhead per call than `np.median`."""
    n = values.shape[-1]
    lower, upper = (n - 1) // 2, n // 2
    middle = np.partition(values, (lower, upper), axis=-1)
    return (middle[..., lower] + middle[..., upper]) / 2
