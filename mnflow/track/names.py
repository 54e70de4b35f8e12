"""Names of metrics, curves and tags in the tracking store: a contract, since renaming hides older runs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mnflow.spectra.arrays import Floats, Ints

# Metrics of a cross-validation; the evaluations log theirs to their own run and to the cross-validation's.
CV_ACCURACY = "cv/accuracy_mean"
CV_ACCURACY_STD = "cv/accuracy_std"
FOLD_ACCURACY = "cv/accuracy"
FOLD_SECONDS = "cv/seconds"
SHIFT_ACCURACY = "shift/integrated_accuracy"
WORST_SHIFT_ACCURACY = "shift/worst_accuracy"
NOISE_1X_ACCURACY = "noise/accuracy_at_1x"
NOISE_5X_ACCURACY = "noise/accuracy_at_5x"
REFERENCE_ACCURACY = "reference/accuracy_mean"
REFERENCE_VOTE_ACCURACY = "reference/accuracy_vote"
REFERENCE_FOLD_ACCURACY = "reference/accuracy_fold"
COLUMNS = {
    CV_ACCURACY: "unshifted",
    SHIFT_ACCURACY: "mean over shifts",
    WORST_SHIFT_ACCURACY: "worst shift",
    NOISE_5X_ACCURACY: "noise x 5",
    REFERENCE_ACCURACY: "other labs, mean",
    REFERENCE_VOTE_ACCURACY: "other labs, vote",
}
"""The metrics by which models are compared, everywhere, and what they are called."""

TSNE_AGREEMENT = "tsne/reference_agreement_{}"  # of a space: input or features
ACTIVATION_CORRELATION = "activations/correlation_{}"  # with the same class, or with another


@dataclass(frozen=True)
class Curve:
    """Accuracy against a physical quantity; MLflow's steps are integers, so they count small units of it.

    Attributes
    ----------
    metric : str
        Its key.
    steps_per_unit : int
        Steps in one unit of the quantity, e.g. 1000 for steps in meV of a shift in eV.
    axis : str
        The quantity, as an axis label.
    """

    metric: str
    steps_per_unit: int
    axis: str

    def steps(self, x: ArrayLike) -> Ints:
        """Steps (S,) of the quantity's values (S,)."""
        return (self.steps_per_unit * np.asarray(x)).round().astype(np.int64)

    def values(self, steps: ArrayLike) -> Floats:
        """The quantity's values (S,) at `steps` (S,)."""
        return np.asarray(steps) / self.steps_per_unit


SHIFT_CURVE = Curve("shift/accuracy", 1000, "energy shift / eV")
NOISE_CURVE = Curve("noise/accuracy", 100, "noise, times the measured")
CURVES = {curve.metric: curve for curve in (SHIFT_CURVE, NOISE_CURVE)}

# Tags of every run.
STEP = "mnflow.step"
ARCH = "arch"
AUGMENTATION = "augmentation"
FOLDS = "folds"
NOT_APPLICABLE = "n/a"  # value of a tag that has no meaning for a step
CODE = "mnflow.code"
ENVIRONMENT = "mnflow.environment"
PROCESS = "mnflow.process"
BEGAN = "mnflow.began"  # time in ns, and more than any run's before, also after the clock was put back

# Tags of some runs.
NOISE_AUGMENTATION = "noise_augmentation"
DATASET_DIGEST = "dataset_digest"
DATASET_URI = "dataset_uri"
CV_RUN = "cv_run"  # of an evaluation and of a version: the cross-validation that was evaluated
FOLD = "fold"
STUDY = "study"
TRIAL_STATE = "trial_state"
FOLDER = "mnflow.folder"  # of a simulate run: the absolute path of its images
SIGNATURE = "mnflow.signature"  # of a cross-validation: what its folds' results depend on
RESUMED_BY = "mnflow.resumed_by"
REFUSED = "mnflow.refused"
ERROR = "mnflow.error"
NOTE = "mlflow.note.content"  # MLflow's own: the description that its UI shows

SETTING = (ARCH, AUGMENTATION, NOISE_AUGMENTATION, FOLDS)
"""Tags that tell one cross-validation of a dataset from another."""


def setting_of(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags by which an evaluation is known as one of its cross-validation: setting and dataset."""
    return {key: tags[key] for key in (*SETTING, DATASET_DIGEST)}
