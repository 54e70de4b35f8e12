"""What a model sees of a spectrum on its window: the crop, the one normalisation, the stretch around L3."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mnflow.errors import InputError
from mnflow.spectra import Edge, SpectrumSet
from mnflow.spectra.arrays import Array, Floats32, Ints

L3_RANGE = (0.1, 0.5)
"""Where L3 may lie in the crop, as shares of its width: 638 ... 650 eV for Mn, for shifts of 5 eV."""

EPSILON = 1e-12
"""Added to the variance of the stretch around L3: a flat one becomes zeros."""


def normalise(intensity: Any) -> Any:
    """Scale every spectrum to [0, 1] and subtract its mean: the same for training and serving.

    Gain and offset of a spectrum cancel. A flat spectrum becomes zeros. Only array methods are used, so that
    the same function serves numpy arrays and jax arrays inside a compiled step.

    Parameters
    ----------
    intensity : array of float, shape (..., C)
        Intensities in arbitrary units, finite; integers are taken as float64.

    Returns
    -------
    array of the same kind and shape
        Values in [-1, 1] with zero mean along the last axis.
    """
    if not hasattr(intensity, "dtype") or intensity.dtype.kind in "iub":
        intensity = np.asarray(intensity, dtype=np.float64)
    low = intensity.min(axis=-1, keepdims=True)
    span = intensity.max(axis=-1, keepdims=True) - low
    scaled = (intensity - low) / (span + (span == 0))
    return scaled - scaled.mean(axis=-1, keepdims=True)


def crop_start(edge: Edge, shift_bins: ArrayLike = 0) -> Ints:
    """First channel of the crop in the wide window for spectra shifted by `shift_bins`, inside the window."""
    start = edge.crop_start - np.asarray(shift_bins, dtype=np.int64)
    if start.size and (start.min() < 0 or start.max() > edge.n_wide - edge.n_crop):
        raise InputError(
            f"A shift must lie within {edge.crop_start + edge.n_crop - edge.n_wide} ... {edge.crop_start} "
            f"channels, so that "
            f"the crop stays in the wide window; got {np.min(shift_bins)} ... {np.max(shift_bins)}."
        )
    return start


def crop(spectra: SpectrumSet, shift_bins: ArrayLike = 0) -> Floats32:
    """The model's input for spectra whose energy axis is off by `shift_bins`: a normalised crop.

    Parameters
    ----------
    spectra : SpectrumSet
        N spectra on the edge's wide window.
    shift_bins : int or array of int, shape (N,)
        Shift of the spectrum in channels; positive ones move its features to higher channels.

    Returns
    -------
    ndarray of float32, shape (N, edge.n_crop)

    Raises
    ------
    InputError
        If a shift moves the crop out of the wide window, or the spectra are not on the edge's wide window.
    """
    edge = spectra.edge
    if (n := spectra.intensity.shape[1]) != edge.n_wide:
        raise InputError(f"Expected spectra of {edge.n_wide} channels ({edge.wide_ev} eV), got {n}.")
    start = np.broadcast_to(crop_start(edge, shift_bins), len(spectra))
    return np.asarray(crops_from(spectra.intensity, start, edge.n_crop), dtype=np.float32)


def crops_from(wide: Array, start: Ints, n_crop: int) -> Array:
    """Normalised crops (N, n_crop) of wide spectra (N, C), each from its own channel `start` (N,) on."""
    windows = np.lib.stride_tricks.sliding_window_view(wide, n_crop, axis=1)  # (N, starts, n_crop), a view
    return np.asarray(normalise(windows[np.arange(len(wide)), start]))


def around_l3_channels(n_crop: int) -> tuple[int, int, int]:
    """The stretch around L3 that is inside a crop of `n_crop` channels wherever L3 lies in `L3_RANGE`.

    Returns
    -------
    before, length, smooth : int
        Channels before the maximum, of the whole stretch, and over which the maximum is averaged: 30, 180 and
        20 of 300, that is 3, 18 and 2 eV.
    """
    before = int(L3_RANGE[0] * n_crop)
    return before, n_crop - int(L3_RANGE[1] * n_crop) + before, max(n_crop // 15, 1)


def l3_channel(crops: Any, smooth: int) -> Any:
    """Channel (N,) of the largest mean over `smooth` channels in crops (N, C); of numpy or jax arrays."""
    n = crops.shape[1] - smooth + 1
    return sum(crops[:, i : i + n] for i in range(smooth)).argmax(axis=1) + smooth // 2


def binned(stretch: Any, n_bin: int) -> Any:
    """Means of `n_bin` neighbouring channels of (N, C), with mean 0 and r.m.s. 1; of numpy or jax arrays."""
    n = stretch.shape[1] // n_bin
    means = stretch[:, : n * n_bin].reshape(len(stretch), n, n_bin).mean(axis=2)
    means = means - means.mean(axis=1, keepdims=True)
    return means / ((means * means).mean(axis=1, keepdims=True) + EPSILON) ** 0.5


def around_l3(crops: Floats32, n_bin: int) -> Floats32:
    """The stretch around L3 of normalised crops, `binned`: what an energy shift does not change.

    Parameters
    ----------
    crops : ndarray, shape (N, C)

    Returns
    -------
    ndarray, shape (N, length // n_bin)
        See `around_l3_channels`.
    """
    before, length, smooth = around_l3_channels(crops.shape[1])
    start = (l3_channel(crops, smooth) - before).clip(0, crops.shape[1] - length)
    stretch = np.take_along_axis(crops, start[:, None] + np.arange(length), axis=1)
    return np.asarray(binned(stretch, n_bin))
