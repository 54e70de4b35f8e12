"""Evaluate the models of a cross-validation: shifted, noisier, and foreign spectra, and the space of features.

Arrays in, arrays out. `models` are one for every fold, in the folds' order: Keras nets, or baselines (`mnflow.baselines`). A
fold's model is asked about that fold's test spectra only, except where it says otherwise.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from mnflow import compiled
from mnflow.augment import KEPT_COMPONENTS, MAX_SHIFT_EV, crops, fit_noise, max_shift_bins, to_unit_range
from mnflow.baselines import Fitted
from mnflow.folds import Fold
from mnflow.models import feature_model
from mnflow.preprocess import normalise
from mnflow.spectra import UNLABELLED, SpectrumSet

if TYPE_CHECKING:
    from mnflow.read import References


def predict(models: Sequence[keras.Model | Fitted], inputs: ArrayLike) -> NDArray[np.float32]:
    """Probabilities (n_models, N, K) of every model for normalised crops (N, n_crop)."""
    inputs = np.asarray(inputs, dtype=np.float32)
    return np.stack([_predict(model, inputs) for model in models])


def _predict(model: keras.Model | Fitted, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    if isinstance(model, Fitted):
        return model.predict(crops)
    return compiled.probabilities(compiled.from_keras(model), crops)


def _shifted_classes(
    model: keras.Model | Fitted, wide: NDArray[np.float32], starts: NDArray[np.int64], n_crop: int
) -> NDArray[np.int64]:
    """The likeliest class (S, N) of wide spectra (N, C), cropped from each of the channels `starts` (S,)."""
    if isinstance(model, Fitted):
        return np.stack([model.predict(normalise(wide[:, start : start + n_crop])).argmax(axis=1) for start in starts])
    return compiled.shifted_classes(compiled.from_keras(model), wide, starts)


def shift_accuracy(
    models: Sequence[keras.Model | Fitted], spectra: SpectrumSet, folds: Sequence[Fold], max_shift: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Accuracy on test spectra against their shift, at every channel.

    Parameters
    ----------
    max_shift : int, optional
        Largest shift in channels; 5 eV if left out (50 for Mn).

    Returns
    -------
    shift_bins : ndarray of int, shape (S,)
        -max_shift ... max_shift; positive moves a spectrum's features to higher channels.
    accuracy : ndarray, shape (n_folds, S)

    Raises
    ------
    InputError
        If a shift leads out of the wide window.
    """
    edge = spectra.edge
    limit = max_shift_bins(edge, MAX_SHIFT_EV if max_shift is None else max_shift * edge.dispersion_ev)
    shift_bins = np.arange(-limit, limit + 1)
    accuracy = np.empty((len(folds), len(shift_bins)))
    most = max(len(fold.test) for fold in folds)
    for row, model, fold in zip(accuracy, models, folds, strict=True):
        index = np.resize(fold.test, most)  # filled up, so that all folds have one shape and share one compilation
        classes = _shifted_classes(model, spectra.intensity[index], edge.crop_start - shift_bins, edge.n_crop)
        row[:] = (classes == spectra.valence[index])[:, : len(fold.test)].mean(axis=1)
    return shift_bins, accuracy


def integrated_accuracy(shift_bins: ArrayLike, accuracy: ArrayLike) -> float:
    """Area under the curve of accuracy against shift, divided by the range of shifts; mean over folds (n_folds, S)."""
    x = np.asarray(shift_bins, dtype=float)
    return float(np.trapezoid(np.mean(np.atleast_2d(accuracy), axis=0), x) / (x[-1] - x[0]))


def noise_accuracy(
    models: Sequence[keras.Model | Fitted],
    spectra: SpectrumSet,
    folds: Sequence[Fold],
    scales: ArrayLike,
    kept_components: int = KEPT_COMPONENTS,
) -> NDArray[np.float64]:
    """Accuracy on test spectra (n_folds, n_scales) whose noise is multiplied by each of `scales` (1 is as measured).

    Signal and noise are parted by the principal components of the fold's training spectra.
    """
    scales = np.asarray(scales, dtype=np.float32)
    accuracy = np.empty((len(folds), len(scales)))
    for row, model, fold in zip(accuracy, models, folds, strict=True):
        noisy = _noisy_crops(spectra, fold, scales, kept_components)  # (S, n_test, n_crop)
        predicted = predict([model], noisy.reshape(-1, noisy.shape[-1]))[0].argmax(axis=1).reshape(noisy.shape[:2])
        row[:] = (predicted == spectra.valence[fold.test]).mean(axis=1)
    return accuracy


def noise_examples(
    spectra: SpectrumSet, kept_components: int = KEPT_COMPONENTS, scales: Sequence[float] = (0, 1, 5), spectrum: int = 0
) -> tuple[NDArray[np.float64], dict[float, NDArray[np.float32]]]:
    """One spectrum under several factors on its noise, to look at: energy_ev (n_crop,), and a crop (n_crop,) by scale."""
    edge = spectra.edge
    everything = np.arange(len(spectra))
    shown = _noisy_crops(spectra, Fold(0, everything, everything[[spectrum]]), np.asarray(scales, np.float32), kept_components)
    energy_ev = spectra.energy_ev[edge.crop_start : edge.crop_start + edge.n_crop]
    return energy_ev, dict(zip(scales, shown[:, 0], strict=True))


def _noisy_crops(spectra: SpectrumSet, fold: Fold, scales: NDArray[np.float32], kept_components: int) -> NDArray[np.float32]:
    """Normalised crops (n_scales, n_test, n_crop) of a fold's test spectra with scaled noise."""
    wide = to_unit_range(spectra.intensity, spectra.edge)
    cleaned, noise = fit_noise(wide[fold.train], kept_components).split(wide[fold.test])
    unshifted = np.zeros(len(fold.test), dtype=np.int64)
    return np.stack([crops(cleaned + s * noise, unshifted, spectra.edge) for s in scales])


class ReferenceAccuracy(NamedTuple):
    """Shares of labelled references that are right: of every fold's model, their mean, and by the models' vote."""

    per_fold: NDArray[np.float64]
    mean: float
    vote: float


def vote(probabilities: NDArray[Any]) -> NDArray[np.int64]:
    """The class that most models choose (N,), from probabilities (n_models, N, K); their mean decides a tie."""
    n_classes = probabilities.shape[2]
    votes = np.eye(n_classes)[probabilities.argmax(axis=2)].sum(axis=0)  # (N, K)
    return (votes + 0.5 * probabilities.mean(axis=0)).argmax(axis=1)


def reference_accuracy(probabilities: NDArray[Any], valence: NDArray[np.int64]) -> ReferenceAccuracy:
    """Compare probabilities (n_models, N, K) with labels (N,); unlabelled spectra (mixed valences) do not count."""
    known = valence != UNLABELLED
    if not known.any():
        return ReferenceAccuracy(np.full(len(probabilities), np.nan), float("nan"), float("nan"))
    per_fold = (probabilities.argmax(axis=2) == valence)[:, known].mean(axis=1)
    return ReferenceAccuracy(per_fold, float(per_fold.mean()), float((vote(probabilities) == valence)[known].mean()))


def reference_table(probabilities: NDArray[Any], references: "References") -> pd.DataFrame:
    """One row a reference: name, publication, valence in the manifest's words, vote, share of models that agree, means."""
    spectra = references.spectra
    classes = np.array(spectra.edge.classes)
    chosen = vote(probabilities)
    columns = {
        "name": spectra.name,
        "group": spectra.group,
        "valence": references.valence_text,
        "vote": classes[chosen],
        "agreement": (probabilities.argmax(axis=2) == chosen).mean(axis=0),
        "right": np.where(spectra.valence == UNLABELLED, "", np.where(chosen == spectra.valence, "yes", "no")),
        "moved_ev": references.moved_bins * spectra.edge.dispersion_ev,
    }
    means = {f"p({name})": probabilities[:, :, i].mean(axis=0) for i, name in enumerate(classes)}
    return pd.DataFrame(columns | means)


def embedding(model: keras.Model, inputs: ArrayLike) -> NDArray[np.float32]:
    """What the feature extractor makes of normalised crops (N, n_crop): features (N, 72) in the paper's shape."""
    return np.asarray(feature_model(model).predict(np.asarray(inputs, dtype=np.float32), verbose=0))


def tsne(features: NDArray[Any], perplexity: float = 100.0, iterations: int = 10_000, seed: int = 0) -> NDArray[np.float32]:
    """Place points (N, D) in two dimensions (N, 2) by t-SNE, starting from their principal components as in the paper.

    https://www.jmlr.org/papers/v9/vandermaaten08a.html. A perplexity too large for N is lowered to (N - 1) / 3.
    """
    perplexity = min(perplexity, (len(features) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, max_iter=max(iterations, 250), init="pca", random_state=seed)
    return model.fit_transform(np.asarray(features, dtype=np.float32))


def neighbour_agreement(
    features: NDArray[Any],
    valence: NDArray[np.int64],
    other: NDArray[Any],
    other_valence: NDArray[np.int64],
    n_neighbours: int = 10,
) -> float:
    """Share of foreign points whose nearest acquired neighbours have their valence.

    Parameters
    ----------
    features, valence : ndarray, shapes (N, D) and (N,)
        Acquired spectra as points, and their labels.
    other, other_valence : ndarray, shapes (M, D) and (M,)
        Foreign points; unlabelled ones do not count.
    n_neighbours : int
        Neighbours that vote; most of them decide.
    """
    known = other_valence != UNLABELLED
    nearest = NearestNeighbors(n_neighbors=min(n_neighbours, len(features))).fit(features)
    labels = valence[nearest.kneighbors(other[known], return_distance=False)]  # (M, n_neighbours)
    votes = np.apply_along_axis(np.bincount, 1, labels, minlength=int(valence.max()) + 1)
    return float((votes.argmax(axis=1) == other_valence[known]).mean())
