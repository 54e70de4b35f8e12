"""Random energy shifts: training spectra cropped where a wrongly calibrated axis would put them."""

import numpy as np

from mnflow.errors import InputError
from mnflow.preprocess import crops_from
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Floats32, Ints

MAX_SHIFT_EV = 5.0
"""Largest energy shift that training draws and the shift test covers, in eV."""


def max_shift_bins(edge: Edge, max_shift_ev: float = MAX_SHIFT_EV) -> int:
    """`max_shift_ev` in channels (50 for Mn); raises `InputError` if it leads out of the wide window."""
    bins = round(max_shift_ev / edge.dispersion_ev)
    room = min(edge.crop_start, edge.n_wide - edge.n_crop - edge.crop_start)
    if not 0 <= bins <= room:
        raise InputError(
            f"Shifts of up to {max_shift_ev} eV do not fit: expected 0 ... {room * edge.dispersion_ev:g} eV."
        )
    return bins


def draw_shifts(rng: np.random.Generator, n: int, max_shift: int) -> Ints:
    """Draw `n` shifts in channels, every one of -max_shift ... max_shift as likely."""
    return rng.integers(-max_shift, max_shift + 1, n)


def crops(wide: Floats32, shift_bins: Ints, edge: Edge) -> Floats32:
    """Crop every wide spectrum (N, C) at its own shift and normalise: (N, n_crop)."""
    return crops_from(wide, edge.crop_start - shift_bins, edge.n_crop)
