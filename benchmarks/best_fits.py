"""What the simulator lacks to fit measured pure spectra exactly: one piece of physics at a time.

`MNFLOW_REAL_DATA=FOLDER python -m benchmarks.best_fits [--element mn]` fits each measured pure spectrum by
each class alone and prints JSON lines: what distance the noise of a spectrum would leave by itself, and how
far one of several spectra lies from their mean; and for every freedom the distance of the best fit by its own
class, and by the best other. Freedoms are a slope that the background leaves; several sites of the ion; where
the continuum begins; an electron yield that saturates (of X-ray spectra; Nakajima et al. 1999,
https://doi.org/10.1103/PhysRevB.59.6421); and more stick spectra from the same ranges.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import emit
from benchmarks.posterior import measured
from mnflow.fit.refinement import COMMON, CONTINUUM, OWN, Problem, State
from mnflow.fit.simulator import distance, problem_of
from mnflow.fit.stick_bank import WINDOW_EV, Bank, bank_from, bank_of
from mnflow.serve.request import FIELDS, cut
from mnflow.simulate.library import compute
from mnflow.simulate.settings import settings_of
from mnflow.spectra import Edge
from mnflow.spectra.arrays import Array

SITES = 3
"""Stick spectra of one class that may be in a pure compound."""

STARTS = [CONTINUUM, *({**CONTINUUM, "delay_ev": d, "width_ev": w} for d in (0.5, 4.0) for w in (1.5, 5.0))]
"""Of the continuum: within the ranges of the settings."""

SATURATION = (0.0, 0.1, 0.2, 0.3, 0.4)
"""An absorption x is seen as x / (1 + s x): values of s."""

MANY = 20
"""Spectra whose halves tell the noise of their mean."""

MEDIAN_OF_GAUSSIAN = 0.6745
"""Of absolute values, in standard deviations."""

FINER = 5
"""Times as many stick spectra."""


@dataclass(frozen=True)
class Freedom:
    """What is free beyond `mnflow fit`."""

    slope: bool = False
    sites: int = 1
    continuum: bool = False
    saturation: bool = False
    finer: bool = False


FREEDOMS = {
    "as fitted": Freedom(),
    "slope": Freedom(slope=True),
    "sites": Freedom(sites=SITES),
    "continuum": Freedom(continuum=True),
    "saturation": Freedom(saturation=True),
    "more stick spectra": Freedom(finer=True),
    "slope, sites": Freedom(slope=True, sites=SITES),
    "slope, sites, continuum": Freedom(slope=True, sites=SITES, continuum=True),
}


@dataclass(frozen=True)
class WithSlope(Problem):
    """A problem with a straight line under the spectrum."""

    def columns(self, rows: Array, z: Array, own_of: Array) -> Array:
        """As of `Problem`, with the line's column and minus it."""
        line = self.place_ev / WINDOW_EV[1]
        return np.column_stack([super().columns(rows, z, own_of), line, -line])


def problems(crop: Array, edge: Edge, name: str, bank: Bank, freedom: Freedom) -> Iterator[Problem]:
    """A problem for every start of the continuum and every saturation that is tried."""
    problem, _ = problem_of(crop, edge, [name], bank)
    kind = WithSlope if freedom.slope else Problem
    for steps in STARTS if freedom.continuum else [CONTINUUM]:
        for s in SATURATION if freedom.saturation else [0.0]:
            absorbed = problem.target / (1 + s - s * problem.target)
            yield kind(bank, problem.place_ev, absorbed, problem.classes, steps=steps)


def best_distance(problem: Problem, sites: int) -> float:
    """Distance of the best fit by one class and so many of its stick spectra."""
    best = min((problem.refined(start) for start in problem.starts()), key=lambda s: s.cost)
    if sites > 1:
        all_rows = np.flatnonzero(problem.bank.valence == problem.classes[0])
        amounts, _ = problem.solved(problem.columns(all_rows, best.z, np.zeros(len(all_rows), dtype=int)))
        rows = all_rows[np.argsort(-amounts[: len(all_rows)])[:sites]]
        own = np.tile(best.z[len(COMMON) : len(COMMON) + len(OWN)], sites)
        more = problem.refined(State(tuple(rows.tolist()), np.concatenate([best.z[: len(COMMON)], own])))
        best = min(best, more, key=lambda s: s.cost)
    columns = problem.columns(np.array(best.rows), best.z, np.arange(len(best.rows)))
    return distance(problem.target, columns @ problem.solved(columns)[0])


def crop_of(energy_ev: Array, intensity: Array, edge: Edge) -> Array:
    """The crop that `mnflow fit` fits."""
    cuts, _ = cut([dict(zip(FIELDS, (energy_ev.tolist(), intensity.tolist()), strict=True))], edge)
    return np.asarray(cuts[0].crop, dtype=float)


def noise_distance(energy_ev: Array, spectra: Array, edge: Edge, bank: Bank) -> float:
    """Distance that the noise of the mean of `spectra` (N, C) leaves where it is fitted.

    Of many spectra from random halves, whose differences also hold noise that neighbouring channels share; of
    one from its fourth differences, which take the curvature of sharp lines for noise: at most so much.
    """
    if len(spectra) >= MANY:
        order = np.random.default_rng(0).permutation(len(spectra))
        _, channels = problem_of(crop_of(energy_ev, spectra.mean(axis=0), edge), edge, [], bank)
        halves = [crop_of(energy_ev, spectra[order[i::2]].mean(axis=0), edge)[channels] for i in (0, 1)]
        return distance(*halves) / 2
    mean = spectra.mean(axis=0)  # on its own channels: a crop is resampled, which smooths
    place_ev = energy_ev - energy_ev[mean.argmax()]
    shape = mean[(place_ev >= WINDOW_EV[0]) & (place_ev <= WINDOW_EV[1])]
    sd = np.median(np.abs(np.diff(shape, 4))) / MEDIAN_OF_GAUSSIAN / np.sqrt(70)  # 1 + 16 + 36 + 16 + 1
    return float(sd * np.sqrt(len(shape)) / np.linalg.norm(shape - shape.mean()))


def single_distance(energy_ev: Array, spectra: Array, edge: Edge, bank: Bank) -> float:
    """Median distance of single spectra (N, C) from their mean, each placed at its own L3."""
    mean = problem_of(crop_of(energy_ev, spectra.mean(axis=0), edge), edge, [], bank)[0].target
    singles = (problem_of(crop_of(energy_ev, s, edge), edge, [], bank)[0].target for s in spectra)
    pairs = ((single, mean[: len(single)]) for single in singles)
    return float(np.median([distance(single[: len(part)], part) for single, part in pairs]))


def finer_bank(element: str) -> Bank:
    """`FINER` times as many stick spectra of the same ranges, other draws."""
    settings = settings_of(element)
    more = [
        replace(v, site=tuple(replace(s, entries=FINER * s.entries) for s in v.site), foreign_site=())
        for v in settings.valence
    ]
    drawn = compute(replace(settings, library_seed=settings.library_seed + 1, valence=tuple(more)))
    return bank_from(settings, drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--element", default="mn")
    parser.add_argument("--only", nargs="+", default=list(FREEDOMS), choices=list(FREEDOMS))
    options = parser.parse_args()
    edge, banks = settings_of(options.element).edge, {False: bank_of(options.element)}
    if any(FREEDOMS[name].finer for name in options.only):
        banks[True] = finer_bank(options.element)
    for name, bounds, spectra in measured(Path(os.environ["MNFLOW_REAL_DATA"])):
        if bounds is None or bounds[0] != bounds[1]:
            continue
        energy_ev, counts = np.asarray(spectra[0]["energy_ev"]), np.array([s["intensity"] for s in spectra])
        seen = energy_ev, counts, edge, banks[False]
        noise, single = noise_distance(*seen), single_distance(*seen)
        emit("best_fits/noise", spectrum=name, n=len(spectra), distance=noise, of_one=single)
        crop = crop_of(energy_ev, counts.mean(axis=0), edge)
        own = edge.charges.index(int(bounds[0]))
        for words in options.only:
            freedom = FREEDOMS[words]
            found: list[Any] = [
                min(
                    best_distance(p, freedom.sites)
                    for p in problems(crop, edge, label, banks[freedom.finer], freedom)
                )
                for label in edge.classes
            ]
            mine, other = found[own], min(v for i, v in enumerate(found) if i != own)
            emit("best_fits", spectrum=name, free=words, own=mine, other=other, other_by_own=other / mine)


if __name__ == "__main__":
    main()
