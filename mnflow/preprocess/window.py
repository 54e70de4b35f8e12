"""What happens to a spectrum between its energy axis and a net: the crop and the one normalisation."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnflow.errors import InputError
from mnflow.spectra import SpectrumSet
from mnflow.valence import Edge


def normalise(intensity: Any) -> Any:
    """Scale every spectrum to [0, 1], then subtract its mean: the one normalisation of training, evaluation and serving.

    Gain and offset of a spectrum cancel. A flat spectrum becomes zeros. Only array methods are used, so that the same
    function serves numpy arrays and jax arrays inside a compiled step.

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


def crop_start(edge: Edge, shift_bins: ArrayLike = 0) -> NDArray[np.int64]:
    """First channel of the crop in the wide window, for spectra shifted by `shift_bins` (scalar or array, any shape).

    Raises
    ------
    InputError
        If a shift moves the crop out of the wide window.
    """
    start = edge.crop_start - np.asarray(shift_bins, dtype=np.int64)
    if start.size and (start.min() < 0 or start.max() > edge.n_wide - edge.n_crop):
        raise InputError(
            f"A shift must lie within {edge.crop_start + edge.n_crop - edge.n_wide} ... {edge.crop_start} channels, so that "
            f"the crop stays in the wide window; got {np.min(shift_bins)} ... {np.max(shift_bins)}."
        )
    return start


def crop(spectra: SpectrumSet, shift_bins: ArrayLike = 0) -> NDArray[np.float32]:
    """What a net sees of spectra whose energy axis is off by `shift_bins`: a real crop of the wide window, normalised.

    Parameters
    ----------
    spectra : SpectrumSet
        N spectra on the edge's wide window.
    shift_bins : int or array of int, shape (N,)
        Shift of the spectrum in channels; positive moves its features to higher channels (the crop starts earlier).

    Returns
    -------
    ndarray of float32, shape (N, edge.n_crop)

    Raises
    ------
    InputError
        If a shift moves the crop out of the wide window, or the spectra are not on the edge's wide window.
    """
    edge = spectra.edge
    if spectra.intensity.shape[1] != edge.n_wide:
        raise InputError(f"Expected spectra of {edge.n_wide} channels ({edge.wide_ev} eV), got {spectra.intensity.shape[1]}.")
    start = crop_start(edge, shift_bins)
    if start.ndim == 0:
        return np.asarray(normalise(spectra.intensity[:, int(start) : int(start) + edge.n_crop]), dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(spectra.intensity, edge.n_crop, axis=1)  # (N, starts, n_crop), a view
    return np.asarray(normalise(windows[np.arange(len(spectra)), start]), dtype=np.float32)
