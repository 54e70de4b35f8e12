"""What a model must show before it becomes the champion: named thresholds, and the champion itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mnflow.errors import InputError
from mnflow.spectra.arrays import Floats
from mnflow.track import names

CALIBRATION_ERROR = "calibration/error"
"""Metric that `promote` itself measures; other metrics are those of the evaluations."""

_METRICS: dict[str, tuple[str, str]] = {  # threshold -> metric, and the step that measures it
    "min_cv_accuracy": (names.CV_ACCURACY, "cv_train"),
    "min_shift_accuracy": (names.SHIFT_ACCURACY, "shift_eval"),
    "min_worst_shift_accuracy": (names.WORST_SHIFT_ACCURACY, "shift_eval"),
    "min_noise_accuracy": (names.NOISE_5X_ACCURACY, "noise_eval"),
    "min_reference_vote": (names.REFERENCE_VOTE_ACCURACY, "reference_test"),
    "max_calibration_error": (CALIBRATION_ERROR, "promote"),
}

MEASURED_BEFORE: dict[str, str] = {metric: step for metric, step in _METRICS.values() if step != "promote"}
"""Metrics that must be on a cross-validation's run before `promote`, with the step that measures each."""

DEVIATIONS = 2.0
"""Standard errors by which a candidate may be below the champion."""


@dataclass(frozen=True)
class Gate:
    """Thresholds for the champion; all are shares in [0, 1].

    Attributes
    ----------
    min_cv_accuracy : float
        Mean accuracy of the folds on their unshifted test spectra.
    min_shift_accuracy : float
        Mean accuracy over all shifts from -5 to +5 eV.
    min_worst_shift_accuracy : float
        Accuracy at the worst of these shifts.
    min_noise_accuracy : float
        Accuracy with five times the noise.
    min_reference_vote : float
        Accuracy of the folds' majority vote on another laboratory's spectra.
    max_calibration_error : float
        Expected calibration error on held-out spectra, shifted and noisy.
    """

    min_cv_accuracy: float = 0.9
    min_shift_accuracy: float = 0.9
    min_worst_shift_accuracy: float = 0.85
    min_noise_accuracy: float = 0.75
    min_reference_vote: float = 0.8
    max_calibration_error: float = 0.05

    def __post_init__(self) -> None:
        for f in fields(self):
            if not 0 <= getattr(self, f.name) <= 1:  # NaN is not, either, and would let everything pass
                raise InputError(f"{f.name}: expected a share between 0 and 1, got {getattr(self, f.name)}.")

    def failures(self, metrics: Mapping[str, float]) -> list[str]:
        """One clause per missed threshold, e.g. `shift/worst_accuracy is 0.612; the minimum is 0.85`."""
        clauses = []
        for f in fields(self):
            metric, step = _METRICS[f.name]
            threshold, found = getattr(self, f.name), metrics.get(metric, np.nan)
            if np.isnan(found):
                clauses.append(f"{metric} is missing ({step} measures it)")
            elif f.name.startswith("min_") and found < threshold:
                clauses.append(f"{metric} is {found:.4g}; the minimum is {threshold:g} ({f.name})")
            elif f.name.startswith("max_") and found > threshold:
                clauses.append(f"{metric} is {found:.4g}; the maximum is {threshold:g} ({f.name})")
        return clauses


@dataclass(frozen=True)
class Comparison:
    """A candidate compared with the champion on the same held-out spectra, paired over folds."""

    difference: float
    standard_error: float

    @property
    def is_worse(self) -> bool:
        """Whether the candidate is worse by more than `DEVIATIONS` standard errors, or not a number."""
        return not self.difference >= -DEVIATIONS * self.standard_error

    def __str__(self) -> str:
        difference = f"{self.difference:+.4f} ± {self.standard_error:.4f}"
        return f"{difference} compared with the champion (held-out accuracy, paired over folds)"


def compare(candidate: Sequence[float] | Floats, champion: Sequence[float] | Floats) -> Comparison:
    """Compare accuracies (n_folds,) of two models on the same folds."""
    difference = np.subtract(candidate, champion)
    n = len(difference)
    error = float(difference.std(ddof=1) / np.sqrt(n)) if n > 1 else np.inf
    return Comparison(float(difference.mean()), error)
