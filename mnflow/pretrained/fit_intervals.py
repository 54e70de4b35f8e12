"""How much wider the intervals of `mnflow fit` have to be than the fit says, from simulated spectra.

`python -m mnflow.pretrained.fit_intervals mn` makes the numbers that ship, in two or three minutes, from the
materials that intervals are calibrated on: the fit does not know them. `benchmarks.simulator_fit` measures
the intervals on others.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnflow.fit.mixtures import Materials, mix, parted
from mnflow.fit.simulator import WIDENED, FitResult, Interval, Widening, fit_crop, widenings_path
from mnflow.fit.stick_bank import bank_of
from mnflow.runtime.files import whole_file
from mnflow.serve.decision import COVERAGE
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import settings_of
from mnflow.spectra.arrays import Floats

SPECTRA = 80
"""Spectra of our simulator that are fitted, and as many of the foreign laboratory."""

CALIBRATION_PART = 1
"""Materials that take part, of `parted`."""

MODEL_SDS, LEAST_SPREAD = np.round(np.arange(0, 0.51, 0.02), 2), 0.01
"""Standard deviations of the model that are tried, and the least of an error."""


def draw_and_fit(
    element: str, part: int, foreign: bool, n: int, rng: np.random.Generator
) -> tuple[list[FitResult], dict[str, Floats]]:
    """Fits of `n` mixtures of a part of the materials, without their sticks, and the truth by `WIDENED`."""
    settings = settings_of(element)
    materials = Materials.draw(settings, parted(library_of(settings))[part], max(n // 4, 10), rng, foreign)
    sets = materials.sets(n, rng)
    mixtures, bank = mix(sets.pure, rng), bank_of(element, known_only=True)
    fits = [fit_crop(crop.astype(float), settings.edge, bank=bank) for crop in mixtures.crops]
    valence = mixtures.fractions @ np.array(settings.edge.charges)
    truth = (valence, mixtures.fractions.ravel(), sets.thickness)
    return fits, dict(zip(WIDENED, truth, strict=True))


def intervals_of(name: str, fits: list[FitResult]) -> list[Interval]:
    """All intervals of what has this name in `WIDENED`."""
    if name == "share":
        return [part.share for found in fits for part in found.parts]
    return [getattr(found, name) for found in fits]


def widening(errors: Sequence[Floats], sds: Sequence[Floats]) -> Widening:
    """The model's standard deviation that makes errors (N,) most likely, and a factor that holds `COVERAGE`.

    One array for each kind of spectra; the factor is that of the kind that needs most, since a user's
    spectrum may be as strange as any of them. Errors are taken to be Laplacian, so that a few wrong fits do
    not decide.
    """
    error, sd = np.concatenate(errors), np.concatenate(sds)
    spreads = np.maximum(np.hypot(sd, MODEL_SDS[:, None]), LEAST_SPREAD)  # (S, N)
    in_spreads = np.abs(error) / spreads
    surprise = np.log(in_spreads.mean(axis=1)) + np.log(spreads).mean(axis=1)
    best = int(surprise.argmin())
    kinds = np.split(in_spreads[best], np.cumsum([len(e) for e in errors])[:-1])
    factor = max(np.quantile(kind, min(COVERAGE * (1 + 1 / len(kind)), 1.0)) for kind in kinds)
    return Widening(float(MODEL_SDS[best]), round(float(factor), 3))


def make(element: str, seed: int = 0) -> Path:
    """Write an element's widenings; returns the path."""
    rng = np.random.default_rng([seed, 6])
    kinds = [draw_and_fit(element, CALIBRATION_PART, foreign, SPECTRA, rng) for foreign in (False, True)]
    made = {}
    for name in WIDENED:
        errors, sds = [], []
        for fits, truth in kinds:
            value, sd = np.array([(i.value, i.sd) for i in intervals_of(name, fits)]).T
            errors.append(value - truth[name])
            sds.append(sd)
        made[name] = widening(errors, sds)
    path = widenings_path(element)
    with whole_file(path) as part:
        part.write_text(json.dumps(made) + "\n")
    return path


if __name__ == "__main__":
    print(make(sys.argv[1]))
