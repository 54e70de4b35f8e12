"""Calibrate the posterior's intervals on simulated mixtures of materials that its fit never saw."""

from dataclasses import replace

import numpy as np

from mnflow.fit.mixtures import Mixtures
from mnflow.serve.decision import mean_valence_distribution
from mnflow.serve.novelty import locate
from mnflow.serve.posterior import Calibration, Posterior, compositions, probability_below
from mnflow.spectra.arrays import Floats

NOISE_QUANTILES = (0.4, 0.75, 0.92)
"""Between the bins of noise that the intervals are calibrated in."""

AIM, AIM_PURE = 0.925, 0.98
"""Share of the calibration's mixtures that an interval holds, of each valence between the charges, and of
pure compounds of the lowest and highest one: to deny wrongly that a compound is pure is the worse error. For
thick specimens, noise and some compositions it holds up to 0.04 fewer: `COVERAGE` is what nearly all keep.
"""

VALENCE_STEP, NEIGHBOURHOOD, FEW = 0.05, 0.08, 150
"""From one calibrated valence to the next, and how far from it a mixture's may be, or farther until they are
`FEW`.
"""


def calibrate(posterior: Posterior, mixtures: Mixtures) -> Posterior:
    """The posterior with intervals that hold `AIM` of these mixtures, at every mean valence and noise.

    It must not have been fitted to these mixtures.
    """
    located = locate(mixtures.crops)
    cells, charges = compositions(len(posterior.charges)), posterior.charges
    values, mass = mean_valence_distribution(posterior.cells(located), cells, charges)
    truth = np.round(mixtures.fractions @ np.array(charges), 6)
    below = probability_below(values, mass, truth[:, None])[:, 0].astype(np.float64)
    low, high = min(charges), max(charges)
    inside = np.arange(low + VALENCE_STEP, high - 1e-6, VALENCE_STEP)
    valences = np.array([low, low + 0.01, *inside, high - 0.01, high])
    edges = np.quantile(located.noise, NOISE_QUANTILES)
    place = np.searchsorted(edges, located.noise)
    limits = np.empty((len(edges) + 1, len(valences), 2), dtype=np.float32)
    for b, k in np.ndindex(limits.shape[:2]):
        limits[b, k] = _limits(float(valences[k]), truth[place == b], below[place == b], (low, high))
    calibration = Calibration(tuple(edges.tolist()), tuple(valences.tolist()), limits)
    return replace(posterior, calibration=calibration)


def _limits(valence: float, truth: Floats, below: Floats, ends: tuple[float, float]) -> tuple[float, float]:
    """Between which `AIM` of the probabilities `below` lie, of mixtures with a true valence near this one.

    In the middle as many are too low as too high. At an end only those are odd that point away from it.
    """
    pure = np.isin(truth, ends)
    near = np.abs(truth - valence)
    near[pure != (valence in ends)] = np.inf
    n = min(max(np.count_nonzero(near < NEIGHBOURHOOD), FEW), np.count_nonzero(np.isfinite(near)))
    rows = np.argsort(near, kind="stable")[:n]
    odd = 1 - (AIM_PURE if valence in ends else AIM)
    from_low, from_high = valence - ends[0], ends[1] - valence
    too_high = odd / 2 * min(from_low / (2 * VALENCE_STEP), 1)
    too_low = odd / 2 * min(from_high / (2 * VALENCE_STEP), 1)
    too_low, too_high = (odd - too_high, too_high) if from_low < from_high else (too_low, odd - too_low)
    least = np.quantile(below[rows], too_low) if too_low > 0 else 0.0
    greatest = np.quantile(below[rows], 1 - too_high) if too_high > 0 else 1.0
    return float(least), float(greatest)
