"""Degraded copies of training spectra, so that a network trained on thin specimens reads thick ones."""

from collections.abc import Sequence

import numpy as np

from mnflow.augment.degrade import Degradation, degrade
from mnflow.folds import Fold
from mnflow.spectra import SpectrumSet


def with_copies(
    spectra: SpectrumSet,
    folds: Sequence[Fold],
    copies: int,
    rng: np.random.Generator,
    by: Degradation | None = None,
) -> tuple[SpectrumSet, list[Fold]]:
    """Add `copies` degraded copies of every spectrum, and those of training spectra to the training sides.

    No copy is tested, and none trains in a fold that tests its original. With k copies, a k + 1 times smaller
    number of random crops costs as much as before.

    Parameters
    ----------
    spectra : SpectrumSet
        N spectra on the edge's wide window.
    folds : sequence of Fold
        Folds over these.
    copies : int
        0 for none.
    rng : Generator
        Source of all draws.
    by : Degradation, optional
        How much worse the copies are.

    Returns
    -------
    SpectrumSet, list of Fold
        (1 + copies) N spectra, the originals first; as many folds as came in.
    """
    n, parts = len(spectra), 1 + copies
    worse = [degrade(spectra.intensity, spectra.edge.dispersion_ev, rng, by) for _ in range(copies)]
    more = SpectrumSet(
        spectra.energy_ev, np.concatenate([spectra.intensity, *worse]), np.tile(spectra.valence, parts),
        np.tile(spectra.group, parts), spectra.edge, spectra.source, np.tile(spectra.name, parts),
    )  # fmt: skip
    return more, [
        Fold(f.number, np.concatenate([f.train + i * n for i in range(parts)]), f.test) for f in folds
    ]
