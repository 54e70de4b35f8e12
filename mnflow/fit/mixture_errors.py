"""Errors of a predictor on simulated mixtures of materials that nothing was fitted to."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from mnflow.fit.mixtures import NOISE, USUAL, Conditions, Materials, Mixtures, Sets, mix, parted
from mnflow.serve.decision import Reading
from mnflow.serve.predictor import Predictor
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import Settings, settings_of
from mnflow.spectra.arrays import Array, Bools, Floats

MEASURED = 3000
"""Mixtures that are measured on, made of a quarter as many materials of every class."""

MEDIAN_NOISE = {0.0: NOISE[0.5], 1.0: NOISE[0.5]}
"""For `mix`: all at the median noise of acquired spectra."""

QUIET = {0.0: 1e-4, 1.0: 1e-4}
"""For `mix`: hardly any noise."""


@dataclass(frozen=True)
class Read:
    """Mixtures with their true composition, and a predictor's reading of them."""

    sets: Sets
    mixtures: Mixtures
    reading: Reading
    truth: Floats

    @property
    def error(self) -> Floats:
        """Of the mean valence, (N,)."""
        return self.reading.mean_valence - self.truth

    @property
    def covered(self) -> Bools:
        """Whether the interval holds the true mean valence, (N,); it may end exactly there."""
        low, high = self.reading.interval.T
        return np.asarray((low <= self.truth + 1e-6) & (self.truth - 1e-6 <= high))

    @property
    def width(self) -> Floats:
        """Of the interval, (N,)."""
        return np.asarray(np.diff(self.reading.interval, axis=1)[:, 0])


def draw_and_read(
    predictor: Predictor,
    settings: Settings,
    rng: np.random.Generator,
    n: int = 0,
    foreign: bool = False,
    noise: dict[float, float] = NOISE,
    conditions: Conditions = USUAL,
) -> Read:
    """Draw and read `n` mixtures (`MEASURED` if 0) of test materials or of the foreign laboratory.

    Test materials are those that `parted` sets aside. Of the foreign laboratory's a sixth calibrates the
    intervals, and another part is drawn from here.
    """
    n, parts = n or MEASURED, parted(library_of(settings))
    materials = Materials.draw(settings, parts[0 if foreign else 2], n // 4, rng, foreign)
    sets = materials.sets(n, rng, conditions)
    mixtures = mix(sets.pure, rng, noise, conditions=conditions)
    truth = mixtures.fractions @ np.array(settings.edge.charges)
    return Read(sets, mixtures, predictor(mixtures.crops).reading, truth)


def measure(predictor: Predictor, seed: int) -> dict[str, float]:
    """Errors, coverage and width on simulated mixtures, for a version's tags.

    Returns
    -------
    dict
        Root mean square errors of the mean valence: `mixture/rmse`, at the median noise of acquired spectra
        `mixture/rmse_median_noise`, of a foreign laboratory's materials `mixture/rmse_foreign`, of charges
        weighted by the nets' probabilities `mixture/rmse_nets` (if there are nets), and of non-negative least
        squares with the very materials that were mixed `mixture/rmse_known_references`. Of the 90 % interval:
        `mixture/coverage`, `mixture/coverage_foreign` and its mean `mixture/interval_width`.
    """
    settings, charges = settings_of(predictor.edge.element), np.array(predictor.edge.charges)
    rng = np.random.default_rng([seed, 1])
    ours, foreign = (draw_and_read(predictor, settings, rng, foreign=f) for f in (False, True))
    quiet = draw_and_read(predictor, settings, rng, noise=MEDIAN_NOISE)
    known = least_squares(ours.mixtures.crops, ours.sets.pure.astype(np.float32)) @ charges
    found = {
        "mixture/rmse": _rms(ours.error),
        "mixture/rmse_median_noise": _rms(quiet.error),
        "mixture/rmse_foreign": _rms(foreign.error),
        "mixture/rmse_known_references": _rms(known - ours.truth),
        "mixture/coverage": float(ours.covered.mean()),
        "mixture/coverage_foreign": float(foreign.covered.mean()),
        "mixture/interval_width": float(ours.width.mean()),
    }
    if predictor.net is not None:
        opinion = predictor.second_opinion(ours.mixtures.crops).mean(axis=0)
        found["mixture/rmse_nets"] = _rms(opinion @ charges - ours.truth)
    return found


def _rms(error: Array) -> float:
    return float(np.sqrt((error**2).mean()))


def least_squares(mixed: Array, references: Array) -> Floats:
    """Fractions (N, K) of spectra (N, C) by non-negative least squares.

    The references are (N or 1, K, C); a constant is fitted beside them.
    """
    n_classes, channels = references.shape[1:]
    constant = np.ones((1, channels))
    found = []
    for spectrum, pure in zip(
        mixed, np.broadcast_to(references, (len(mixed), n_classes, channels)), strict=True
    ):
        columns = np.concatenate([pure, constant, -constant]).T.astype(np.float64)
        found.append(nnls(columns, spectrum.astype(np.float64))[0][:n_classes] + 1e-9)
    return np.asarray(found) / np.sum(found, axis=1, keepdims=True)
