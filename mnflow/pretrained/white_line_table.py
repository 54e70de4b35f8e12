"""What mean valences a white-line ratio or distance goes with, from simulated mixtures.

`python -m mnflow.pretrained.white_line_table mn` makes the table that ships, in half a minute, from the
materials that intervals are calibrated on.
"""

import json
import sys
from pathlib import Path

import numpy as np

from mnflow.fit.mixtures import Materials, mix, parted
from mnflow.opinions.white_lines import WhiteLines, measure, table_path
from mnflow.runtime.files import whole_file
from mnflow.serve.novelty import locate
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of
from mnflow.spectra.arrays import Floats

MIXTURES, MATERIALS = 60_000, 1500
"""Mixtures that are measured, and materials per class that they are made of."""

COVERAGE = 0.98
"""Share of the mixtures of about one value that its range holds."""

PARTS = 16
"""Groups of mixtures of about one value."""


def table(values: Floats, valence: Floats) -> dict[str, list[float]]:
    """Median value of each group of mixtures (N,) of about one value, and the range of their valence."""
    groups = np.array_split(np.argsort(values), PARTS)
    tail = (1 - COVERAGE) / 2
    columns = {
        "value": [np.median(values[g]) for g in groups],
        "low": [np.quantile(valence[g], tail) for g in groups],
        "high": [np.quantile(valence[g], 1 - tail) for g in groups],
    }
    return {name: np.round(column, 3).tolist() for name, column in columns.items()}


def make(element: str, seed: int = 0) -> Path:
    """Write an element's table; returns its path."""
    settings, rng = settings_of(element), np.random.default_rng([seed, 5])
    materials = Materials.draw(settings, parted(library_of(settings))[1], MATERIALS, rng)
    mixed = mix(materials.sets(MIXTURES, rng).pure, rng)
    valence = mixed.fractions @ np.array(settings.edge.charges)
    located = locate(mixed.crops)
    lines = measure(located.smooth, located.l3, settings.edge)
    tables = {name: table(getattr(lines, name), valence) for name in WhiteLines._fields}
    path = table_path(element)
    with whole_file(path) as part:
        part.write_text(json.dumps({"charges": settings.edge.charges, **tables}) + "\n")
    return path


if __name__ == "__main__":
    print(make(sys.argv[1]))
