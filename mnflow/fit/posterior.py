"""Fit the posterior over compositions to simulated mixtures, and calibrate its intervals on other materials.

`python -m mnflow.fit.posterior mn` makes the shipped predictor of an element anew (a quarter of an hour on
one core), and records how it was made; then `python -m benchmarks.posterior` and
`python -m mnflow.pretrained` measure it and write its card.
"""

import hashlib
import json
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mnflow.fit.intervals import AIM, AIM_PURE, FEW, NEIGHBOURHOOD, NOISE_QUANTILES, VALENCE_STEP, calibrate
from mnflow.fit.layers import PEAK_LEARNING_RATE, fit_layers, new_layers
from mnflow.fit.mixtures import CHUNK, Materials, Sets, mix, parted
from mnflow.fit.out_of_distribution import fit_novelty, other_elements
from mnflow.runtime.files import whole_file
from mnflow.runtime.parallel import ahead
from mnflow.serve.decision import COVERAGE
from mnflow.serve.novelty import locate
from mnflow.serve.posterior import (
    SHARE_STEPS,
    T_OVER_LAMBDA,
    Posterior,
    compositions,
    inputs,
)
from mnflow.serve.predictor import Predictor
from mnflow.serve.pretrained import PRETRAINED, digest
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import SETTINGS, Settings, settings_of
from mnflow.spectra.arrays import Floats, Floats32, Ints

SETS, MATERIALS, EPOCHS = 160_000, 6000, 60
"""Sets of one material per class behind one instrument, materials per class they consist of, and how often
each set is mixed anew.
"""

HIDDEN, BATCH = (1024, 512, 256), 500
"""Hidden units, and mixtures per step of the fit."""

CALIBRATED, CALIBRATION_MATERIALS = 60_000, 1500
"""Mixtures that the intervals are calibrated on, of our simulator and as many of the foreign laboratory, and
materials per class that they are made of.
"""

THICKNESS_WEIGHT = 0.2
"""Of the thickness' cross-entropy beside that of the composition."""

NOVELTY_CROPS, NOVELTY_GROUPS = 8000, 20
"""Mixtures that the shipped predictor's novelty is fitted to, and groups that they are drawn in."""

Progress = Callable[[str], None]


def fit(
    settings: Settings,
    seed: int,
    n: int,
    materials: int,
    epochs: int,
    progress: Progress = lambda line: None,
) -> Posterior:
    """Fit the layers to mixtures of the library's materials (`parted`), without calibrated intervals.

    `n` sets of materials are mixed anew in every epoch, in other compositions and with other noise: no
    mixture is seen twice, so the fit cannot memorise them.
    """
    rng = np.random.default_rng([seed, 0])
    known = Materials.draw(settings, parted(library_of(settings))[0], materials, rng)
    progress(f"{materials} materials per class drawn")
    sets = known.sets(n, rng)
    progress(f"{n} sets of materials drawn")
    return fit_to_sets(sets, epochs, tuple(map(float, settings.edge.charges)), rng, progress)


def fit_to_sets(
    sets: Sets,
    epochs: int,
    charges: tuple[float, ...],
    rng: np.random.Generator,
    progress: Progress = lambda line: None,
    start: Posterior | None = None,
    peak_learning_rate: float = PEAK_LEARNING_RATE,
) -> Posterior:
    """Fit the layers, new ones or those of `start`, to mixtures of `sets`."""
    x = inputs(locate(mix(sets.pure[: 10 * CHUNK], rng).crops))
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    batches = (((x - mean) / scale, y) for x, y in _batches(sets, epochs, rng))
    n = len(sets.pure)
    n_batches = epochs * sum(-(-min(CHUNK, n - i) // BATCH) for i in range(0, n, CHUNK))
    every = max(1, n_batches // 10)

    def report(step: int, loss: float) -> None:
        if step % every == 0:
            progress(f"batch {step} of {n_batches}: cross-entropy {loss:.3f}")

    n_cells = len(compositions(len(charges)))
    if start is None:
        layers = new_layers((len(mean), *HIDDEN, n_cells + len(T_OVER_LAMBDA)), rng)
    else:  # its first layer takes inputs without scaling
        layers = [w.copy() for w in start.weights], [b.copy() for b in start.biases]
        layers[1][0] += mean @ layers[0][0]
        layers[0][0] *= scale[:, None]
    fit_layers(batches, n_batches, layers, report, peak_learning_rate, [n_cells])
    weights, biases = layers
    biases[0] -= (mean / scale) @ weights[0]
    weights[0] /= scale[:, None]
    return Posterior(tuple(weights), tuple(biases), charges)


def _batches(sets: Sets, epochs: int, rng: np.random.Generator) -> Iterator[tuple[Floats32, Floats32]]:
    """Inputs (B, P) and masses (B, M + T) of all sets of materials in every epoch, in random order.

    Mixtures of the next sets are drawn while the layers are fitted to these.
    """

    def drawn(rows: Ints) -> tuple[Floats32, Floats32]:
        mixtures = mix(sets.pure[rows], rng)
        thickness = THICKNESS_WEIGHT * thickness_masses(sets.thickness[rows])
        cells = cells_of(mixtures.fractions)
        return inputs(locate(mixtures.crops)), np.concatenate([cells, thickness], axis=1)

    orders = (rng.permutation(len(sets.pure)) for _ in range(epochs))
    chunks = (order[i : i + CHUNK] for order in orders for i in range(0, len(order), CHUNK))
    for x, y in ahead(map(drawn, chunks)):
        yield from ((x[j : j + BATCH], y[j : j + BATCH]) for j in range(0, len(x), BATCH))


def cells_of(fractions: Floats) -> Floats32:
    """Compositions (N, K) as weights (N, M) on the nearest cells, at most K, whose mean is the composition.

    Barycentric coordinates in Freudenthal's triangulation of the cumulated shares.
    """
    n, n_classes = fractions.shape
    grid = np.round(compositions(n_classes) * SHARE_STEPS).astype(int)
    place = np.full((SHARE_STEPS + 1,) * n_classes, -1)
    place[tuple(grid.T)] = np.arange(len(grid))
    cumulated = np.clip(np.cumsum(fractions * SHARE_STEPS, axis=1)[:, :-1], 0, SHARE_STEPS)
    corner = np.floor(cumulated + 1e-9).astype(int)  # (N, K - 1)
    rest = np.clip(cumulated - corner, 0, 1)
    order = np.argsort(-rest, axis=1, kind="stable")
    ordered = np.take_along_axis(rest, order, axis=1)
    weight = -np.diff(ordered, axis=1, prepend=1, append=0)  # (N, K)
    found, rows = np.zeros((n, len(grid)), dtype=np.float32), np.arange(n)
    for i in range(n_classes):
        shares = np.diff(corner, axis=1, prepend=0, append=SHARE_STEPS)
        used = weight[:, i] > 1e-9
        found[rows[used], place[tuple(shares[used].T)]] += weight[used, i]
        if i < n_classes - 1:
            corner[rows, order[:, i]] += 1
    return found


def thickness_masses(t_over_lambda: Floats) -> Floats32:
    """Relative thicknesses (N,) as masses (N, T) on the nearest two of `T_OVER_LAMBDA`; none where NaN."""
    step = T_OVER_LAMBDA[1]
    return np.maximum(
        1 - np.abs(np.nan_to_num(t_over_lambda, nan=-1)[:, None] - T_OVER_LAMBDA) / step, 0
    ).astype(np.float32)


def build(settings: Settings, seed: int = 0, progress: Progress = lambda line: None) -> Predictor:
    """Make an element's shipped predictor: posterior, calibrated intervals and novelty score."""
    posterior = fit(settings, seed, SETS, MATERIALS, EPOCHS, progress)
    rng = np.random.default_rng([seed, 1])
    library = library_of(settings)
    unseen, foreign = (
        Materials.draw(settings, parted(library)[1], CALIBRATION_MATERIALS, rng, elsewhere)
        for elsewhere in (False, True)
    )
    pure = np.concatenate([materials.sets(CALIBRATED, rng).pure for materials in (unseen, foreign)])
    posterior = calibrate(posterior, mix(pure, rng))
    progress("intervals calibrated")
    known = mix(unseen.sets(NOVELTY_CROPS, rng).pure, rng)
    group = np.array([f"{i % NOVELTY_GROUPS}" for i in range(NOVELTY_CROPS)])
    novelty = fit_novelty(known.crops, group, rng, other_elements(settings.edge, rng))
    facts = {"fitted_by": "mnflow.fit.posterior", "seed": str(seed), "element": settings.edge.element}
    return Predictor(settings.edge, posterior, novelty=novelty, facts=facts)


def recipe(element: str, seed: int = 0) -> dict[str, Any]:
    """What the shipped predictor follows from: constants of the fit, settings, and what the simulator draws.

    `probe` stands for the simulator's code: a few mixtures as the fit draws them, in every tenth channel.
    Code that was only rewritten gives the same; other physics, other distributions or another order of
    random draws do not, and then the shipped predictor is not what `main` makes.
    """
    settings, rng = settings_of(element), np.random.default_rng([seed, 2])
    sets = Materials.draw(settings, parted(library_of(settings))[0], 2, rng).sets(4, rng)
    table = tomllib.loads((SETTINGS / f"{element.lower()}.toml").read_text(encoding="utf-8"))
    return {
        "seed": seed,
        "sets": SETS,
        "materials_per_class": MATERIALS,
        "epochs": EPOCHS,
        "hidden_units": list(HIDDEN),
        "batch": BATCH,
        "thickness_weight": THICKNESS_WEIGHT,
        "peak_learning_rate": PEAK_LEARNING_RATE,
        "calibration_mixtures": CALIBRATED,
        "calibration_materials_per_class": CALIBRATION_MATERIALS,
        "calibration_quantiles": list(NOISE_QUANTILES),
        "calibration_neighbours": [VALENCE_STEP, NEIGHBOURHOOD, FEW],
        "calibration_aim": [AIM, AIM_PURE],
        "coverage": COVERAGE,
        "novelty_crops": NOVELTY_CROPS,
        "novelty_groups": NOVELTY_GROUPS,
        "settings": hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest(),
        "probe": np.round(mix(sets.pure, rng).crops[:, ::10].astype(float), 4).tolist(),
    }


def record_making(path: Path, element: str) -> Path:
    """Write beside a predictor which file it is and what it was made from; returns the record's path."""
    record = {
        "sha256": digest(path),
        "command": f"python -m mnflow.fit.posterior {element.lower()}",
        "recipe": recipe(element),
    }
    made = path.with_name(f"{path.stem}-made.json")
    with whole_file(made) as part:
        part.write_text(json.dumps(record, indent=1) + "\n")
    return made


def main(element: str) -> Path:
    """Fit and save the shipped predictor of an element, and how it was made; returns its path."""
    start = time.monotonic()
    predictor = build(
        settings_of(element),
        progress=lambda line: print(f"{time.monotonic() - start:5.0f} s  {line}", flush=True),
    )
    path = predictor.save(PRETRAINED / f"{element.lower()}.npz")
    record_making(path, element)
    return path


if __name__ == "__main__":
    print(main(sys.argv[1]))
