"""Evaluate the models of a cross-validation and log all that comes out, for nets and for baselines alike.

The first of `runs` gets everything; the others (the cross-validation itself) get what they are compared by.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnflow import plots
from mnflow.augment.pca_noise import KEPT_COMPONENTS, MAX_NOISE_SCALE
from mnflow.evaluate.accuracy import (
    integrated_accuracy,
    noise_accuracy,
    noise_examples,
    predict,
    shift_accuracy,
)
from mnflow.evaluate.activations import last_block_agreement, mean_activations
from mnflow.evaluate.reference_accuracy import reference_accuracy, reference_table
from mnflow.preprocess import crop, normalise
from mnflow.spectra import UNLABELLED, SpectrumSet
from mnflow.track import cross_validation, names
from mnflow.track.tracking import Run, log_figure

if TYPE_CHECKING:
    from mnflow.references import References

NOISE_SCALES = np.linspace(0, MAX_NOISE_SCALE, 21)
"""Factors on the noise that the noise test covers; 1 and the largest are among them."""

_SHOWN_REFERENCES = 60  # rows that a figure of them can name; more are in the table only


def log_shift(runs: Sequence[Run], trained: cross_validation.Evaluated) -> dict[str, float]:
    """Log each fold's test accuracy at every shift (the paper's Fig. 3); returns the summary metrics."""
    shift_bins, accuracy = shift_accuracy(trained.models, trained.spectra, trained.folds)
    shift_ev = (shift_bins * trained.spectra.edge.dispersion_ev).round(6)
    mean = accuracy.mean(axis=0)  # (folds, shifts) -> (shifts,)
    metrics = {
        names.SHIFT_ACCURACY: integrated_accuracy(shift_bins, accuracy),
        names.WORST_SHIFT_ACCURACY: float(mean.min()),
    }
    runs[0].table(cross_validation.curve_table(trained.folds, "shift_ev", shift_ev, accuracy), "shift")
    figure = plots.shift_curves({trained.label: (shift_ev, accuracy)})
    for run in runs:
        run.curve(names.SHIFT_CURVE.metric, names.SHIFT_CURVE.steps(shift_ev), mean)
        run.metrics(metrics)
    log_figure(runs, figure, "shift")
    return metrics


def log_noise(
    runs: Sequence[Run], trained: cross_validation.Evaluated, kept_components: int = KEPT_COMPONENTS
) -> dict[str, float]:
    """Log each fold's test accuracy with scaled noise (the paper's Fig. 4); returns the summary metrics."""
    spectra, folds = trained.spectra, trained.folds
    accuracy = noise_accuracy(trained.models, spectra, folds, NOISE_SCALES, kept_components)
    mean = accuracy.mean(axis=0)  # (folds, scales) -> (scales,)
    at_1x = int(np.abs(NOISE_SCALES - 1).argmin())
    metrics = {names.NOISE_1X_ACCURACY: float(mean[at_1x]), names.NOISE_5X_ACCURACY: float(mean[-1])}
    runs[0].table(cross_validation.curve_table(folds, "scale", NOISE_SCALES, accuracy), "noise")
    figure = plots.noise_curves(
        {trained.label: (NOISE_SCALES, accuracy)}, noise_examples(spectra, kept_components)
    )
    for run in runs:
        run.curve(names.NOISE_CURVE.metric, names.NOISE_CURVE.steps(NOISE_SCALES), mean)
        run.metrics(metrics)
    log_figure(runs, figure, "noise")
    return metrics


def log_references(runs: Sequence[Run], models: Sequence[Any], references: "References") -> dict[str, float]:
    """Log all predictions for reference spectra (Table 1); returns metrics, none if all are mixed."""
    spectra = references.spectra
    probabilities = predict(models, normalise(spectra.intensity))  # (folds, N, K)
    result = reference_accuracy(probabilities, spectra.valence)
    runs[0].dataset(spectra, "reference")
    runs[0].table(reference_table(probabilities, references), "references")
    if len(spectra) <= _SHOWN_REFERENCES:
        shown = spectra.name.tolist(), spectra.valence, spectra.edge.classes
        runs[0].figure(plots.reference_matrix(probabilities.mean(axis=0), *shown), "references")
        runs[0].figure(
            plots.reference_spectra(spectra.energy_ev, spectra.intensity, *shown), "reference_spectra"
        )
    if (spectra.valence == UNLABELLED).all():
        return {}
    metrics = {names.REFERENCE_ACCURACY: result.mean, names.REFERENCE_VOTE_ACCURACY: result.vote}
    runs[0].curve(names.REFERENCE_FOLD_ACCURACY, np.arange(len(result.per_fold)), result.per_fold)
    for run in runs:
        run.metrics(metrics)
    return metrics


def log_activations(run: Run, model: Any, spectra: SpectrumSet, references: SpectrumSet) -> None:
    """Mean activations of each block for training and reference spectra (Fig. 1b-d); none if dense."""
    classes, window = spectra.edge.classes, spectra.edge.crop_ev
    acquired = mean_activations(model, crop(spectra), spectra.valence, classes)
    foreign = mean_activations(model, normalise(references.intensity), references.valence, classes)
    if not acquired or not foreign:
        return
    run.figure(plots.activations(acquired, window), "activations")
    run.figure(plots.activations(foreign, window), "activations_references")
    agreement = last_block_agreement(acquired, foreign)
    run.metrics({names.ACTIVATION_CORRELATION.format(k): v for k, v in agreement.items()})
