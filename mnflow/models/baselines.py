"""Baselines without a network: scikit-learn classifiers of normalised crops.

Every one takes crops (N, n_crop) and valences (N,), and gives probabilities, or what stands for them, (N, K).
With `align=True` the L3 maximum is first moved to where the training spectra have it, which is how
calibration errors are usually met.
"""

from itertools import combinations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted, validate_data

from mnflow.augment.energy_shift import crops, draw_shifts, max_shift_bins
from mnflow.errors import InputError
from mnflow.folds import Fold
from mnflow.models.minirocket import MiniRocket
from mnflow.opinions.white_lines import measure
from mnflow.preprocess import normalise
from mnflow.preprocess.crops import l3_channel
from mnflow.preprocess.resample import moving_average
from mnflow.spectra import MN, Edge, SpectrumSet
from mnflow.spectra.arrays import Floats, Floats32, Ints

METHODS = ("least_squares", "cosine_svm", "random_forest", "nearest_neighbours", "white_lines", "minirocket")
"""Names that `build` knows."""

_SMOOTHING = 5  # channels over which a spectrum is averaged before its maximum is looked for
_TOGETHER = 256  # spectra that are moved together: they stay in the processor's cache
_REACH = 5  # channels on either side of the maximum through which a parabola is put


def build(method: str, align: bool = False, edge: Edge = MN, seed: int = 0) -> Pipeline:
    """An untrained classifier.

    Parameters
    ----------
    method : str
        `least_squares`: non-negative least squares with the mean training spectrum of every class.
        `cosine_svm`: linear support vectors on spectra of unit length. `random_forest`. `nearest_neighbours`:
        5, by angle. `white_lines`: the L3/L2 intensity ratio above a fitted continuum. `minirocket`: ridge
        regression on features of `mnflow.models.minirocket`.
    align : bool
        Move the L3 maximum to its place in the training spectra first.
    edge : Edge
        For the dispersion of the crops.
    seed : int
        Of the forest and the support vectors' solver.

    Raises
    ------
    InputError
        For an unknown method.
    """
    steps: dict[str, list[BaseEstimator]] = {
        "least_squares": [ReferenceLeastSquares()],
        "cosine_svm": [Normalizer(), SoftMargins(LinearSVC(random_state=seed))],
        "random_forest": [RandomForestClassifier(100, min_samples_leaf=2, random_state=seed)],
        "nearest_neighbours": [Normalizer(), KNeighborsClassifier(5)],
        "white_lines": [WhiteLineRatio(edge), GaussianNB()],
        "minirocket": [
            MiniRocket(seed=seed),
            StandardScaler(),
            SoftMargins(RidgeClassifierCV(np.logspace(-3, 3, 7))),
        ],
    }
    if method not in steps:
        raise InputError(f"Unknown baseline {method!r}: expected one of {', '.join(METHODS)}.")
    return make_pipeline(*([AlignEdge()] if align else []), *steps[method])


class Fitted:
    """A trained baseline with the interface of a Keras net."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def predict(self, inputs: ArrayLike) -> Floats32:
        """Probabilities (N, K) of normalised crops (N, n_crop)."""
        return np.asarray(self.pipeline.predict_proba(inputs), dtype=np.float32)


def fit_fold(
    spectra: SpectrumSet, fold: Fold, method: str, align: bool = False, n_crops: int = 0, seed: int = 0
) -> Fitted:
    """Train a baseline on a fold's training spectra, or on `n_crops` randomly shifted crops of each."""
    edge, rng = spectra.edge, np.random.default_rng((seed, fold.number))
    wide, labels = spectra.intensity[fold.train], spectra.valence[fold.train]
    limit = max_shift_bins(edge) if n_crops else 0
    shifts = [draw_shifts(rng, len(wide), limit) for _ in range(max(n_crops, 1))]
    inputs = np.concatenate([crops(wide, shift, edge) for shift in shifts])
    return Fitted(build(method, align, edge, seed).fit(inputs, np.tile(labels, len(shifts))))


class AlignEdge(TransformerMixin, BaseEstimator):
    """Move every crop until its maximum, L3, is where the training spectra's is in the median.

    The maximum is that of a parabola through the channels around it, so that noise and the channels' width
    matter little. What would be cut off at one end is lost, the other end is continued with its end value.
    """

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> "AlignEdge":
        """Learn the median position of the maximum from crops (N, C)."""
        self.position_ = float(np.median(_vertex(validate_data(self, X, dtype=np.float64))))
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Moved and normalised again, (N, C)."""
        check_is_fitted(self)
        crops: Floats = validate_data(self, X, dtype=np.float64, reset=False)
        by = np.clip(_vertex(crops) - self.position_, 1 - crops.shape[1], crops.shape[1] - 1)
        moved = [
            _moved(crops[i : i + _TOGETHER], by[i : i + _TOGETHER]) for i in range(0, len(crops), _TOGETHER)
        ]
        return np.asarray(normalise(np.concatenate(moved)))


def _moved(crops: Floats, by: Floats) -> Floats:
    """Crops (N, C) moved by `by` (N,) channels to the left, linearly between channels."""
    n = crops.shape[1]
    padded = np.pad(crops, ((0, 0), (n, n)), mode="edge")
    whole = np.floor(by).astype(np.int64)
    # one piece of memory a spectrum: an index for every channel takes several times as long
    around = sliding_window_view(padded, n + 1, axis=1)[np.arange(len(crops)), n + whole]  # (N, C + 1)
    low, high = around[:, :-1], around[:, 1:]
    return np.asarray(low + (by - whole)[:, None] * (high - low))


class ReferenceLeastSquares(ClassifierMixin, BaseEstimator):
    """Fit spectra by non-negative sums of one reference a class; the shares stand for probabilities.

    The references are the mean training spectra. The constant that normalisation subtracts is among the
    fitted terms, as it is zero by construction for both sides.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> "ReferenceLeastSquares":
        """Average crops (N, C) of every class (N,)."""
        crops, labels = validate_data(self, X, y, dtype=np.float64)
        self.classes_ = np.unique(labels)
        self.references_ = np.stack([crops[labels == c].mean(axis=0) for c in self.classes_])  # (K, C)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Shares of the references, (N, K), each row summing to 1."""
        check_is_fitted(self)
        weights = non_negative_weights(
            validate_data(self, X, dtype=np.float64, reset=False), self.references_
        )
        total = weights.sum(axis=1, keepdims=True)
        return np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / len(self.classes_))

    def predict(self, X: ArrayLike) -> Ints:
        """The class with the largest share, (N,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


def non_negative_weights(spectra: Floats, references: Floats) -> Floats:
    """Non-negative least squares of spectra (N, C) on references (K, C): weights (N, K), exact.

    With few references, trying every subset of them is exact (the solution is the ordinary one on its own
    support) and, done for all spectra at once, much faster than an active-set search for each.
    """
    best = np.zeros((len(spectra), len(references)))
    least = np.zeros(len(spectra))  # squared residual, less the squared spectrum
    gram, overlap = references @ references.T, spectra @ references.T  # (K, K), (N, K)
    for size in range(1, len(references) + 1):
        for chosen in map(list, combinations(range(len(references)), size)):
            weights = np.linalg.lstsq(gram[np.ix_(chosen, chosen)], overlap[:, chosen].T)[0].T  # (N, size)
            gain = -(weights * overlap[:, chosen]).sum(axis=1)
            better = (weights >= 0).all(axis=1) & (gain < least)
            best[better] = 0
            best[np.ix_(better, chosen)] = weights[better]
            least[better] = gain[better]
    return best


class SoftMargins(ClassifierMixin, BaseEstimator):
    """A linear classifier, one class against the rest; softmax of the margins, which is uncalibrated."""

    def __init__(self, estimator: BaseEstimator) -> None:
        self.estimator = estimator

    def fit(self, X: ArrayLike, y: ArrayLike) -> "SoftMargins":
        """Train on spectra (N, C) of classes (N,)."""
        spectra, labels = validate_data(self, X, y, dtype=np.float64)
        self.fitted_ = clone(self.estimator).fit(spectra, labels)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Softmax of the margins, (N, K)."""
        check_is_fitted(self)
        margin = self.fitted_.decision_function(validate_data(self, X, dtype=np.float64, reset=False))
        return np.asarray(
            softmax(np.stack([-margin, margin], axis=1) if margin.ndim == 1 else margin, axis=1)
        )

    def predict(self, X: ArrayLike) -> Ints:
        """The class with the largest margin, (N,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class WhiteLineRatio(TransformerMixin, BaseEstimator):
    """The logarithm of the L3/L2 intensity ratio of `mnflow.opinions.white_lines`: (N, C) -> (N, 1)."""

    def __init__(self, edge: Edge = MN) -> None:
        self.edge = edge

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> "WhiteLineRatio":
        """Nothing to learn, but the number of channels."""
        validate_data(self, X, dtype=np.float64)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """The logarithm of the ratio for crops (N, C), as (N, 1)."""
        crops: Floats = validate_data(self, X, dtype=np.float64, reset=False)
        lines = measure(moving_average(crops, _SMOOTHING), l3_channel(crops, _SMOOTHING), self.edge)
        return np.log(lines.l3_l2_ratio)[:, None]


def _vertex(crops: Floats) -> Floats:
    """Position (N,) of every crop's maximum in channels: the vertex of a parabola through its neighbours."""
    d = np.arange(-_REACH, _REACH + 1)
    centre = l3_channel(crops, _SMOOTHING)
    # (N, 2 reach + 1)
    around = np.take_along_axis(crops, np.clip(centre[:, None] + d, 0, crops.shape[1] - 1), axis=1)
    a, b, _ = np.polyfit(d, around.T, 2)
    return centre + np.clip(np.where(a < 0, -b / np.where(a < 0, 2 * a, 1), 0), -_REACH, _REACH)
