"""Fit the novelty score and measure its false alarms on spectrum images that it has not seen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mnflow.augment.pca_noise import principal_components
from mnflow.errors import InputError
from mnflow.serve.novelty import Novelty, Scores, aligned, beyond, locate
from mnflow.spectra.arrays import Bools, Floats, Floats32

COMPONENTS = 8
"""Principal components of known spectra."""

STRETCHES = (0.78, 0.81, 0.84, 0.88, 1.15, 1.19, 1.23, 1.28)
"""What makes an unknown element's edge of ours, roughly: its L3 and L2 are closer together or further apart.
"""

PLANES, RIDGE = 256, 0.01
"""Random planes whose sum tells other elements' edges from ours, and the penalty on their coefficients."""

MAX_CROPS = 10_000
"""Most crops that the planes are fitted to."""

FALSE_ALARMS = 0.02
"""Target false-alarm rate, split equally between the three limits."""

PARTS = 5
"""Parts of the groups: what is held out is scored by what the others made."""


def fit_novelty(
    crops: Floats32,
    group: NDArray[np.str_],
    rng: np.random.Generator,
    others: Sequence[Floats32] = (),
) -> Novelty:
    """Fit the novelty score to known crops (M, n_crop).

    No spectrum image (group) sets the limits that are then measured on it.

    Parameters
    ----------
    crops : ndarray, shape (M, n_crop)
        Normalised.
    group : ndarray of str, shape (M,)
        Their spectrum images.
    rng : Generator
        Parts the groups.
    others : sequence of ndarray, shapes (m, n_crop)
        Crops of other elements' edges, an array per element; others are imitated by stretching ours.

    Raises
    ------
    InputError
        If there are fewer groups than two.
    """
    names = rng.permutation(np.unique(group))
    if len(names) < 2:
        raise InputError(
            f"Expected spectra of two spectrum images or more, to see what is common to them; got "
            f"{len(names)}."
        )
    parts = [np.isin(group, names[i::PARTS]) for i in range(min(PARTS, len(names)))]
    foreign = [aligned(locate(one))[0] for one in others]
    held_out = _held_out_scores(crops, parts, foreign)
    alarms = [exceeds(held_out, _limits([s[~part] for s in held_out]))[part] for part in parts]
    known = _learnt(crops, foreign)
    return replace(known, limits=_limits(held_out), false_alarm_rate=float(np.concatenate(alarms).mean()))


def _held_out_scores(crops: Floats32, parts: Sequence[Bools], foreign: Sequence[Floats32]) -> Scores:
    """Scores of all crops, each part's by what the other parts made."""
    scores = [np.empty(len(crops), dtype=np.float32) for _ in Scores._fields]
    for part in parts:
        known = _learnt(crops[~part], foreign)
        for all_scores, mine in zip(scores, known.scores(locate(crops[part])), strict=True):
            all_scores[part] = mine
    return Scores(*scores)


def _learnt(crops: Floats32, foreign: Sequence[Floats32]) -> Novelty:
    """What crops (M, n_crop) look like beside aligned spectra (m, P) of other elements; without limits."""
    located = locate(crops)
    spectra = aligned(located)[0]
    mean = spectra.mean(axis=0)
    centred = spectra - mean
    components = principal_components(centred, COMPONENTS)
    some = locate(crops[:: -(-len(crops) // MAX_CROPS)])
    stretched = aligned(some, STRETCHES).reshape(-1, spectra.shape[1])
    known = Novelty(mean, components, *_planes(aligned(some)[0], [*foreign, stretched]))
    return replace(known, noise_slope=_noise_slope(known.scores(located)))


def _planes(known: Floats32, foreign: Sequence[Floats32]) -> tuple[Floats32, Floats32, Floats32]:
    """Planes (P, H), offsets (H,) and regression coefficients (H,): 0 for known, 1 for OOD spectra.

    The planes are drawn at random, as in extreme learning machines
    (https://doi.org/10.1016/j.neucom.2005.12.126): what is left is a linear problem, whose answer does not
    depend on an order or on the machine's rounding. Every kind of foreign spectra counts alike, and all
    together as much as the known ones.
    """
    rng = np.random.default_rng(0)
    mean, scale = known.mean(axis=0), known.std(axis=0)
    planes = rng.standard_normal((len(mean), PLANES)) / np.sqrt(len(mean)) / np.maximum(scale, 1e-6)[:, None]
    offsets = 0.5 * rng.standard_normal(PLANES) - mean @ planes
    planes, offsets = planes.astype(np.float32), offsets.astype(np.float32)
    (ours, our_squares), *others = (
        _moments(beyond(x, planes, offsets).astype(np.float64)) for x in (known, *foreign)
    )
    theirs, their_squares = (sum(moments) / len(others) for moments in zip(*others, strict=True))
    middle = (ours + theirs) / 2
    covariance = (our_squares + their_squares) / 2 - np.outer(middle, middle)
    covariance += RIDGE * np.trace(covariance) / PLANES * np.eye(PLANES)
    return planes, offsets, np.linalg.solve(covariance, (theirs - middle) / 2).astype(np.float32)


def _moments(values: Floats) -> tuple[Floats, Floats]:
    """Mean (H,) of the rows (N, H), and mean (H, H) of their products."""
    return values.mean(axis=0), values.T @ values / len(values)


def _noise_slope(scores: Scores) -> float:
    """Slope of the residual that noise explains: a line through its upper ends in bins of noise."""
    order = np.argsort(scores.noise)
    bins = np.array_split(order, 12)
    noise = [float(np.median(scores.noise[b])) for b in bins]
    upper = [float(np.quantile(scores.residual[b], 0.97)) for b in bins]
    return max(0.0, float(np.polyfit(noise, upper, 1)[0]))


def _limits(scores: Sequence[Floats32]) -> tuple[float, float, float]:
    noise, residual, other_element = (float(np.quantile(s, 1 - FALSE_ALARMS / 3)) for s in scores)
    return noise, residual, other_element


def exceeds(scores: Scores, limits: tuple[float, float, float]) -> Bools:
    return np.asarray((np.stack(scores, axis=1) > np.array(limits)).any(axis=1))
