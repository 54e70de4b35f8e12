"""Spectra as a request brings them: checked number by number, and put together where they share an axis."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.opinions.oxygen import o_k_distance_ev
from mnflow.preprocess.faults import REASONS
from mnflow.preprocess.locate import MIN_CONTRAST, Background
from mnflow.preprocess.window import place_windows
from mnflow.spectra import Edge
from mnflow.spectra.axis import ordered

_IT = "it"  # what errors call a spectrum before its place is known

FIELDS = ("energy_ev", "intensity")
"""What every spectrum of a request holds: two lists of numbers of one length."""


class Cut(NamedTuple):
    """A crop (n_crop,), not yet normalised, and how it was cut.

    The channels by which its window was moved, whether the spectrum is cut off, the background treatment, the
    number of bridged spikes, whether a step of gain was repaired, whether an edge is to be seen, and how far
    L3 is from O K in eV (None where O K is not to be seen).
    """

    crop: NDArray[np.float32]
    moved_bins: int
    saturated: bool
    background: Background
    spikes: int
    gain_step: bool
    edge_seen: bool
    o_k_distance_ev: float | None


def cut(spectra: Sequence[Any], edge: Edge) -> tuple[dict[int, Cut], dict[int, str]]:
    """Cut the crop windows out of the spectra of a request; spectra that share an axis go together.

    Returns
    -------
    tuple of dict
        By their places in the request: what was cut, and what was wrong.
    """
    same_axis: dict[bytes, tuple[NDArray[np.float64], dict[int, NDArray[np.float64]]]] = {}
    cuts: dict[int, Cut] = {}
    errors: dict[int, str] = {}
    for i, spectrum in enumerate(spectra):
        try:
            energy_ev, intensity = (_numbers(spectrum, name) for name in FIELDS)
            if len(energy_ev) != len(intensity) or len(energy_ev) < 2:
                raise InputError(
                    f"expected as many intensities as energies and two or more, got {len(intensity)} and "
                    f"{len(energy_ev)}."
                )
            same_axis.setdefault(energy_ev.tobytes(), (energy_ev, {}))[1][i] = intensity
        except InputError as error:
            errors[i] = str(error)
    for energy_ev, rows in same_axis.values():
        _cut_together(energy_ev, rows, edge, cuts, errors)
    return cuts, {i: f"Spectrum {i}: {sentence}" for i, sentence in errors.items()}


def _cut_together(
    energy_ev: NDArray[np.float64],
    rows: Mapping[int, NDArray[np.float64]],
    edge: Edge,
    cuts: dict[int, Cut],
    errors: dict[int, str],
) -> None:
    """Add what was cut out of spectra (C,) that share an axis (C,), or what is wrong with it or with them."""
    try:
        intensity = np.stack(list(rows.values()))
        intensity /= np.maximum(np.abs(intensity).max(axis=1, keepdims=True), np.finfo(float).tiny)
        increasing_ev, intensity = ordered(energy_ev, intensity, _IT)
        placed = place_windows(increasing_ev, intensity, edge, where=_IT)
    except InputError as error:
        if len(rows) == 1:
            errors |= dict.fromkeys(rows, str(error).removeprefix(f"{_IT}: "))
        else:  # one spoils it for all: by halves, until the bad ones are alone
            places = list(rows)
            for half in (places[::2], places[1::2]):
                _cut_together(energy_ev, {i: rows[i] for i in half}, edge, cuts, errors)
        return
    for row, (i, fault) in enumerate(zip(rows, placed.faults.tolist(), strict=True)):
        crop = placed.intensity[row]
        if np.ptp(crop) == 0 or REASONS[fault] == "empty":
            errors[i] = (
                f"expected an edge, got the same intensity in every channel near "
                f"{edge.crop_ev[0]:g} ... {edge.crop_ev[1]:g} eV."
            )
        else:
            position = placed.positions[row]
            cuts[i] = Cut(
                crop,
                int(placed.moved_bins[row]),
                REASONS[fault] == "saturated",
                position.background,
                int(placed.spikes[row]),
                placed.gain_steps[row] is not None,
                position.contrast >= MIN_CONTRAST,
                o_k_distance_ev(increasing_ev, intensity[row], position.l3_ev, edge),
            )


def _numbers(spectrum: Any, name: str) -> NDArray[np.float64]:
    """One list of a spectrum as an array."""
    values = spectrum.get(name) if isinstance(spectrum, Mapping) else getattr(spectrum, name, None)
    if values is None:
        raise InputError(f"expected an object with the lists {' and '.join(FIELDS)}, got no {name}.")
    try:
        # numpy would take true for 1
        if not isinstance(values, np.ndarray) and bool in set(map(type, values)):
            raise ValueError
        array = np.asarray(values)
        if array.ndim != 1 or array.dtype.kind not in "iuf":
            raise ValueError
        array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"expected a list of numbers for {name}, got {_describe(values)}.") from None
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array))
        raise InputError(
            f"expected finite numbers for {name}, got {len(bad)} that are not, the first at {bad[0]}."
        )
    return array


def _describe(values: Any) -> str:
    """The first thing that is no number, in a few words."""
    if not isinstance(values, list | tuple | np.ndarray):
        return f"{type(values).__name__}"
    for i, value in enumerate(values):
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
            return f"{'null' if value is None else type(value).__name__} at {i}"
    return "numbers that are too large, or lists within the list"
