"""Energy axes: units, order, and uniform grids."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError


def axis_ev(start_ev: float, channels: int, step_ev: float) -> NDArray[np.float64]:
    """Uniform energy axis (channels,) in eV."""
    return np.asarray(start_ev + step_ev * np.arange(channels), dtype=np.float64)


def ordered(energy_ev: NDArray[Any], counts: Any, where: str) -> tuple[NDArray[np.float64], Any]:
    """Energy axis and counts (N, C) in increasing order; equal energies are averaged. Raises `InputError` for
    a bad axis.
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
    unique, inverse, times = np.unique(energy_ev, return_inverse=True, return_counts=True)
    if len(unique) < 2:
        raise InputError(
            f"{where}: expected an energy axis, got the same energy ({unique[0]:g} eV) in every channel."
        )
    order = np.argsort(inverse, kind="stable")
    counts = np.asarray(counts)[..., order].astype(np.float64)
    starts = np.concatenate([[0], np.cumsum(times)[:-1]])
    return unique, np.add.reduceat(counts, starts, axis=-1) / times


_EV_PER_UNIT = {"ev": 1.0, "electronvolt": 1.0, "electron_volt": 1.0, "kev": 1e3, "kiloelectron_volt": 1e3}


def ev_per_unit(units: object, where: str) -> float:
    """How many eV one of `units` is; "meV" and "MeV" are told apart, everything else that is no energy is
    refused.
    """
    text = str(units if units is not None else "").strip().strip("[]() ")
    if text in ("meV", "mev", "m-eV"):
        return 1e-3
    factor = _EV_PER_UNIT.get(text.lower())
    if factor is None:
        came = f"{text[:40]!r}" if text and text != "<undefined>" else "no units"
        raise InputError(
            f"{where}: expected an energy axis in eV, keV or meV, got {came}; set the axis' units and save "
            f"it again."
        )
    return factor


def is_energy_unit(units: object) -> bool:
    """Whether `units` names an energy that `ev_per_unit` knows."""
    return bool(
        re.fullmatch(r"[\[(]?\s*([kKm]-?)?e[vV]|electron_?volt\s*[\])]?", str(units).strip().strip("[]() "))
    )
