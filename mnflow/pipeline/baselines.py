"""Cross-validate a method without a network and put it through the same evaluations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mnflow.folds import Fold
from mnflow.models import baselines
from mnflow.preprocess import crop
from mnflow.references import References
from mnflow.runtime.cli import say
from mnflow.spectra import SpectrumSet
from mnflow.track import cross_validation, names
from mnflow.track.evaluations import log_noise, log_references, log_shift
from mnflow.track.tracking import Run, child, tags_of
from mnflow.train.cross_validate import FoldModel

ALIGNMENTS = {"both": (False, True), "yes": (True,), "no": (False,)}
"""By the option's word: whether spectra are aligned at their L3 maximum first."""


def cases(words: str, align: str) -> list[tuple[str, bool]]:
    """Every method, with and without alignment as `align` says.

    Parameters
    ----------
    words : str
        `all`, or names of `mnflow.models.baselines.METHODS`, separated by commas.
    align : str
        A key of `ALIGNMENTS`.

    Raises
    ------
    InputError
        For an unknown method.
    """
    methods = baselines.METHODS if words == "all" else tuple(words.split(","))
    for method in methods:
        baselines.build(method)
    return [(method, aligned) for method in methods for aligned in ALIGNMENTS[align]]


def evaluate_all(
    run: Run,
    methods: Sequence[tuple[str, bool]],
    params: Mapping[str, Any],
    n_crops: int,
    spectra: SpectrumSet,
    uri: str,
    folds: Sequence[Fold],
    references: References,
) -> None:
    """Evaluate every method in a nested run, and log the summary to `run`; `params` are the options."""
    data = {names.DATASET_URI: uri, names.DATASET_DIGEST: spectra.digest(), names.NOISE_AUGMENTATION: "false"}
    rows = []
    for method, align in methods:
        name = f"{method}_aligned" if align else method
        setting = tags_of("baseline", name, params["augmentation"], params["folds"])
        with child(run, setting | data, f"{name} {params['augmentation']}") as nested:
            nested.params({**params, "methods": method, "align": align})
            case = (method, align, n_crops, spectra, folds, references, params["seed"])
            metrics = evaluate_method(nested, *case)
        say(f"{name}: " + ", ".join(f"{k} {v:.4f}" for k, v in metrics.items()))
        rows.append({"method": name, **metrics})
    run.table(pd.DataFrame(rows), "summary")
    run.note(f"{len(rows)} baselines on {len(spectra)} spectra: see tables/summary.csv and the nested runs.")


def evaluate_method(
    run: Run,
    method: str,
    align: bool,
    n_crops: int,
    spectra: SpectrumSet,
    folds: Sequence[Fold],
    references: References,
    seed: int,
) -> dict[str, float]:
    """Fit `method` on every fold, evaluate it, log what a network's runs log, and return the metrics."""
    models = [baselines.fit_fold(spectra, fold, method, align, n_crops, seed) for fold in folds]
    results = []
    for fold, model in zip(folds, models, strict=True):
        p = model.predict(crop(spectra.select(fold.test)))
        correct = p.argmax(axis=1) == spectra.valence[fold.test]
        results.append(FoldModel(fold.number, b"", float(correct.mean()), p, {}))
    run.table(cross_validation.prediction_table(results, folds, spectra), "predictions")
    accuracy = np.array([r.accuracy for r in results])
    metrics = {names.CV_ACCURACY: float(accuracy.mean()), names.CV_ACCURACY_STD: float(accuracy.std(ddof=1))}
    run.metrics(metrics)
    fitted = cross_validation.Evaluated(f"{method}{' aligned' if align else ''}", spectra, folds, models)
    return {
        **metrics,
        **log_shift([run], fitted),
        **log_noise([run], fitted),
        **log_references([run], models, references),
    }
