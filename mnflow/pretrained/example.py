"""The shipped example: a simulated particle of MnO with a shell of Mn3+ on MnO2, as a microscope writes it.

`python -m mnflow.pretrained.example` makes it anew.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mnflow.pretrained.shipped import EXAMPLE
from mnflow.simulate.image import simulate_image
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of
from mnflow.simulate.write import write_hspy

SHAPE = (24, 32)
"""Rows and columns."""

_SEED = 19
_STEP = 2  # channels that are summed: 0.2 eV keeps the file small
_RANGE_EV = (612.0, 690.0)
_CORE, _SHELL = 6.0, 10.0  # radii in pixels
_EDGE_COUNTS = (250_000.0, 300_000.0)  # alike, so that all three phases show in the intensity


def make_example(path: Path = EXAMPLE) -> Path:
    """Simulate and write the example image; returns its path."""
    shipped = settings_of("mn")
    settings = replace(shipped, specimen=replace(shipped.specimen, edge_counts=_EDGE_COUNTS))
    library = library_of(settings)
    images = [
        simulate_image(settings, library, index, SHAPE, 0.6, np.random.default_rng([_SEED, index]))
        for index in range(len(settings.valence))
    ]
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(y - SHAPE[0] / 2, x - 0.45 * SHAPE[1])
    phase = np.where(radius < _CORE, 0, np.where(radius < _SHELL, 1, 2))  # (Y, X)
    counts = np.choose(phase[..., None], [image.counts for image in images])  # (Y, X, C)
    energy_ev = images[0].energy_ev
    first, last = np.searchsorted(energy_ev, _RANGE_EV)
    last -= (last - first) % _STEP
    binned = counts[..., first:last].reshape(*SHAPE, -1, _STEP).sum(axis=-1)
    axis = energy_ev[first:last].reshape(-1, _STEP).mean(axis=1)
    write_hspy(path, np.round(binned).astype(np.int32), axis, "Simulated particle", 200.0, 0.02)
    return path


if __name__ == "__main__":
    print(make_example())
