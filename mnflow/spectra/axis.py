"""Energy axes: units, order, and uniform grids."""

import re
from typing import Any

import numpy as np

from mnflow.errors import InputError
from mnflow.spectra.arrays import Array, Floats


def axis_ev(start_ev: float, channels: int, step_ev: float) -> Floats:
    """Uniform energy axis (channels,) in eV."""
    return np.asarray(start_ev + step_ev * np.arange(channels), dtype=np.float64)


def ordered(energy_ev: Array, counts: Any, where: str) -> tuple[Floats, Any]:
    """Energy axis and counts (N, C) in increasing order; equal energies are averaged.

    Raises `InputError` for a bad axis, and for one that holds several spectra one below the other.
    """
    energy_ev = np.asarray(energy_ev, dtype=np.float64)
    if energy_ev.ndim != 1 or energy_ev.shape[0] != counts.shape[-1] or len(energy_ev) < 2:
        raise InputError(
            f"{where}: expected one energy for every channel and two channels or more, got {len(energy_ev)} "
            f"channels."
        )
    if not np.isfinite(energy_ev).all():
        raise InputError(f"{where}: expected finite energies, got NaN or infinity on the energy axis.")
    step = np.diff(energy_ev)
    if (step > 0).all():
        return energy_ev, counts
    if (step < 0).all():
        return energy_ev[::-1], counts[..., ::-1]
    stacked = stacked_spectra(energy_ev)
    if stacked > 1:
        raise InputError(
            f"{where}: expected one spectrum, got {stacked}, one below the other: the energies start again "
            f"at {energy_ev[0]:g} eV; save each in a file, or in a column, of its own."
        )
    unique, inverse, times = np.unique(energy_ev, return_inverse=True, return_counts=True)
    if len(unique) < 2:
        raise InputError(
            f"{where}: expected an energy axis, got the same energy ({unique[0]:g} eV) in every channel."
        )
    order = np.argsort(inverse, kind="stable")
    counts = np.asarray(counts)[..., order].astype(np.float64)
    starts = np.concatenate([[0], np.cumsum(times)[:-1]])
    return unique, np.add.reduceat(counts, starts, axis=-1) / times


_LEAST_RUN = 8
"""Channels of the shortest spectrum that counts as one of several in a column."""


def stacked_spectra(energy_ev: Floats) -> int:
    """How many spectra lie one below the other in a column of energies (C,): 1 for a single one in any order.

    A spectrum ends where the energies leap back by a quarter of their range, or turn. Digitized curves step
    back a little here and there and stay one spectrum.
    """
    step, span = np.diff(energy_ev), float(np.ptp(energy_ev))
    moving = step[step != 0]
    if len(moving) == 0:
        return 1
    upward = (moving > 0).sum() >= (moving < 0).sum()
    leaps = np.flatnonzero((-step if upward else step) > span / 4) + 1
    if len(leaps) == 0:  # no leap, but perhaps there and back again
        turn = int(np.argmax(energy_ev) if energy_ev[0] <= energy_ev.mean() else np.argmin(energy_ev))
        there, back = step[:turn], step[turn:]
        turns = ((there >= 0).all() and (back <= 0).all()) or ((there <= 0).all() and (back >= 0).all())
        leaps = np.array([turn + 1]) if turns else leaps
    parts = np.split(energy_ev, leaps)
    if len(parts) < 2 or min(map(len, parts)) < _LEAST_RUN:
        return 1
    shortest = min(float(np.ptp(p)) for p in parts)
    overlap = min(float(p.max()) for p in parts) - max(float(p.min()) for p in parts)
    return len(parts) if overlap > shortest / 2 else 1


_ENERGY_UNIT = re.compile(
    r"(?<![A-Za-z-])(?<!1/)(?<!per )([kKm]-?)?[eE][vV](?![A-Za-z])(?!\s*[/^-])"
    r"|(?<![A-Za-z])((kilo|milli)[ -]?)?electron[ -]?volts?(?![A-Za-z])",
    re.IGNORECASE,
)
_MEGA = re.compile(r"(?<![A-Za-z])(M-?[eE][vV]|[mM]ega[ -]?electron)")
_NO_UNITS = ("", "undefined", "none", "unknown", "nan", "-")
_OTHER_AXIS = re.compile(
    r"chan|pixel|wave|length|time|index|position|dist|angle|raman|freq|temp|cm"
    r"|[^a-z](nm|um|µm|mrad|s|m|px)[^a-z]",
    re.IGNORECASE,
)


def energy_unit(words: object) -> float | None:
    """How many eV is the unit of energy that some words name ("keV", "Energy Loss (eV)"), or None.

    "meV" and "MeV" are told apart, and an axis in MeV is none of energy loss.
    """
    text = str(words if words is not None else "").replace("_", " ")
    found = _ENERGY_UNIT.search(text)
    if found is None or _MEGA.search(text):
        return None
    first = found.group().lower()
    return 1e3 if first.startswith("k") else 1e-3 if first.startswith("m") else 1.0


def names_no_unit(words: object) -> bool:
    """Whether an axis' units are left open: empty, None or "<undefined>"."""
    return str(words if words is not None else "").strip().strip("[]()<> ").lower() in _NO_UNITS


def names_other_axis(words: object) -> bool:
    """Whether words name an axis that is none of energy: channels, wavelengths, positions, ..."""
    return bool(_OTHER_AXIS.search(f" {words} "))


def ev_per_unit(units: object, where: str) -> float:
    """How many eV one of `units` is; raises `InputError` for everything that is no energy."""
    factor = energy_unit(units)
    if factor is None:
        text = str(units if units is not None else "").strip().strip("[]() ")
        came = "no units" if names_no_unit(units) else f"{text[:40]!r}"
        raise InputError(
            f"{where}: expected an energy axis in eV, keV or meV, got {came}; set the axis' units and save "
            f"it again."
        )
    return factor


def unit_from_numbers(values: Array, window_ev: tuple[float, float]) -> tuple[float, str] | None:
    """The unit of energies (C,) without one, if their numbers leave no doubt: eV per unit, and its name.

    Parameters
    ----------
    values : ndarray, shape (C,)
        Energies in an unknown unit.
    window_ev : tuple of float
        Where the edge is expected, in eV. A unit fits if half of the window lies within the axis.

    Returns
    -------
    tuple or None
        None if no unit fits or more than one, and for channel numbers (0, 1, 2, ...), which fit by chance.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) < 2 or (finite[0] in (0, 1) and (np.diff(finite) == 1).all()):
        return None
    low, high = float(finite.min()), float(finite.max())
    start, stop = window_ev
    with np.errstate(over="ignore"):
        fits = [
            (factor, name)
            for factor, name in ((1.0, "eV"), (1e3, "keV"), (1e-3, "meV"))
            if min(high * factor, stop) - max(low * factor, start) >= (stop - start) / 2
        ]
    return fits[0] if len(fits) == 1 else None
