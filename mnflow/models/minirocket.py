"""MiniRocket's features: how often a spectrum's convolutions with fixed kernels exceed learnt thresholds."""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mnflow.spectra.arrays import Floats32

_LENGTH = 9  # of a kernel: three weights are 2, six are -1, so that a level gives zero
_KERNELS = tuple(combinations(range(_LENGTH), 3))
_DILATIONS = (1, 2, 4, 8, 16, 32)
_CHUNK = 256  # spectra at a time: what lies between stays in the processor's cache


class MiniRocket(TransformerMixin, BaseEstimator):
    """Shares of positive values of 84 kernels at six dilations, (N, C) -> (N, 84 * 6 * thresholds).

    After Dempster, Schmidt & Webb (2021), https://doi.org/10.1145/3447548.3467231, with padding everywhere
    and fewer thresholds than the authors' 10,000 features need.

    Parameters
    ----------
    thresholds : int
        Per kernel and dilation: quantiles of the convolutions of training spectra drawn at random.
    seed : int
        Of that draw.
    """

    def __init__(self, thresholds: int = 2, seed: int = 0) -> None:
        self.thresholds = thresholds
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> "MiniRocket":
        """Learn the thresholds from spectra (N, C)."""
        spectra = np.asarray(validate_data(self, X, dtype=np.float32))
        rng = np.random.default_rng(self.seed)
        drawn = spectra[rng.integers(0, len(spectra), min(len(spectra), 64))]
        places = (np.arange(self.thresholds) + 1) / (self.thresholds + 1)
        self.thresholds_ = np.stack(
            [
                np.quantile(_convolved(kernel, shifted, level), places)
                for shifted, level in (_shifts(drawn, dilation) for dilation in _DILATIONS)
                for kernel in _KERNELS
            ]
        ).astype(np.float32)  # (dilations * 84, thresholds)
        return self

    def transform(self, X: ArrayLike) -> Floats32:
        """Share of each convolution's values above each threshold."""
        check_is_fitted(self)
        spectra = np.asarray(validate_data(self, X, dtype=np.float32, reset=False))
        out = np.empty((len(spectra), *self.thresholds_.shape), dtype=np.float32)
        for first in range(0, len(spectra), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            for i, dilation in enumerate(_DILATIONS):
                shifted, level = _shifts(spectra[chunk], dilation)
                for j, kernel in enumerate(_KERNELS, start=i * len(_KERNELS)):
                    values = _convolved(kernel, shifted, level)
                    for k, threshold in enumerate(self.thresholds_[j]):
                        out[chunk, j, k] = np.count_nonzero(values > threshold, axis=1) / values.shape[1]
        return out.reshape(len(spectra), -1)


def _shifts(spectra: Floats32, dilation: int) -> tuple[Floats32, Floats32]:
    """Spectra (N, C) seen by each tap of a kernel, (9, N, C), zero beyond the ends; and the sum over taps."""
    reach = _LENGTH // 2 * dilation
    padded = np.pad(spectra, ((0, 0), (reach, reach)))
    shifted = np.stack([padded[:, i * dilation : i * dilation + spectra.shape[1]] for i in range(_LENGTH)])
    return shifted, shifted.sum(axis=0)


def _convolved(kernel: tuple[int, ...], shifted: Floats32, level: Floats32) -> Floats32:
    """2 at the kernel's three taps and -1 at the others: three times the former, less all."""
    first, second, third = kernel
    return 3 * (shifted[first] + shifted[second] + shifted[third]) - level
