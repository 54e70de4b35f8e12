"""Spectra of other laboratories, read from a folder or simulated, cut to the crop window."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.preprocess.detector.faults import REASONS
from mnflow.preprocess.window import place_windows
from mnflow.read.microscopes import read_file
from mnflow.read.source import list_source
from mnflow.spectra import UNLABELLED, Edge, RawSpectra, SpectrumSet
from mnflow.spectra.arrays import Floats32, Ints


def load_references(source: str, seed: int, edge: Edge) -> "References":
    """Reference spectra from a folder or file, or simulated with unseen instruments and materials."""
    from mnflow.simulate import simulate_references

    if source != "simulated":
        return read_references(Path(source), edge)
    with TemporaryDirectory() as folder:
        simulate_references(Path(folder), seed, Path(edge.element.lower()))
        return read_references(Path(folder), edge)


@dataclass(frozen=True)
class References:
    """Spectra of other laboratories, cut to what a net takes.

    Attributes
    ----------
    spectra : SpectrumSet
        N spectra on the crop window (N, n_crop), not normalised; mixed valences are `UNLABELLED`.
    valence_text : ndarray of str, shape (N,)
        The manifest's own words, e.g. "Mn2+/Mn3+".
    moved_bins : ndarray of int64, shape (N,)
        By how many channels each window was moved from the nominal one to meet the spectrum.
    raws : list of RawSpectra
        The files as they were read, of one spectrum or more each.
    """

    spectra: SpectrumSet
    valence_text: NDArray[np.str_]
    moved_bins: Ints
    raws: list[RawSpectra]


def read_references(source: str | Path, edge: Edge) -> References:
    """Read reference spectra from any source that `list_source` knows, background removed or not.

    Each is resampled in eV onto the edge's dispersion and cut as `place_windows` does, never stretched. A
    valence that is none of the edge's classes, such as "Mn2+/Mn3+", leaves its spectra unlabelled.

    Raises `InputError` if there is nothing to read, a file cannot be read, or a spectrum does not hold the
    edge.
    """
    parts = [
        _placed(read_file(path, valence, group, edge), edge)
        for path, valence, group in list_source(source, edge)
    ]
    crops, moved, names, raws = zip(*parts, strict=True)
    sizes = [len(raw) for raw in raws]
    text = np.repeat([raw.valence or "unknown" for raw in raws], sizes)
    labels = np.array([edge.classes.index(t) if t in edge.classes else UNLABELLED for t in text])
    groups = np.repeat([raw.group for raw in raws], sizes)
    where = f"references {Path(source).name}"
    spectra = SpectrumSet(
        edge.crop_axis_ev, np.concatenate(crops), labels, groups, edge, where, np.concatenate(names)
    )
    return References(spectra, text, np.concatenate(moved), list(raws))


def _placed(raw: RawSpectra, edge: Edge) -> tuple[Floats32, Ints, NDArray[np.str_], RawSpectra]:
    """Crops (N, n_crop) of one file, the channels by which each window moved, names, and the file."""
    several = len(raw) > 1
    names = np.array([f"{raw.path.name} [{i}]" if several else raw.path.name for i in range(len(raw))])
    placed = place_windows(raw.energy_ev, np.asarray(raw.counts), edge, raw.background_removed, str(raw.path))
    for name, fault in zip(names, placed.faults.tolist(), strict=True):
        if REASONS[fault] in ("not finite", "empty"):
            raise InputError(
                f"{raw.path.parent / name}: expected a spectrum, got one that is {REASONS[fault]}."
            )
    return placed.intensity, placed.moved_bins, names, raw
