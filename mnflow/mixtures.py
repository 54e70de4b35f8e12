"""Mixtures of valences: drawn from held-out spectra, to see how far a mean valence can be believed, beside least squares."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from mnflow.augment import crops, fit_noise, max_shift_bins, to_unit_range
from mnflow.folds import Fold
from mnflow.serve.net import Net, softmax
from mnflow.serve.novelty import SMOOTHING, aligned, l3_channel, moving_average
from mnflow.spectra import SpectrumSet

NOISE = (0.004, 0.036)
"""Standard deviation of the noise in acquired spectra, 5 and 95 percentile, as a share of the peak (Mn oxides, acquired)."""

_PURE, _PAIRS = 0.1, 0.6  # shares of mixtures with one and with two valences


DRAWN = 400
"""Mixtures that are drawn from every fold's test spectra."""


class MixtureTest(NamedTuple):
    """Root mean square errors of the mean valence on mixtures of held-out spectra.

    Attributes
    ----------
    nets : float
        Of the nets: charges weighted by the calibrated probabilities.
    least_squares : float
        Of non-negative least squares with the mean training spectrum of every class, aligned at L3.
    """

    nets: float
    least_squares: float


def draw_mixtures(
    spectra: SpectrumSet, n: int, rng: np.random.Generator, noise_from: SpectrumSet
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Crops (n, n_crop) of random mixtures at random shifts, and the fractions (n, K) of the classes' atoms in them.

    The noise of the spectra (what is noise is learnt from `noise_from`) is taken away before they are mixed and put on
    afterwards, as strong as `NOISE` says. Equal numbers of atoms are taken to give equal areas in the unshifted crop.
    """
    edge, n_classes = spectra.edge, len(spectra.edge.classes)
    noise = fit_noise(to_unit_range(noise_from.intensity, edge))
    cleaned, residual = noise.split(to_unit_range(spectra.intensity, edge))
    start, stop = edge.crop_start, edge.crop_start + edge.n_crop
    floor = cleaned[:, start // 4 : start * 3 // 4].mean(axis=1, keepdims=True)  # before the edge, at any shift
    per_atom = (cleaned - floor) / np.maximum((cleaned[:, start:stop] - floor).mean(axis=1, keepdims=True), 1e-3)
    fractions = _draw_fractions(n, n_classes, rng)
    mixed = np.zeros((n, edge.n_wide), dtype=np.float32)
    for label in range(n_classes):
        pool = np.flatnonzero(spectra.valence == label)
        mixed += fractions[:, label, None].astype(np.float32) * per_atom[rng.choice(pool, n)]
    level = np.exp(rng.uniform(np.log(NOISE[0]), np.log(NOISE[1]), n)).astype(np.float32)
    rough = residual[rng.integers(0, len(residual), n)]
    mixed = to_unit_range(mixed, edge) + rough / rough.std(axis=1, keepdims=True) * level[:, None]
    limit = max_shift_bins(edge)
    return crops(mixed, rng.integers(-limit, limit + 1, n), edge), fractions


def _draw_fractions(n: int, n_classes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    fractions = rng.dirichlet(np.ones(n_classes), n)
    kind = rng.random(n)
    pairs, pure = np.flatnonzero(kind < _PAIRS), np.flatnonzero(kind > 1 - _PURE)
    fractions[pairs, rng.integers(0, n_classes, len(pairs))] = 0
    fractions[pure] = np.eye(n_classes)[rng.integers(0, n_classes, len(pure))]
    return np.asarray(fractions / fractions.sum(axis=1, keepdims=True))


def measure_mixtures(
    net: Net, temperature: float, spectra: SpectrumSet, folds: Sequence[Fold], rng: np.random.Generator
) -> MixtureTest:
    """Mix every fold's test spectra and let its own model read them; folds whose test spectra lack a class are left out."""
    charges = np.array(spectra.edge.charges)
    errors = []
    for i, fold in enumerate(folds):
        if len(np.unique(spectra.valence[fold.test])) < len(charges):
            continue
        known = spectra.select(fold.train)
        mixed, fractions = draw_mixtures(spectra.select(fold.test), DRAWN, rng, known)
        said = softmax(net.only(i).logits(mixed)[0] / temperature), least_squares(mixed, known)
        errors.append(np.stack([(s - fractions) @ charges for s in said]))  # (2, DRAWN)
    rmse = np.sqrt((np.concatenate(errors, axis=1) ** 2).mean(axis=1))
    return MixtureTest(*rmse.tolist())


def least_squares(mixed: NDArray[np.float32], known: SpectrumSet) -> NDArray[np.float64]:
    """Fractions by non-negative least squares with the mean of every class, on spectra that are aligned at L3."""
    start, stop = known.edge.crop_start, known.edge.crop_start + known.edge.n_crop
    means = np.stack([known.intensity[known.valence == k].mean(axis=0) for k in range(len(known.edge.classes))])
    references = _window(means[:, start:stop])
    constant = np.ones((1, references.shape[1]))
    columns = np.concatenate([references, constant, -constant]).T
    found = np.array([nnls(columns, shape)[0][: len(means)] for shape in _window(mixed).astype(np.float64)]) + 1e-9
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _window(crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """The smoothed shape around L3, of unit length: (N, P)."""
    return aligned(moving_average(crops, SMOOTHING), l3_channel(crops), [1.0])[0]
