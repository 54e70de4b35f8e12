"""Measured references compared with a region's edge: as curves, and as its parts by least squares."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnflow.maps.pixels import mean_spectra
from mnflow.preprocess.crops import normalise
from mnflow.preprocess.window import Placement, placement
from mnflow.read import read_file
from mnflow.spectra.arrays import Floats, Floats32


@dataclass(frozen=True)
class Reference:
    """The mean spectrum of a file, `intensity` (n_crop,) as the model would see it, and the file's name."""

    name: str
    intensity: Floats32


@dataclass(frozen=True)
class Composition:
    """Shares (R,) of R references in an edge's intensity, and what is left, as a share of its norm."""

    shares: Floats
    residual: float


def read_reference(path: str | Path, where: Placement) -> Reference:
    """Read a reference: a file of spectra of one compound, cut to the window of an image's spectra.

    It is not shifted against the image: energies count, so both must be from one instrument.

    Raises
    ------
    InputError
        If the file cannot be read or does not hold the edge.
    """
    raw = read_file(path, edge=where.edge)
    mean = mean_spectra(raw, np.ones((1, len(raw)), dtype=bool))
    own = placement(raw.energy_ev, mean[0], where.edge, str(raw.path), raw.background_removed)
    n_crop = where.edge.n_crop
    there = np.clip(np.arange(n_crop) + where.moved_bins - own.moved_bins, 0, n_crop - 1)
    return Reference(raw.path.stem, normalise(own(mean)[:, there])[0])


def composition_of(intensity: Floats32, references: Sequence[Reference]) -> Composition:
    """The non-negative sum of references, and a constant, that is nearest to an edge (n_crop,).

    Shares are of intensity, not of atoms: references are normalised, and white lines grow with 3d holes.
    """
    from scipy.optimize import nnls  # a third of a second, and the page shows its map without

    columns = np.stack([r.intensity for r in references], axis=1).astype(np.float64)  # (n_crop, R)
    constant = np.ones((len(columns), 1))
    target = np.asarray(intensity, dtype=np.float64)
    found, misfit = nnls(np.concatenate([columns, constant, -constant], axis=1), target)
    weights = found[: len(references)]
    return Composition(weights / max(weights.sum(), 1e-12), float(misfit / np.linalg.norm(target)))
