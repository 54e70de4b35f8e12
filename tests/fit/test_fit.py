"""Numbers of the whole folder, held: mixtures, shares, banks of sticks, fits, intervals, novelty.

Half precision, iterations and other processors' rounding leave three digits.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnflow.fit import mixture_errors
from mnflow.fit.intervals import calibrate
from mnflow.fit.layers import fit_layers, new_layers
from mnflow.fit.mixtures import USUAL, Conditions, Materials, Mixtures, Sets, draw_fractions, mix, parted
from mnflow.fit.out_of_distribution import draw, fit_novelty
from mnflow.fit.posterior import cells_of, thickness_masses
from mnflow.fit.refinement import State, alternatives, curvature, standard_deviations
from mnflow.fit.simulator import problem_of
from mnflow.fit.stick_bank import bank_of, screens_of
from mnflow.serve.novelty import locate
from mnflow.serve.pretrained import pretrained
from mnflow.simulate.library import library_of
from mnflow.simulate.physics.lineshape import LineShape
from mnflow.simulate.settings import settings_of
from mnflow.spectra import MN
from tests.helpers.kept_numbers import check, keep
from tests.helpers.nets import made_up_net

KEPT = Path(__file__).parent / "kept_numbers.json"
TOLERANCE = 2e-3


def _sets(n: int = 40, foreign: bool = False, conditions: Conditions = USUAL) -> Sets:
    settings, rng = settings_of("Mn"), np.random.default_rng(int(foreign))
    materials = Materials.draw(settings, parted(library_of(settings))[1], 4, rng, foreign)
    return materials.sets(n, rng, conditions)


def _mixtures(n: int = 40) -> Mixtures:
    return mix(_sets(n).pure, np.random.default_rng(2))


def _drawn(foreign: bool, conditions: Conditions) -> dict[str, Any]:
    sets = _sets(40, foreign, conditions)
    mixed = mix(sets.pure, np.random.default_rng(5), conditions=conditions)
    return {
        "pure": sets.pure, "thickness": sets.thickness, "resolution_ev": sets.resolution_ev,
        "of classes": sets.pure.mean(axis=(0, 2), dtype=float),
        "of sets": sets.pure.mean(axis=(1, 2), dtype=float),
        "crops": mixed.crops, "fractions": mixed.fractions, "noise": mixed.noise,
        "spread": mixed.crops.std(axis=1), "steps": np.diff(mixed.crops, axis=1).std(axis=1),
    }  # fmt: skip


def _library() -> dict[str, Any]:
    library = library_of(settings_of("Mn"))
    return {str(i): [*p.strength.shape, p.valence.sum()] for i, p in enumerate(parted(library))}


def _bank() -> dict[str, Any]:
    bank = bank_of("Mn")
    lines = bank.lines(np.array([0, 60, 120]), LineShape(0.3, 0.5, 0.1, 2.0, l2_shift_ev=0.5, l2_factor=0.9))
    seen = bank.seen(lines, 0.7, 0.8, np.array([0.0, 0.5, -1.0]))
    screen = screens_of(bank, 1)[3]
    return {
        "lines": np.abs(lines).mean(axis=1), "seen": seen, "rows": (seen**2).sum(axis=1), "l2_ev": bank.l2_ev,
        "on window": bank.on_window(seen, np.linspace(-5, 15, 50)),
        "aligned": screen.aligned.mean(axis=1), "maximum_ev": screen.maximum_ev,
    }  # fmt: skip


def _crop(fractions: list[float], noise: float) -> np.ndarray:
    quiet = Conditions((0.4, 0.4), 0.0, 0.0, 0.0, 0.0, 0.0)
    shares = np.array([fractions])
    pure = _sets(1, conditions=quiet).pure
    return mix(pure, np.random.default_rng(1), {0.0: noise, 1.0: noise}, shares, quiet).crops[0]


def _at_a_state() -> dict[str, Any]:
    """What a fit computes at one place: the way to the best is another on every processor."""
    bank = bank_of("Mn")
    problem, _ = problem_of(_crop([0.3, 0.7, 0.0], 0.004), MN, (), bank)
    rows = np.array([np.flatnonzero(bank.valence == k)[5 + k] for k in (0, 1)])
    z = np.array([0.3, 1.002, 0.5, 0.9, 0.6, 0.95, 0.1, 2.0, 0.1, 0.15, 2.5, -0.1])
    jacobian = np.random.default_rng(0).normal(size=(len(problem.target), len(z)))
    state = State(tuple(rows.tolist()), z, 1.0, jacobian)
    columns = problem.columns(rows, z, np.arange(2))
    weights, shares, chosen = alternatives(problem, state, 0.05)
    deviations, of_valence = curvature(problem, state, 0.05)
    return {
        "columns": columns, "of each": (columns**2).mean(axis=0), "solved": problem.solved(columns)[1],
        "every class": problem.of_all_classes(state), "weights": np.sort(weights),
        "shares": shares.mean(axis=0), "chosen": chosen.shape, "curvature": [*deviations, of_valence],
        "deviations": standard_deviations(problem, state, 0.05), "target": problem.target,
        "place_ev": problem.place_ev, "noise": problem.noise,
    }  # fmt: skip


def _layers() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    layers = new_layers((6, 8, 3), rng)
    x = rng.normal(size=(20, 32, 6)).astype(np.float32)
    y = np.stack([np.abs(x[..., i : i + 2]).sum(axis=-1) for i in range(3)], axis=-1)
    y /= y.sum(axis=-1, keepdims=True)
    losses: list[float] = []
    batches = zip(x, y.astype(np.float32), strict=True)
    fit_layers(batches, 20, layers, lambda _, loss: losses.append(loss), 0.01)
    split = new_layers((6, 8, 3), rng)
    fit_layers(zip(x, 2 * y.astype(np.float32), strict=True), 20, split, splits=(1,))
    arrays = [*layers[0], *layers[1], *split[0], *split[1]]
    return {"losses": losses, **{str(i): array for i, array in enumerate(arrays)}}


def _calibrated() -> dict[str, Any]:
    posterior = pretrained("Mn").posterior
    assert posterior is not None
    mixtures = _mixtures(300)
    found = calibrate(replace(posterior, calibration=None), mixtures)
    assert found.calibration is not None
    reading = found(locate(mixtures.crops))
    return {
        "limits": found.calibration.limits,
        "edges": found.calibration.noise_edges,
        "low": reading.interval[:, 0],
    }


def _novelty() -> dict[str, Any]:
    mixtures = _mixtures(240)
    group = np.array([f"{i % 6}" for i in range(240)])
    made = fit_novelty(mixtures.crops, group, np.random.default_rng(0), [_mixtures(40).crops[:, ::-1].copy()])
    return {
        "limits": made.limits, "rate": made.false_alarm_rate, "slope": made.noise_slope,
        "scores": np.array(made.scores(locate(mixtures.crops))), "mean": made.mean,
    }  # fmt: skip


def _measured_errors() -> dict[str, Any]:
    read = mixture_errors.draw_and_read(pretrained("Mn"), settings_of("Mn"), np.random.default_rng(1), 60)
    pure = read.sets.pure.astype(np.float32)
    return {
        "error": read.error, "covered": read.covered, "width": read.width,
        "least squares": mixture_errors.least_squares(read.mixtures.crops[:10], pure[:10]),
    }  # fmt: skip


def _of_a_version() -> dict[str, Any]:
    """What a promotion measures of mixtures, on few of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture_errors, "MEASURED", 60)
        found = mixture_errors.measure(replace(pretrained("Mn"), net=made_up_net(2)), seed=1)
        foreign = mixture_errors.draw_and_read(
            pretrained("Mn"), settings_of("Mn"), np.random.default_rng(1), 0, True, mixture_errors.QUIET
        )
    return {**found, "foreign and quiet": foreign.error, "width": foreign.width, "read": len(foreign.truth)}


CASES: dict[str, Callable[[], Any]] = {
    "usual mixtures": partial(_drawn, False, USUAL),
    "foreign mixtures": partial(_drawn, True, USUAL),
    "X-ray mixtures": partial(_drawn, False, Conditions((0.0, 0.5), 1.0, 0.0, 0.0, 0.5, 1.0)),
    "wild mixtures": partial(_drawn, False, Conditions((1.0, 1.5), 0.0, 0.05, 0.5, 0.0, 0.0)),
    "fractions": lambda: draw_fractions(60, 3, np.random.default_rng(0)),
    "fractions of four": lambda: draw_fractions(60, 4, np.random.default_rng(1)),
    "parts of the library": _library,
    "cells": lambda: cells_of(draw_fractions(30, 3, np.random.default_rng(3))).argmax(axis=1),
    "masses": lambda: thickness_masses(np.array([0.0, 0.33, 1.21, np.nan, 1.5])),
    "bank": _bank,
    "at a state": _at_a_state,
    "calibrated": _calibrated,
    "novelty": _novelty,
    "drawn for novelty": lambda: {
        kind: spectra.mean(axis=1) for kind, spectra in draw(MN, np.random.default_rng(0)).items()
    },
    "errors": _measured_errors,
    "errors of a version": _of_a_version,
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_what_they_were_when_they_were_looked_at(name: str) -> None:
    check(CASES, name, KEPT, TOLERANCE)


if __name__ == "__main__":
    keep(CASES, KEPT)
