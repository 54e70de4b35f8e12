"""Why networks trained without augmentation lose accuracy under shift: normalisation or position?

Run it with `python -m benchmarks.shift_loss RUN_ID ...` on cross-validations of the tracking store. A shifted
crop holds more or less of the flat part before the edge, so that its mean, which is subtracted, changes with
the shift. Here every crop is judged twice: normalised by itself, as everywhere else, and by minimum, span and
mean of its unshifted crop, so that nothing but the place of the edge changes. Prints JSON lines: accuracy
over shifts, at shifts of 3 eV and more to lower and to higher energies.
"""

import argparse
from typing import Any

import numpy as np

from benchmarks.measure import emit
from mnflow.evaluate.accuracy import shift_accuracy
from mnflow.models import jax_predict
from mnflow.reproduction.evidence import FAR_EV
from mnflow.spectra import SpectrumSet
from mnflow.spectra.arrays import Floats, Floats32, Ints
from mnflow.track import cross_validation, tracking


def accuracy_unshifted_norm(trained: cross_validation.FinishedCv, shift_bins: Ints) -> Floats:
    """Accuracy (folds, shifts) on test spectra that are normalised by their unshifted crops."""
    accuracy = np.empty((len(trained.folds), len(shift_bins)))
    for row, fold, model in zip(accuracy, trained.folds, trained.models, strict=True):
        net, test = jax_predict.from_keras(model), trained.spectra.select(fold.test)
        unshifted = window(test, 0)
        low, high, mean = (of(unshifted, axis=1, keepdims=True) for of in (np.min, np.max, np.mean))
        for i, shift in enumerate(shift_bins):
            crops = np.asarray((window(test, int(shift)) - mean) / (high - low), dtype=np.float32)
            row[i] = (jax_predict.probabilities(net, crops).argmax(axis=1) == test.valence).mean()
    return accuracy


def window(spectra: SpectrumSet, shift: int) -> Floats32:
    """The crops (N, n_crop), shifted by so many channels and not normalised."""
    start = spectra.edge.crop_start - shift
    return spectra.intensity[:, start : start + spectra.edge.n_crop]


def judge(run_id: str) -> dict[str, Any]:
    """Both accuracies of a cross-validation's nets, over all shifts and far off."""
    trained = cross_validation.load_cv(tracking.connect().get_run(run_id))
    shift_bins, own = shift_accuracy(trained.models, trained.spectra, trained.folds)
    far = round(FAR_EV / trained.spectra.edge.dispersion_ev)
    parts = {"all": np.full(len(shift_bins), True), "lower": shift_bins <= -far, "higher": shift_bins >= far}
    found: dict[str, Any] = {"run": trained.label}
    for name, accuracy in (
        ("own_norm", own),
        ("unshifted_norm", accuracy_unshifted_norm(trained, shift_bins)),
    ):
        mean = accuracy.mean(axis=0)  # (folds, shifts) -> (shifts,)
        found |= {f"{name}_{part}": float(mean[chosen].mean()) for part, chosen in parts.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="ids of finished cross-validations")
    for run_id in parser.parse_args().runs:
        emit("shift_loss", **judge(run_id))


if __name__ == "__main__":
    main()
