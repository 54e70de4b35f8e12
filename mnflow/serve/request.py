"""Spectra as a request brings them: checked number by number, and put together where they share an axis."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.preprocess.resample import ordered
from mnflow.preprocess.scan import REASONS, bad_pixels
from mnflow.preprocess.window import check_spectrum, place_windows
from mnflow.valence import Edge

FIELDS = ("energy_ev", "intensity")
"""What every spectrum of a request holds: two lists of numbers of one length."""

Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]


def read_spectrum(value: Any, edge: Edge, where: str) -> Spectrum:
    """Energies (C,), increasing, in eV and intensities (C,) of one item of a request; nothing is guessed from words.

    Raises
    ------
    InputError
        If it is no spectrum, or one that cannot be placed in the edge's window.
    """
    energy_ev, intensity = (_numbers(value, name, where) for name in FIELDS)
    if len(energy_ev) != len(intensity) or len(energy_ev) < 2:
        raise InputError(
            f"{where}: expected as many intensities as energies and two or more, got {len(intensity)} and {len(energy_ev)}."
        )
    energy_ev, rows = ordered(energy_ev, intensity[None] / (np.abs(intensity).max() or 1.0), where)
    check_spectrum(energy_ev, rows[0], edge, where)
    return energy_ev, np.ascontiguousarray(rows[0])


class Cut(NamedTuple):
    """A crop (n_crop,), not normalised yet, by how many channels its window was moved, and if the spectrum is cut off."""

    crop: NDArray[np.float32]
    moved_bins: int
    saturated: bool


def place(spectra: Mapping[int, Spectrum], edge: Edge) -> tuple[dict[int, Cut], dict[int, str]]:
    """Cut the crop windows out of spectra, all that share an axis at once; what was cut and what was wrong, by their keys."""
    cuts: dict[int, Cut] = {}
    errors: dict[int, str] = {}
    waiting = list(_same_axis(spectra))
    while waiting:
        keys = waiting.pop()
        try:
            intensity = np.stack([spectra[k][1] for k in keys])
            crops, moved = place_windows(spectra[keys[0]][0], intensity, edge)
        except InputError as error:
            if len(keys) == 1:
                errors[keys[0]] = str(error)
            waiting += [[k] for k in keys] if len(keys) > 1 else []  # one spoils it for all: one by one then
            continue
        saturated = bad_pixels(intensity) == REASONS.index("saturated")
        for row, k in enumerate(keys):
            cuts[k] = Cut(crops[row], int(moved[row]), bool(saturated[row]))
            if crops[row].min() == crops[row].max():
                errors[k] = f"expected an edge, got a flat line in {edge.crop_ev[0]:g} ... {edge.crop_ev[1]:g} eV."
    return {k: c for k, c in cuts.items() if k not in errors}, errors


def _same_axis(spectra: Mapping[int, Spectrum]) -> Sequence[list[int]]:
    groups: dict[bytes, list[int]] = {}
    for key, (energy_ev, _) in spectra.items():
        groups.setdefault(energy_ev.tobytes(), []).append(key)
    return list(groups.values())


def _numbers(spectrum: Any, name: str, where: str) -> NDArray[np.float64]:
    """One list of a spectrum as an array."""
    values = spectrum.get(name) if isinstance(spectrum, Mapping) else getattr(spectrum, name, None)
    if values is None:
        raise InputError(f"{where}: expected an object with the lists {' and '.join(FIELDS)}, got no {name}.")
    try:
        array = np.asarray(values)
        if array.ndim != 1 or array.dtype.kind not in "iuf":
            raise ValueError
        array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{where}: expected a list of numbers for {name}, got {_describe(values)}.") from None
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise InputError(f"{where}: expected finite numbers for {name}, got {len(bad)} that are not, the first at {bad[0]}.")
    return array


def _describe(values: Any) -> str:
    """The first thing that is no number, in a few words."""
    if not isinstance(values, list | tuple | np.ndarray):
        return f"{type(values).__name__}"
    for i, value in enumerate(values):
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
            return f"{'null' if value is None else type(value).__name__} at {i}"
    return "numbers that are too large, or lists within the list"
