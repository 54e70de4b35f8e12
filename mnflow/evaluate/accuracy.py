"""Accuracy of a cross-validation's models on shifted and on noisier test spectra.

Arrays in, arrays out. `models` are one for every fold, in the folds' order: Keras nets, or baselines
(`mnflow.models.baselines`). A fold's model predicts that fold's test spectra unless stated otherwise.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mnflow.augment.energy_shift import MAX_SHIFT_EV, crops, max_shift_bins
from mnflow.augment.pca_noise import KEPT_COMPONENTS, PcaNoise, fit_noise, to_unit_range
from mnflow.folds import Fold
from mnflow.models import jax_predict
from mnflow.models.baselines import Fitted
from mnflow.models.keras_import import keras
from mnflow.preprocess import crops_from
from mnflow.spectra import SpectrumSet
from mnflow.spectra.arrays import Floats, Floats32, Ints

_fitted: dict[tuple[str, bytes, int], PcaNoise] = {}
"""Signal and noise of each fold's training spectra, cached: all models of a fold use the same."""

_MOST_FITTED = 32


def predict(models: Sequence[keras.Model | Fitted], inputs: ArrayLike) -> Floats32:
    """Probabilities (n_models, N, K) of every model for normalised crops (N, n_crop)."""
    inputs = np.asarray(inputs, dtype=np.float32)
    return np.stack([_predict(model, inputs) for model in models])


def _predict(model: keras.Model | Fitted, crops: Floats32) -> Floats32:
    if isinstance(model, Fitted):
        return model.predict(crops)
    return jax_predict.probabilities(jax_predict.from_keras(model), crops)


def _shifted_classes(model: keras.Model | Fitted, wide: Floats32, starts: Ints, n_crop: int) -> Ints:
    """The likeliest class (S, N) of wide spectra (N, C), cropped from each of the channels `starts` (S,)."""
    if isinstance(model, Fitted):
        crops = [crops_from(wide, np.full(len(wide), start), n_crop) for start in starts]
        classes = model.predict(np.concatenate(crops)).argmax(axis=1)  # one call: each costs 20 ms
        return classes.reshape(len(starts), len(wide))
    return jax_predict.shifted_classes(jax_predict.from_keras(model), wide, starts)


def shift_accuracy(
    models: Sequence[keras.Model | Fitted],
    spectra: SpectrumSet,
    folds: Sequence[Fold],
    max_shift: int | None = None,
) -> tuple[Ints, Floats]:
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
        # filled up, so that all folds have one shape and share one compilation
        index = np.resize(fold.test, most)
        classes = _shifted_classes(model, spectra.intensity[index], edge.crop_start - shift_bins, edge.n_crop)
        row[:] = (classes == spectra.valence[index])[:, : len(fold.test)].mean(axis=1)
    return shift_bins, accuracy


def integrated_accuracy(shift_bins: ArrayLike, accuracy: ArrayLike) -> float:
    """Mean accuracy over the range of shifts (area under the curve, trapezoidal) and folds (n_folds, S)."""
    x = np.asarray(shift_bins, dtype=float)
    return float(np.trapezoid(np.mean(np.atleast_2d(accuracy), axis=0), x) / (x[-1] - x[0]))


def noise_accuracy(
    models: Sequence[keras.Model | Fitted],
    spectra: SpectrumSet,
    folds: Sequence[Fold],
    scales: ArrayLike,
    kept_components: int = KEPT_COMPONENTS,
) -> Floats:
    """Accuracy (n_folds, n_scales) on test spectra whose noise is multiplied by each of `scales`.

    Signal and noise are separated by the principal components of the fold's training spectra.
    """
    scales = np.asarray(scales, dtype=np.float32)
    accuracy = np.empty((len(folds), len(scales)))
    for row, model, fold in zip(accuracy, models, folds, strict=True):
        noisy = _noisy_crops(spectra, fold, scales, kept_components)  # (S, n_test, n_crop)
        predicted = (
            predict([model], noisy.reshape(-1, noisy.shape[-1]))[0].argmax(axis=1).reshape(noisy.shape[:2])
        )
        row[:] = (predicted == spectra.valence[fold.test]).mean(axis=1)
    return accuracy


def noise_examples(
    spectra: SpectrumSet,
    kept_components: int = KEPT_COMPONENTS,
    scales: Sequence[float] = (0, 1, 5),
    spectrum: int = 0,
) -> tuple[Floats, dict[float, Floats32]]:
    """One spectrum with scaled noise: energy_ev (n_crop,), and a crop (n_crop,) per scale."""
    edge = spectra.edge
    everything = np.arange(len(spectra))
    shown = _noisy_crops(
        spectra, Fold(0, everything, everything[[spectrum]]), np.asarray(scales, np.float32), kept_components
    )
    energy_ev = spectra.energy_ev[edge.crop_start : edge.crop_start + edge.n_crop]
    return energy_ev, dict(zip(scales, shown[:, 0], strict=True))


def _noisy_crops(spectra: SpectrumSet, fold: Fold, scales: Floats32, kept_components: int) -> Floats32:
    """Normalised crops (n_scales, n_test, n_crop) of a fold's test spectra with scaled noise."""
    wide = to_unit_range(spectra.intensity, spectra.edge)
    key = spectra.digest(), fold.train.tobytes(), kept_components
    if key not in _fitted:
        if len(_fitted) >= _MOST_FITTED:
            _fitted.clear()
        _fitted[key] = fit_noise(wide[fold.train], kept_components)
    cleaned, noise = _fitted[key].split(wide[fold.test])
    unshifted = np.zeros(len(fold.test), dtype=np.int64)
    return np.stack([crops(cleaned + s * noise, unshifted, spectra.edge) for s in scales])
