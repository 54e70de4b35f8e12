"""What the simulator lacks to fit measured pure spectra exactly: one piece of physics at a time.

`MNFLOW_REAL_DATA=FOLDER python -m benchmarks.best_fits [--element mn]` fits each measured pure spectrum by
each class alone and prints a JSON line for every spectrum and freedom: the distance of the best fit by its
own class, and by the best other. Freedoms are a slope that the background leaves; several sites of the ion;
where the continuum begins; an electron yield that saturates (of X-ray spectra; Nakajima et al. 1999,
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
        mean = np.mean([s["intensity"] for s in spectra], axis=0)
        cuts, _ = cut([dict(zip(FIELDS, (spectra[0]["energy_ev"], mean.tolist()), strict=True))], edge)
        crop, own = np.asarray(cuts[0].crop, dtype=float), edge.charges.index(int(bounds[0]))
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
