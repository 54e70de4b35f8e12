"""Accuracy on reference spectra: single fold models, and their majority vote (the paper's Table 1)."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from mnflow.spectra import UNLABELLED
from mnflow.spectra.arrays import Array, Floats, Ints

if TYPE_CHECKING:
    from mnflow.references import References


class ReferenceAccuracy(NamedTuple):
    """Accuracy on labelled references: per fold model, their mean, and of the majority vote."""

    per_fold: Floats
    mean: float
    vote: float


def vote(probabilities: Array) -> Ints:
    """Majority vote (N,) from probabilities (n_models, N, K); the mean probability decides a tie."""
    n_classes = probabilities.shape[2]
    votes = np.eye(n_classes)[probabilities.argmax(axis=2)].sum(axis=0)  # (N, K)
    return (votes + 0.5 * probabilities.mean(axis=0)).argmax(axis=1)


def reference_accuracy(probabilities: Array, valence: Ints) -> ReferenceAccuracy:
    """Accuracy of probabilities (n_models, N, K) against labels (N,), without mixed spectra."""
    known = valence != UNLABELLED
    if not known.any():
        return ReferenceAccuracy(np.full(len(probabilities), np.nan), float("nan"), float("nan"))
    per_fold = (probabilities.argmax(axis=2) == valence)[:, known].mean(axis=1)
    return ReferenceAccuracy(
        per_fold, float(per_fold.mean()), float((vote(probabilities) == valence)[known].mean())
    )


def reference_table(probabilities: Array, references: "References") -> pd.DataFrame:
    """One row per reference: its labels, the majority vote, the share of models that agree, probabilities."""
    spectra = references.spectra
    classes = np.array(spectra.edge.classes)
    chosen = vote(probabilities)
    columns = {
        "name": spectra.name,
        "group": spectra.group,
        "valence": references.valence_text,
        "vote": classes[chosen],
        "agreement": (probabilities.argmax(axis=2) == chosen).mean(axis=0),
        "right": np.where(
            spectra.valence == UNLABELLED, "", np.where(chosen == spectra.valence, "yes", "no")
        ),
        "moved_ev": references.moved_bins * spectra.edge.dispersion_ev,
    }
    means = {f"p({name})": probabilities[:, :, i].mean(axis=0) for i, name in enumerate(classes)}
    return pd.DataFrame(columns | means)
