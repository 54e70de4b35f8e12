"""Why nets without augmentation lose accuracy under shift: the crop's own offset and scale, or the place of the edge?

Run it with `python -m benchmarks.shift_loss RUN_ID ...` on cross-validations of the tracking store. A shifted crop holds more
or less of the flat part before the edge, so that its mean, which is subtracted, changes with the shift. Here every crop is
judged twice: normalised by itself, as everywhere else, and by minimum, span and mean of its unshifted crop, so that nothing
but the place of the edge changes. Prints JSON lines: accuracy over shifts, at shifts of 3 eV and more to lower and to higher
energies.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import emit
from mnflow import compiled, cv, tracking
from mnflow.augment import MAX_SHIFT_EV, max_shift_bins
from mnflow.preprocess import normalise
from mnflow.reproduction.evidence import FAR_EV
from mnflow.spectra import SpectrumSet

Floats = NDArray[np.float32]


def _shift_accuracy(
    trained: cv.FinishedCv, shift_bins: NDArray[np.int64], inputs: Callable[[SpectrumSet, int], Floats]
) -> NDArray[np.float64]:
    """Accuracy (folds, shifts) of every fold's net on its test spectra, which `inputs` makes for a shift."""
    accuracy = np.empty((len(trained.folds), len(shift_bins)))
    for row, fold, model in zip(accuracy, trained.folds, trained.models, strict=True):
        net, test = compiled.from_keras(model), trained.spectra.select(fold.test)
        for i, shift in enumerate(shift_bins):
            row[i] = (compiled.probabilities(net, inputs(test, int(shift))).argmax(axis=1) == test.valence).mean()
    return accuracy


def window(spectra: SpectrumSet, shift: int) -> Floats:
    """The crops (N, n_crop), shifted by so many channels and not normalised."""
    start = spectra.edge.crop_start - shift
    return spectra.intensity[:, start : start + spectra.edge.n_crop]


def own_norm(spectra: SpectrumSet, shift: int) -> Floats:
    """Shifted crops, each normalised by itself."""
    return normalise(window(spectra, shift))


def unshifted_norm(spectra: SpectrumSet, shift: int) -> Floats:
    """Shifted crops, normalised by minimum, span and mean of the unshifted ones."""
    unshifted = window(spectra, 0)
    low, high, mean = (of(unshifted, axis=1, keepdims=True) for of in (np.min, np.max, np.mean))
    return np.asarray((window(spectra, shift) - mean) / (high - low), dtype=np.float32)


def judge(run_id: str) -> dict[str, Any]:
    """Both accuracies of a cross-validation's nets, over all shifts and far off."""
    trained = cv.load_cv(tracking.connect().get_run(run_id))
    edge = trained.spectra.edge
    limit = max_shift_bins(edge, MAX_SHIFT_EV)
    shift_bins = np.arange(-limit, limit + 1)
    far = round(FAR_EV / edge.dispersion_ev)
    parts = {"all": np.full(len(shift_bins), True), "lower": shift_bins <= -far, "higher": shift_bins >= far}
    found: dict[str, Any] = {"run": trained.label}
    for name, inputs in (("own_norm", own_norm), ("unshifted_norm", unshifted_norm)):
        mean = _shift_accuracy(trained, shift_bins, inputs).mean(axis=0)
        found |= {f"{name}_{part}": float(mean[chosen].mean()) for part, chosen in parts.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="ids of finished cross-validations")
    for run_id in parser.parse_args().runs:
        emit("shift_loss", **judge(run_id))


if __name__ == "__main__":
    main()
