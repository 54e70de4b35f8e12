"""The files of a simulation."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mnflow.runtime.files import HDF5_BYTES, check_room, plain_cell, whole_file
from mnflow.spectra.arrays import Floats, Floats32


def write_table(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]], path: Path) -> Path:
    """Write a CSV table."""
    with whole_file(path) as part, part.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(header)
        writer.writerows([plain_cell(cell) for cell in row] for row in rows)
    return path


def write_hspy(
    path: Path, counts: Floats32, energy_ev: Floats, title: str, beam_energy_kev: float, dwell_s: float
) -> Path:
    """Write counts (Y, X, C) on energy_ev (C,) as an .hspy `EELSSpectrum` with axes and metadata."""
    from rsciio.hspy import file_writer  # light: a tenth of the time that importing HyperSpy takes

    rows, columns, channels = counts.shape
    step_ev = round(float(energy_ev[1] - energy_ev[0]), 9)
    axes = [_axis("y", rows, 2.0, 0.0, "nm", True), _axis("x", columns, 2.0, 0.0, "nm", True)]
    axes.append(_axis("Energy loss", channels, step_ev, energy_ev[0], "eV", False))
    eels = {"dwell_time": dwell_s, "dispersion": step_ev, "collection_angle": 20.0}
    metadata = {
        "General": {"title": title, "notes": "simulated by mnflow"},
        "Signal": {"signal_type": "EELS", "quantity": "Electrons (Counts)"},
        "Acquisition_instrument": {"TEM": {"beam_energy": beam_energy_kev, "Detector": {"EELS": eels}}},
    }
    signal = {
        "data": counts, "axes": axes, "metadata": metadata, "original_metadata": {}, "learning_results": {},
        "models": {},
        "attributes": {"_lazy": False}, "tmp_parameters": {}, "package_info": {"package": "exspy",
        "package_version": ""},
    }  # fmt: skip
    with whole_file(path) as part:
        check_room(part, counts.nbytes + HDF5_BYTES)
        file_writer(str(part), signal)
    return path


def _axis(name: str, size: int, scale: float, offset: float, units: str, navigate: bool) -> dict[str, object]:
    return {
        "_type": "UniformDataAxis", "name": name, "size": size, "scale": scale, "offset": float(offset),
        "units": units,
        "navigate": navigate, "is_binned": not navigate,
    }  # fmt: skip
