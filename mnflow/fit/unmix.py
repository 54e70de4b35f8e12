"""Fractions of valences in a mixture: fitted to simulated mixtures once an element, measured on materials it
never saw.

`python -m mnflow.fit.unmix mn` fits the shipped regression of an element anew (ten minutes); `promote`
measures it again.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mnflow.fit.mixtures import CHUNK, NOISE, Materials, Mixtures, parted
from mnflow.fit.regression import fit_layers
from mnflow.runtime.files import read_arrays, whole_file
from mnflow.serve.novelty import locate
from mnflow.serve.numpy_nets import NumpyNet, softmax
from mnflow.serve.unmix import Unmixer, shapes
from mnflow.simulate.library import library_of
from mnflow.simulate.settings import Settings, is_shipped, settings_of
from mnflow.spectra import Edge

SHIPPED = Path(__file__).with_name("unmixers")

FITTED, MATERIALS, EPOCHS = 240_000, 6000, 30
"""Sets of one material of each class behind one instrument, materials of a class that they are made of, and
how often each set is mixed anew.
"""

HIDDEN, BATCH = (256, 128), 500
"""Hidden units of the regression, and mixtures of a step of its fit."""

MEASURED = 3000
"""Mixtures that are measured on, made of a quarter as many materials of every class."""

_MEDIAN_NOISE = {0.0: NOISE[0.5], 1.0: NOISE[0.5]}


def fit(
    settings: Settings, seed: int, n: int = FITTED, materials: int = MATERIALS, epochs: int = EPOCHS
) -> Unmixer:
    """Fit a regression to mixtures of three quarters of the library's materials; it learns the mean of what
    may be.

    `n` sets of materials are mixed anew in every epoch, in other fractions and with other noise: a mixture
    costs little once an instrument has seen its parts, and a regression that never meets one twice learns
    none by heart.
    """
    rng = np.random.default_rng([seed, 0])
    known = Materials.draw(settings, parted(library_of(settings))[0], materials, rng)
    pure = np.concatenate(
        [_small(known.pure(min(CHUNK, n - i), rng)) for i in range(0, n, CHUNK)]
    )  # (n, K, n_crop)
    x, _ = _mixed_anew(known, pure[: 10 * CHUNK], rng)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    batches = (((x - mean) / scale, y) for x, y in _batches(known, pure, epochs, rng))
    n_batches = epochs * sum(-(-min(CHUNK, n - i) // BATCH) for i in range(0, n, CHUNK))
    weights, biases = fit_layers(batches, n_batches, (len(mean), *HIDDEN, pure.shape[1]), rng)
    biases[0] -= (mean / scale) @ weights[0]
    weights[0] /= scale[:, None]
    return Unmixer(tuple(weights), tuple(biases))


def _small(pure: NDArray[np.float32]) -> NDArray[np.float16]:
    """In half the memory: what is lost is far below any noise."""
    return (pure / pure.max(axis=(1, 2), keepdims=True)).astype(np.float16)


def _batches(
    known: Materials, pure: NDArray[np.float16], epochs: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Shapes (B, P) and fractions (B, K) of all sets of materials in every epoch, in random order."""
    for _ in range(epochs):
        order = rng.permutation(len(pure))
        for i in range(0, len(order), CHUNK):
            x, y = _mixed_anew(known, pure[order[i : i + CHUNK]], rng)
            yield from ((x[j : j + BATCH], y[j : j + BATCH]) for j in range(0, len(x), BATCH))


def _mixed_anew(
    known: Materials, pure: NDArray[np.float16], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mixtures = known.mixed(pure.astype(np.float32), rng)
    return shapes(locate(mixtures.crops)), mixtures.fractions.astype(np.float32)


def shipped(edge: Edge) -> Unmixer | None:
    """The regression that ships for an edge: none for another element than those, or for other classes or
    windows.
    """
    path = SHIPPED / f"{edge.element.lower()}.npz"
    if not (path.exists() and is_shipped(edge.element)) or settings_of(edge.element).edge != edge:
        return None
    return Unmixer.of_arrays(read_arrays(path))


def save(unmixer: Unmixer, path: Path) -> Path:
    """Write a regression for `shipped`."""
    with whole_file(path) as part:
        np.savez_compressed(part, **unmixer.arrays())  # type: ignore[arg-type]
    return path


def measure(unmixer: Unmixer, net: NumpyNet, temperature: float, edge: Edge, seed: int) -> dict[str, float]:
    """Root mean square errors on simulated mixtures whose materials neither the regression nor the nets were
    fitted to.

    Returns
    -------
    dict
        Of the mean valence: `mixture/rmse`, at the median noise of acquired spectra
        `mixture/rmse_median_noise`, and of a foreign laboratory's materials `mixture/rmse_foreign`; beside
        them, charges weighted by the nets' probabilities (`_probabilities`), and non-negative least squares
        with the mean of every class (`_least_squares`) and with the very materials that were mixed
        (`_known_references`). Of the fractions:
        `mixture/fraction_rmse`.
    """
    settings, charges = settings_of(edge.element), np.array(edge.charges)
    library = library_of(settings)
    known, held_out = parted(library)
    rng = np.random.default_rng([seed, 1])
    ours = Materials.draw(settings, held_out, MEASURED // 4, rng).mix(MEASURED, rng)
    foreign = Materials.draw(settings, library, MEASURED // 4, rng, foreign=True).mix(MEASURED, rng)
    quiet = Materials.draw(settings, held_out, MEASURED // 4, rng).mix(MEASURED, rng, _MEDIAN_NOISE)
    pure = Materials.draw(settings, known, MEASURED // 8, rng).mix(MEASURED, rng).pure  # (M, K, n_crop)
    references = np.stack([shapes(locate(pure[:, k])).mean(axis=0) for k in range(len(charges))])  # (K, P)

    def rmse(fractions: NDArray[Any], truth: Mixtures) -> float:
        return float(np.sqrt((((fractions - truth.fractions) @ charges) ** 2).mean()))

    probabilities = softmax(net.logits(ours.crops).astype(np.float64) / temperature).mean(axis=0)
    located = locate(ours.crops)
    found = unmixer(located)
    return {
        "mixture/rmse": rmse(found, ours),
        "mixture/rmse_median_noise": rmse(unmixer(locate(quiet.crops)), quiet),
        "mixture/rmse_foreign": rmse(unmixer(locate(foreign.crops)), foreign),
        "mixture/rmse_probabilities": rmse(probabilities, ours),
        "mixture/rmse_least_squares": rmse(least_squares(shapes(located), references[None]), ours),
        "mixture/rmse_known_references": rmse(least_squares(ours.crops, ours.pure), ours),
        "mixture/fraction_rmse": float(np.sqrt(((found - ours.fractions) ** 2).mean())),
    }


def least_squares(mixed: NDArray[Any], references: NDArray[Any]) -> NDArray[np.float64]:
    """Fractions (N, K) by non-negative least squares of spectra (N, C) with references (N or 1, K, C) and a
    constant.
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


if __name__ == "__main__":
    print(save(fit(settings_of(sys.argv[1]), seed=0), SHIPPED / f"{sys.argv[1].lower()}.npz"))
