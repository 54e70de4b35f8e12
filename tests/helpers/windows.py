"""The way of one spectrum through `place_windows`, for tests."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mnflow.errors import InputError
from mnflow.preprocess.detector.faults import MAX_INTENSITY, REASONS
from mnflow.preprocess.window import place_windows
from mnflow.spectra import Edge
from mnflow.spectra.axis import ordered


class Placed(NamedTuple):
    """A spectrum cut to what a net takes: `intensity` (n_crop,), and how many channels the window moved."""

    intensity: NDArray[np.float32]
    moved_bins: int


def place_window(
    energy_ev: ArrayLike, intensity: ArrayLike, edge: Edge, where: str = "The spectrum"
) -> Placed:
    """Cut the crop out of a foreign spectrum, resampled in eV onto the edge's dispersion, not stretched.

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
        If a value is not finite, or the spectrum is flat, too coarse, or shorter than half a window.
    """
    energy, values = ordered(
        np.asarray(energy_ev, dtype=np.float64), np.asarray(intensity, dtype=np.float64)[None], where
    )
    placed = place_windows(energy, values, edge, where=where)
    if placed.faults[0] in (1, 2):
        raise InputError(
            f"{where}: expected a spectrum, got {REASONS[placed.faults[0]]} where its edge is: "
            f"NaN, infinity, more than {MAX_INTENSITY:g}, or the same intensity in every channel."
        )
    return Placed(placed.intensity[0], int(placed.moved_bins[0]))
