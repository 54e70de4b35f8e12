"""What known spectra look like, and how often `mnflow.serve.novelty` is wrong about spectrum images it has not seen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.serve.novelty import Novelty, Scores, aligned, locate

COMPONENTS = 8
"""Principal components of known spectra."""

FALSE_ALARMS = 0.02
"""Share of known spectra that the limits are meant to give up, a third of them for each."""

PARTS = 5
"""Parts of the groups: what is held out is scored by what the others made."""


def fit_novelty(crops: NDArray[np.float32], group: NDArray[np.str_], rng: np.random.Generator) -> Novelty:
    """Learn what known crops (M, n_crop) look like; no group (spectrum image) makes the limits that it is judged by.

    Raises
    ------
    InputError
        If there are fewer groups than two.
    """
    names = rng.permutation(np.unique(group))
    if len(names) < 2:
        raise InputError(f"Expected spectra of two spectrum images or more, to see what is common to them; got {len(names)}.")
    parts = [np.isin(group, names[i::PARTS]) for i in range(min(PARTS, len(names)))]
    held_out = _held_out_scores(crops, parts)
    alarms = [_beyond(held_out, _limits([s[~part] for s in held_out]))[part] for part in parts]
    known = _basis(crops)
    slope = _noise_slope(known.scores(locate(crops)))
    return replace(known, noise_slope=slope, limits=_limits(held_out), false_alarm_rate=float(np.concatenate(alarms).mean()))


def _held_out_scores(crops: NDArray[np.float32], parts: Sequence[NDArray[np.bool_]]) -> Scores:
    """Scores of all crops, each part's by what the other parts made."""
    scores = [np.empty(len(crops), dtype=np.float32) for _ in Scores._fields]
    for part in parts:
        known = _basis(crops[~part])
        known = replace(known, noise_slope=_noise_slope(known.scores(locate(crops[~part]))))
        for all_scores, mine in zip(scores, known.scores(locate(crops[part])), strict=True):
            all_scores[part] = mine
    return Scores(*scores)


def _basis(crops: NDArray[np.float32]) -> Novelty:
    spectra = aligned(locate(crops), [1.0])[0]
    mean = spectra.mean(axis=0)
    centred = spectra - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return Novelty(mean, np.ascontiguousarray(vectors[:, : -COMPONENTS - 1 : -1].T))


def _noise_slope(scores: Scores) -> float:
    """Slope of the line through the upper ends of the residual in bins of noise: the residual that noise explains."""
    order = np.argsort(scores.noise)
    bins = np.array_split(order, 12)
    noise = [float(np.median(scores.noise[b])) for b in bins]
    upper = [float(np.quantile(scores.residual[b], 0.97)) for b in bins]
    return max(0.0, float(np.polyfit(noise, upper, 1)[0]))


def _limits(scores: Sequence[NDArray[np.float32]]) -> tuple[float, float, float]:
    noise, residual, stretch = (float(np.quantile(s, 1 - FALSE_ALARMS / 3)) for s in scores)
    return noise, residual, stretch


def _beyond(scores: Scores, limits: tuple[float, float, float]) -> NDArray[np.bool_]:
    return np.asarray((np.stack(scores, axis=1) > np.array(limits)).any(axis=1))
