"""Calibrate probabilities on held-out spectra: noise and shifts, temperature, calibration error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from mnflow.augment.energy_shift import max_shift_bins
from mnflow.augment.pca_noise import augment, fit_noise, to_unit_range
from mnflow.folds import Fold
from mnflow.serve.numpy_nets import NumpyNet, softmax
from mnflow.spectra import SpectrumSet
from mnflow.spectra.arrays import Floats, Floats32, Ints

DRAWS = 2
"""How often each held-out spectrum is drawn, each time with another shift and another noise."""

BINS = 15
"""Bins of confidence, as usual for the expected calibration error."""

TEMPERATURES = (0.05, 20.0)
"""Where a temperature is looked for: beyond these the held-out spectra do not determine one."""


@dataclass(frozen=True)
class HeldOut:
    """Fold models' predictions for their test spectra, shifted by up to 5 eV, with up to 5x the noise.

    Attributes
    ----------
    logits : ndarray, shape (M, K)
        Of the one model that had not seen the spectrum.
    truth : ndarray of int, shape (M,)
    fold : ndarray of int, shape (M,)
    index : ndarray of int, shape (M,)
        Which spectrum of the dataset it is.
    crops : ndarray, shape (M, n_crop)
        What the model saw.
    """

    logits: Floats
    truth: Ints
    fold: Ints
    index: Ints
    crops: Floats32

    def fold_accuracy(self) -> Floats:
        """Accuracy of every fold, in the order of their numbers."""
        right = self.logits.argmax(axis=1) == self.truth
        return np.array([right[self.fold == k].mean() for k in np.unique(self.fold)])


def held_out(net: NumpyNet, spectra: SpectrumSet, folds: Sequence[Fold], seed: int) -> HeldOut:
    """Draw shifted and noisy crops of every fold's test spectra, and let its own model read them.

    The same spectra, folds and seed give the same crops for every net, so that nets can be compared in pairs.
    """
    parts = [_one_fold(net.only(i), spectra, fold, seed) for i, fold in enumerate(folds)]
    logits, crops = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    order = np.concatenate([np.tile(f.test, DRAWS) for f in folds])
    number = np.concatenate([np.full(DRAWS * len(f.test), f.number) for f in folds])
    return HeldOut(logits.astype(np.float64), spectra.valence[order], number, order, crops)


def _one_fold(net: NumpyNet, spectra: SpectrumSet, fold: Fold, seed: int) -> tuple[Floats32, Floats32]:
    """Logits (M, K) and crops (M, n_crop) of a fold's test spectra.

    The noise is estimated from the fold's training spectra.
    """
    edge, rng = spectra.edge, np.random.default_rng([seed, fold.number])
    noise = fit_noise(to_unit_range(spectra.intensity[fold.train], edge))
    cleaned, residual = noise.split(to_unit_range(spectra.intensity[fold.test], edge))
    drawn = [augment(cleaned, residual, edge, rng, max_shift_bins(edge)) for _ in range(DRAWS)]
    crops = np.concatenate(drawn)
    return net.logits(crops)[0], crops


def fit_temperature(logits: Floats, truth: Ints) -> float:
    """The temperature within `TEMPERATURES` that makes the truth most likely.

    Guo et al., On calibration of modern neural networks, https://doi.org/10.48550/arXiv.1706.04599. By
    SciPy's minimiser: scikit-learn's temperature scaling wants a classifier that it can fit or call.
    """
    rows = np.arange(len(truth))

    def surprise(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[rows, truth].mean())

    found = minimize_scalar(surprise, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))


def cross_calibrated(held: HeldOut) -> Floats:
    """Probabilities (M, K) of held-out spectra, each fold's with the temperature of the other folds.

    So nothing is evaluated on the spectra that it was fitted to.
    """
    probabilities = np.empty_like(held.logits)
    for k in np.unique(held.fold):
        mine = held.fold == k
        temperature = fit_temperature(held.logits[~mine], held.truth[~mine])
        probabilities[mine] = softmax(held.logits[mine] / temperature)
    return probabilities


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins; `error` is the expected calibration error."""

    confidence: Floats
    accuracy: Floats
    count: Ints
    error: float


def reliability(probabilities: Floats, truth: Ints, bins: int = BINS) -> Reliability:
    """Bin predictions (M, K) by the probability of their favourite class; empty bins are left out."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    sums = (np.bincount(place, weights=w, minlength=bins) for w in (confidence, right))
    mean = [total[filled] / count[filled] for total in sums]
    error = float((count[filled] * np.abs(mean[0] - mean[1])).sum() / count.sum())
    return Reliability(mean[0], mean[1], count[filled], error)
