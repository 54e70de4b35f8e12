"""What follows from a posterior over compositions: the only place for the rules of an answer.

| said | is |
|---|---|
| probability of a class | that it has the largest share of the atoms (equal shares count in equal parts) |
| fractions, mean valence | the posterior's means |
| interval | 5 % and 95 % quantile of the mean valence, calibrated, and never without the mean |
| a class | it holds `NAMED_SHARE` of the atoms or more, with a probability of `SURE` or more |
| mixed | otherwise, if no class holds more than `MIXED_SHARE`, with a probability of `SURE` or more |
| undecided | otherwise: several pure compounds are possible, or mixtures as well as a pure one |

The two shares overlap, so that a mixture of 75 and 25 % is never undecided for want of a name: both would be
right. With 0.7 and 0.85, 3 to 4 % of simulated spectra whose largest share is below 0.6 get the name of one
class (with 0.6, 11 to 15 %), and 6 to 8 % of pure compounds no name (3 to 6 %).

Without a posterior, the classifier's probabilities stand for one, on pure compounds only (`pure_cells`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnflow.spectra.arrays import Floats, Ints

NAMED_SHARE, MIXED_SHARE = 0.7, 0.8
"""Share of the atoms from which on a class gives the spectrum its name, and up to which it is a mixture."""

SURE = 0.85
"""Least probability of a name."""

COVERAGE = 0.9
"""Share of the intervals that hold the true mean valence."""

MIXED = "mixed"
"""A name beside the classes; an answer says null for undecided."""

_SAME = 1e-9  # shares and valences that differ by less are equal


@dataclass(frozen=True)
class Reading:
    """What is said of N spectra of K classes.

    Attributes
    ----------
    probabilities : ndarray, shape (N, K)
        That a class has the largest share.
    fractions : ndarray, shape (N, K)
        Expected shares of the atoms.
    mean_valence, spread : ndarray, shape (N,)
        Mean and standard deviation of the mean valence.
    interval : ndarray, shape (N, 2)
        Low and high end of the 90 % interval of the mean valence.
    label : ndarray of int, shape (N,)
        Index of a class; K for mixed, K + 1 for undecided. `labels` names them.
    t_over_lambda : ndarray, shape (N, 3)
        Mean of the relative thickness that plural scattering in the edge shows, and low and high end of its
        90 % interval; NaN where nothing is said of it.
    """

    probabilities: Floats
    fractions: Floats
    mean_valence: Floats
    spread: Floats
    interval: Floats
    label: Ints
    t_over_lambda: Floats

    def with_interval(self, ends: Floats) -> "Reading":
        """The interval between `ends` (N, 2) and around the mean; the mean alone where they are NaN."""
        mean = self.mean_valence
        low, high = np.fmin(ends[:, 0], mean), np.fmax(ends[:, 1], mean)
        return replace(self, interval=np.stack([low, high], axis=1))


def labels(classes: Sequence[str]) -> tuple[str | None, ...]:
    """What the values of `Reading.label` mean: the classes, mixed, and None for undecided."""
    return (*classes, MIXED, None)


def read(cells: Floats, compositions: Floats, distribution: tuple[Floats, Floats]) -> Reading:
    """All parts of an answer from probabilities (N, M) of `compositions` (M, K).

    `distribution` is their `mean_valence_distribution`.
    """
    values, mass = distribution
    mean, *interval = mean_and_interval(values, mass).T
    spread = np.sqrt(np.maximum(mass @ values**2 - mean**2, 0))
    top = compositions.max(axis=1)
    first = compositions >= top[:, None] - _SAME
    probabilities = cells @ (first / first.sum(axis=1, keepdims=True))
    named = cells @ (compositions >= NAMED_SHARE - _SAME)
    mixed = cells @ (top <= MIXED_SHARE + _SAME)
    n_classes = compositions.shape[1]
    label = np.where(mixed >= SURE, n_classes, n_classes + 1)
    label = np.where(named.max(axis=1) >= SURE, named.argmax(axis=1), label)
    unknown = np.full((len(cells), 3), np.nan)
    ends = np.stack(interval, axis=1)
    found = Reading(probabilities, cells @ compositions, mean, spread, ends, label, unknown)
    return found.with_interval(ends)


def mean_valence_distribution(
    cells: Floats, compositions: Floats, charges: Sequence[float]
) -> tuple[Floats, Floats]:
    """The mean valences (V,) that compositions can have, and their probabilities (N, V)."""
    valence = (compositions @ np.asarray(charges)).round(6)
    values, place = np.unique(valence, return_inverse=True)
    return values, cells @ (place[:, None] == np.arange(len(values)))


def mean_and_interval(values: Floats, mass: Floats) -> Floats:
    """Mean, 5 % and 95 % quantile (N, 3) of distributions (N, V) on `values` (V,)."""
    tail = (1 - COVERAGE) / 2
    ends = (quantile(values, mass, level) for level in (tail, 1 - tail))
    return np.stack([mass @ values, *ends], axis=1)


def quantile(values: Floats, mass: Floats, level: float) -> Floats:
    """Quantiles (N,) of distributions (N, V) on `values` (V,), each mass spread halfway to its neighbours.

    That of the first and of the last value stays there: it belongs to pure compounds, whose valence is exact.
    """
    middle = (values[1:] + values[:-1]) / 2
    low = np.concatenate([values[:1], middle[:-1], values[-1:]])
    high = np.concatenate([values[:1], middle[1:], values[-1:]])
    below = np.cumsum(mass, axis=1)
    place = np.minimum((below < level).sum(axis=1), len(values) - 1)
    rows = np.arange(len(mass))
    inside = mass[rows, place]
    share = (level - (below[rows, place] - inside)) / np.maximum(inside, 1e-300)
    return np.asarray(low[place] + np.clip(share, 0, 1) * (high[place] - low[place]))


def pure_cells(probabilities: Any, compositions: Floats) -> Floats:
    """A posterior (N, M) of class probabilities (N, K) that knows of pure compounds only."""
    pure = compositions >= 1 - _SAME  # (M, K)
    return np.asarray(np.asarray(probabilities, dtype=np.float64) @ pure.T)
