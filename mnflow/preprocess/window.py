"""What happens to a spectrum between its energy axis and a net: the crop and the one normalisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnflow.errors import InputError
from mnflow.preprocess.background import (
    MIN_BINS,
    EdgePosition,
    locate_edge,
    locate_edges,
    subtract_background,
)
from mnflow.preprocess.resample import Resampler, median, resampler
from mnflow.spectra import Edge, SpectrumSet
from mnflow.spectra.axis import axis_ev, ordered

MAX_STEP_EV = 0.4
"""Coarsest channels that still resolve the white lines, in eV."""

MAX_INTENSITY = 1e15
"""Beyond any detector; larger values would overflow in the fits."""

L3_RANGE = (0.1, 0.5)
"""Where L3 may lie in the crop window, as shares of its width: 638 ... 650 eV for Mn, what shifts of 5 eV
reach.
"""


def normalise(intensity: Any) -> Any:
    """Scale every spectrum to [0, 1], then subtract its mean: the one normalisation of training, evaluation
    and serving.

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


def crop_start(edge: Edge, shift_bins: ArrayLike = 0) -> NDArray[np.int64]:
    """First channel of the crop in the wide window, for spectra shifted by `shift_bins` (scalar or array, any
    shape).

    Raises
    ------
    InputError
        If a shift moves the crop out of the wide window.
    """
    start = edge.crop_start - np.asarray(shift_bins, dtype=np.int64)
    if start.size and (start.min() < 0 or start.max() > edge.n_wide - edge.n_crop):
        raise InputError(
            f"A shift must lie within {edge.crop_start + edge.n_crop - edge.n_wide} ... {edge.crop_start} "
            f"channels, so that "
            f"the crop stays in the wide window; got {np.min(shift_bins)} ... {np.max(shift_bins)}."
        )
    return start


def crop(spectra: SpectrumSet, shift_bins: ArrayLike = 0) -> NDArray[np.float32]:
    """What a net sees of spectra whose energy axis is off by `shift_bins`: a real crop of the wide window,
    normalised.

    Parameters
    ----------
    spectra : SpectrumSet
        N spectra on the edge's wide window.
    shift_bins : int or array of int, shape (N,)
        Shift of the spectrum in channels; positive moves its features to higher channels (the crop starts
        earlier).

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
        raise InputError(
            f"Expected spectra of {edge.n_wide} channels ({edge.wide_ev} eV), got "
            f"{spectra.intensity.shape[1]}."
        )
    start = crop_start(edge, shift_bins)
    if start.ndim == 0:
        return np.asarray(
            normalise(spectra.intensity[:, int(start) : int(start) + edge.n_crop]), dtype=np.float32
        )
    windows = np.lib.stride_tricks.sliding_window_view(
        spectra.intensity, edge.n_crop, axis=1
    )  # (N, starts, n_crop), a view
    return np.asarray(normalise(windows[np.arange(len(spectra)), start]), dtype=np.float32)


def check_step(energy_ev: NDArray[np.float64], edge: Edge, where: str) -> None:
    """Raise `InputError` if the channels within the edge's wide window are too coarse to resolve its
    lines.
    """
    low, high = edge.wide_ev
    inside = energy_ev[(energy_ev >= low) & (energy_ev <= high)]
    step = float(median(np.diff(inside))) if len(inside) > 1 else np.inf
    if step > MAX_STEP_EV * 1.001:
        raise InputError(
            f"{where}: expected at most {MAX_STEP_EV:g} eV a channel between {low:g} and {high:g} eV, got "
            f"{f'{step:.3g} eV' if np.isfinite(step) else 'hardly a channel there'}; record the "
            f"{edge.element} L2,3 edge "
            "with a finer dispersion."
        )


def check_axis(energy_ev: NDArray[np.float64], edge: Edge, where: str) -> None:
    """Raise `InputError` unless an increasing axis (C,) covers half the crop window in channels that are fine
    enough.
    """
    low, high = edge.crop_ev
    covered = min(high, energy_ev[-1]) - max(low, energy_ev[0])
    if covered < (high - low) / 2:
        raise InputError(
            f"{where}: expected energies that cover {low:g} ... {high:g} eV or most of it, got "
            f"{energy_ev[0]:.1f} ... "
            f"{energy_ev[-1]:.1f} eV; check the calibration and the units of the axis."
        )
    check_step(energy_ev, edge, where)


def check_spectrum(energy_ev: NDArray[np.float64], intensity: NDArray[Any], edge: Edge, where: str) -> None:
    """Raise `InputError` unless a single spectrum (C,) is finite, not flat, fine enough and covers half the
    crop window.
    """
    check_axis(energy_ev, edge, where)
    inside = intensity[(energy_ev >= edge.wide_ev[0]) & (energy_ev <= edge.wide_ev[1])]
    if not np.isfinite(inside).all() or np.abs(inside).max() > MAX_INTENSITY:
        raise InputError(
            f"{where}: expected finite intensities, got NaN, infinity or more than {MAX_INTENSITY:g}."
        )
    if np.ptp(inside) == 0:
        raise InputError(
            f"{where}: expected a spectrum, got the same intensity ({inside[0]:g}) in every channel."
        )


@dataclass(frozen=True)
class Placement:
    """The way from a foreign energy axis to the crop window: found on one spectrum, for all that share its
    axis.

    Attributes
    ----------
    edge : Edge
        Its crop window and dispersion.
    grid_ev : ndarray, shape (G,)
        The part of the axis that is looked at, on the edge's dispersion.
    resample : Resampler
        From the foreign axis onto `grid_ev`.
    position : EdgePosition
        Where the edge lies.
    index : ndarray of int, shape (n_crop,)
        Channels of `grid_ev` that make the crop.
    moved_bins : int
        By how many channels the window was moved.
    """

    edge: Edge
    grid_ev: NDArray[np.float64]
    resample: Resampler
    position: EdgePosition
    index: NDArray[np.int64]
    moved_bins: int

    def __call__(self, intensity: NDArray[Any]) -> NDArray[np.float32]:
        """Crops (N, n_crop), free of background and not normalised yet, of spectra (N, C) on the foreign
        axis.
        """
        spectra = self.resample(intensity)  # (N, C) -> (N, G)
        if not self.position.background_removed:
            spectra = subtract_background(self.grid_ev, spectra, self.position.onset_ev, self.edge)[0]
        return np.asarray(spectra[:, self.index], dtype=np.float32)


def placement(energy_ev: NDArray[np.float64], intensity: NDArray[Any], edge: Edge, where: str) -> Placement:
    """Where the crop window goes on an increasing axis (C,) in eV, judged by one spectrum (C,) on it; see
    `place_window`.
    """
    check_spectrum(energy_ev, intensity, edge, where)
    first, grid = _covered(energy_ev, edge)
    resample = resampler(energy_ev, grid)
    position = locate_edge(grid, resample(intensity[None])[0], edge)
    moved = _window_start(first, len(grid), position.l3_ev, edge)
    return Placement(edge, grid, resample, position, _window_index(moved, first, len(grid), edge), moved)


def place_windows(
    energy_ev: NDArray[np.float64],
    intensity: NDArray[Any],
    edge: Edge,
    background_removed: bool | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What `place_window` does, for checked spectra (N, C) that share an increasing axis, each with its own
    L3 and window.

    Whether the background had been removed before is seen from each spectrum, unless `background_removed`
    says it.

    Returns
    -------
    tuple
        Crops (N, n_crop), not normalised yet, and by how many channels each window was moved (N,).
    """
    first, grid = _covered(energy_ev, edge)
    spectra = resampler(energy_ev, grid)(intensity)  # (N, G)
    positions = locate_edges(grid, spectra, edge)
    removed = np.array(
        [p.background_removed if background_removed is None else background_removed for p in positions]
    )
    onset_ev = np.where(
        removed | _begins_late(grid, spectra, positions), np.nan, [p.onset_ev for p in positions]
    )
    for onset in set(onset_ev[~np.isnan(onset_ev)].tolist()):
        rows = onset_ev == onset
        spectra[rows] = subtract_background(grid, spectra[rows], onset, edge)[0]
    # thousands share a few channels
    start = {l3_ev: _window_start(first, len(grid), l3_ev, edge) for l3_ev in {p.l3_ev for p in positions}}
    moved = np.array([start[p.l3_ev] for p in positions])
    index = _window_index(moved[:, None], first, len(grid), edge)
    return spectra[np.arange(len(spectra))[:, None], index], moved


def _begins_late(
    grid: NDArray[np.float64], spectra: NDArray[np.float32], positions: Sequence[EdgePosition]
) -> NDArray[np.bool_]:
    """Which spectra (N, G) begin too close to their edge to fit a background, and have little: less than the
    edge's height.

    Foreign spectra often do, cut or digitized from a figure. They keep their level, which normalisation takes
    out.
    """
    before = np.searchsorted(grid, [p.onset_ev for p in positions])
    level = spectra[:, :MIN_BINS].mean(axis=1)
    return (before < MIN_BINS) & (2 * level < spectra.max(axis=1))


def _covered(energy_ev: NDArray[np.float64], edge: Edge) -> tuple[int, NDArray[np.float64]]:
    """What of the wide window an axis covers, on the edge's dispersion: its first channel from the nominal
    crop's, and it.
    """
    step = edge.dispersion_ev
    first = int(np.ceil((max(energy_ev[0], edge.wide_ev[0]) - edge.crop_ev[0]) / step - 1e-6))
    last = int(np.floor((min(energy_ev[-1], edge.wide_ev[1]) - edge.crop_ev[0]) / step + 1e-6))
    return first, axis_ev(edge.crop_ev[0] + step * first, last + 1 - first, step)


def _window_index(moved: Any, first: int, n_grid: int, edge: Edge) -> NDArray[np.int64]:
    """Channels of the covered part that make the crop, the end values continued beyond its ends."""
    return np.asarray(np.clip(moved + np.arange(edge.n_crop) - first, 0, n_grid - 1))


class Placed(NamedTuple):
    """A spectrum cut to what a net takes: `intensity` (n_crop,), and by how many channels its window was
    moved.
    """

    intensity: NDArray[np.float32]
    moved_bins: int


def place_window(
    energy_ev: ArrayLike, intensity: ArrayLike, edge: Edge, where: str = "The spectrum"
) -> Placed:
    """Cut the crop window out of a foreign spectrum, resampled in eV onto the edge's dispersion and never
    stretched.

    The window stays where it is if the spectrum covers it and its L3 maximum lies where training's shifts put
    it. Otherwise it moves by whole channels: as far as is needed for L3, and so that the spectrum covers most
    of it. What is not covered then is continued with the spectrum's end values.

    Parameters
    ----------
    energy_ev : array, shape (C,)
        Energies in eV, in any order, any steps.
    intensity : array, shape (C,)
        Intensity; a background that is still on is fitted and removed.
    edge : Edge
        Its crop window and dispersion.
    where : str
        What to call the spectrum in an error.

    Returns
    -------
    Placed
        Not normalised yet.

    Raises
    ------
    InputError
        If a value is not finite, the spectrum is flat, its steps are too coarse, or it covers less than half
        a window.
    """
    energy, values = ordered(
        np.asarray(energy_ev, dtype=np.float64), np.asarray(intensity, dtype=np.float64)[None], where
    )
    check_spectrum(energy, values[0], edge, where)
    crops, moved = place_windows(energy, values, edge)
    return Placed(crops[0], int(moved[0]))


def _window_start(first: int, n_grid: int, l3_ev: float, edge: Edge) -> int:
    """Start of the window in channels from the nominal one, as `first`, the first of the `n_grid` that are
    covered, is.
    """
    l3 = round((l3_ev - edge.crop_ev[0]) / edge.dispersion_ev)
    lowest, highest = (l3 - round(share * edge.n_crop) for share in reversed(L3_RANGE))
    starts = np.arange(min(lowest, 0), max(highest, 0) + 1)
    starts = starts[(starts >= lowest) & (starts <= highest)]
    uncovered = np.maximum(first - starts, 0) + np.maximum(starts + edge.n_crop - first - n_grid, 0)
    return int(starts[np.lexsort((np.abs(starts), uncovered))[0]])
