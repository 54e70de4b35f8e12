"""The search space of a network's parameters, the score of a trial, and the proposal of a study.

A trial is scored on inner validation spectra alone: each outer fold's training spectra are divided once more,
and its test spectra are neither trained on nor scored. `mnflow.tune.study` keeps the trials.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import ArrayLike
from optuna.trial import FrozenTrial, Trial, TrialState

from mnflow.errors import InputError
from mnflow.evaluate.accuracy import integrated_accuracy, noise_accuracy, shift_accuracy
from mnflow.folds import Fold, inner_validation, split
from mnflow.models import keras_nets
from mnflow.models.architectures import ARCHITECTURES, count_weights
from mnflow.spectra import Edge, SpectrumSet
from mnflow.spectra.arrays import Floats, Floats32, Ints
from mnflow.train import cross_validate
from mnflow.train.settings import TrainSettings
from mnflow.tune import study

MODES: dict[str, tuple[study.Direction, ...]] = {"score": ("maximize",), "front": ("maximize", "minimize")}
"""`score`: the best score, bad trials are pruned. `front`: score against number of weights, the paper's idea
of shrinking.
"""

SEARCHABLE = ("dropout", "filters", "learning_rate", "kernels", "depth", "l3_bin")
"""What may vary; the net's own value holds for what does not."""

_SINGLE = tuple(name for name in SEARCHABLE if name not in ("filters", "kernels"))  # one value a net

_L3_BINS = (2, 7)
"""The shortest and longest bin that is tried around L3, in channels."""

SCORED_NOISE_SCALES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
"""Factors on the noise that a trial is scored at."""

MEASURES = ("accuracy", "shift_accuracy", "noise_accuracy")


@dataclass(frozen=True)
class FoldScore:
    """Accuracies of one network on its inner validation spectra.

    Attributes
    ----------
    accuracy : float
        On unshifted spectra.
    shift_accuracy : float
        Mean over every shift from -5 to +5 eV.
    noise_accuracy : float
        Mean over `SCORED_NOISE_SCALES`.
    shift_bins, shift_curve : ndarray, shape (S,)
        Accuracy at every shift.
    curves : dict of str to ndarray, shape (epochs,)
        Learning curves.
    """

    accuracy: float
    shift_accuracy: float
    noise_accuracy: float
    shift_bins: Ints
    shift_curve: Floats
    curves: dict[str, Floats32]

    @property
    def score(self) -> float:
        """Mean of the three accuracies: the objective."""
        return (self.accuracy + self.shift_accuracy + self.noise_accuracy) / 3


def parse_search(words: str) -> tuple[str, ...]:
    """`dropout,filters` as names; raises `InputError` for one that is not in `SEARCHABLE`."""
    names = tuple(w.strip() for w in words.split(",") if w.strip())
    wrong = [n for n in names if n not in SEARCHABLE]
    if wrong or not names:
        raise InputError(
            f"Cannot search {', '.join(wrong) or 'nothing'}: expected some of {', '.join(SEARCHABLE)}."
        )
    return names


def suggest(trial: Trial, base: TrainSettings, search: Sequence[str]) -> TrainSettings:
    """Draw a trial's settings; filters up to twice the net's, kernels of odd lengths around the net's.

    Filters and kernels of blocks beyond the depth are drawn, too, and do nothing: so all trials have the same
    parameters.
    """
    shape = ARCHITECTURES[base.arch]
    if "dropout" in search:
        trial.suggest_float("dropout", 0.0, 0.9, step=0.05)
    if "learning_rate" in search:
        trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
    if "depth" in search and shape.filters:
        trial.suggest_int("depth", 1, len(shape.filters))
    if "l3_bin" in search and shape.l3_bin:
        trial.suggest_int("l3_bin", *_L3_BINS)
    for i, (filters, kernel) in enumerate(zip(shape.filters, shape.kernels, strict=True), start=1):
        if "filters" in search:
            trial.suggest_int(f"filters_{i}", 1, 2 * filters)
        if "kernels" in search:
            trial.suggest_int(f"kernel_{i}", 3, kernel + 2, step=2)
    return replace(base, **train_settings_of(trial.params))


def own_params(base: TrainSettings, search: Sequence[str]) -> dict[str, Any]:
    """The first trial of a study: the net itself as `base` trains it."""
    shape = ARCHITECTURES[base.arch]
    params: dict[str, Any] = {"dropout": shape.dropout, "learning_rate": base.learning_rate}
    if shape.filters:
        params["depth"] = len(shape.filters)
    if shape.l3_bin:
        params["l3_bin"] = shape.l3_bin
    for i, (filters, kernel) in enumerate(zip(shape.filters, shape.kernels, strict=True), start=1):
        params |= {f"filters_{i}": filters, f"kernel_{i}": kernel}
    wanted = {"kernel" if name == "kernels" else name for name in search}
    return {k: v for k, v in params.items() if k.rstrip("_0123456789") in wanted}


def train_settings_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters as fields of `TrainSettings`: filters_1 ... filters_5 become one tuple."""
    found: dict[str, Any] = {k: params[k] for k in _SINGLE if k in params}
    for field, stem in (("filters", "filters_"), ("kernels", "kernel_")):
        numbered = sorted((int(k.removeprefix(stem)), v) for k, v in params.items() if k.startswith(stem))
        if numbered:
            found[field] = tuple(v for _, v in numbered)
    return found


def fits(settings: TrainSettings, edge: Edge) -> bool:
    """Whether a spectrum is long enough for the net: for bins and kernels that are drawn, it may not be."""
    try:
        cross_validate.make_plan(settings, edge)
    except InputError:
        return False
    return True


def inner_folds(spectra: SpectrumSet, kind: str, n_folds: int, n_used: int, seed: int) -> list[Fold]:
    """Inner validation of the first `n_used` of the outer folds, which are cv_train's with this seed."""
    if not 1 <= n_used <= n_folds:
        raise InputError(f"Expected to score 1 ... {n_folds} of the {n_folds} folds, got {n_used}.")
    outer = split(spectra, kind, n_folds, seed)[:n_used]
    return [inner_validation(spectra, fold, kind, seed=seed) for fold in outer]


def score_fold(spectra: SpectrumSet, inner: Fold, settings: TrainSettings) -> FoldScore:
    """Train on the inner training spectra, score on the inner validation spectra."""
    trained, _ = cross_validate.train_fold(spectra, (inner, settings))
    plan = cross_validate.make_plan(settings, spectra.edge)
    net = [keras_nets.with_weights(keras_nets.build(plan), trained.weights)]
    shift_bins, shifted = shift_accuracy(net, spectra, [inner])
    noisy = noise_accuracy(net, spectra, [inner], SCORED_NOISE_SCALES)
    right = trained.probabilities.argmax(axis=1) == spectra.valence[inner.test]
    integrated = integrated_accuracy(shift_bins, shifted)
    return FoldScore(
        float(right.mean()), integrated, float(noisy.mean()), shift_bins, shifted[0], trained.curves
    )


def score_trial(
    trial: Trial, spectra: SpectrumSet, inner: Sequence[Fold], settings: TrainSettings, prune: bool
) -> tuple[list[FoldScore], bool]:
    """Score fold by fold; with `prune`, stop once the trial is below the median of the others.

    Returns
    -------
    list of FoldScore, bool
        Those of the folds that were trained, and whether the trial was pruned.
    """
    scores: list[FoldScore] = []
    for i, fold in enumerate(inner):
        scores.append(score_fold(spectra, fold, settings))
        _note(trial, scores, count_weights(cross_validate.make_plan(settings, spectra.edge)))
        if prune:
            trial.report(trial.user_attrs["score"], i)
        if prune and i + 1 < len(inner) and trial.should_prune():
            return scores, True
    return scores, False


def _note(trial: Trial, scores: Sequence[FoldScore], n_weights: int) -> None:
    """Keep with the trial what tables and figures show."""
    trial.set_user_attr("n_weights", n_weights)
    for name in ("score", *MEASURES):
        trial.set_user_attr(name, float(np.mean([getattr(s, name) for s in scores])))
    trial.set_user_attr("folds", len(scores))


def front(n_weights: ArrayLike, score: ArrayLike) -> list[int]:
    """Places of the nets that no other beats in both: by increasing weights, so by increasing score."""
    weights, values = np.asarray(n_weights), np.asarray(score)
    chosen: list[int] = []
    for i in np.lexsort((-values, weights)):
        if not chosen or values[i] > values[chosen[-1]]:
            chosen.append(int(i))
    return chosen


def knee(n_weights: ArrayLike, score: ArrayLike) -> int:
    """Index of the front's knee: farthest above the line between its ends, over log(weights).

    After Kneedle, https://doi.org/10.1109/ICDCSW.2011.20. Nets on the way up pay for their weights, those
    beyond hardly do.

    Parameters
    ----------
    n_weights, score : array, shape (F,)
        The front, by increasing weights.
    """
    x, y = np.log(np.asarray(n_weights, dtype=np.float64)), np.asarray(score, dtype=np.float64)
    if len(x) < 3:
        return len(x) - 1
    x, y = (x - x[0]) / (x[-1] - x[0]), (y - y[0]) / (y[-1] - y[0])
    return int(np.argmax(y - x))


def table(found: optuna.Study) -> pd.DataFrame:
    """One row per settled trial: number, state, score and its parts, weights, parameters, place.

    `place` is `front`, `knee`, `best` or empty; only complete trials have one.
    """
    trials = [t for t in study.settled(found) if "score" in t.user_attrs]
    rows = [
        {
            "trial": t.number,
            "state": t.state.name.lower(),
            **{k: t.user_attrs[k] for k in ("score", *MEASURES, "n_weights", "folds")},
        }
        | t.params
        for t in trials
    ]
    result = pd.DataFrame(rows).assign(place="")
    if not rows or not (result["state"] == "complete").any():
        return result
    done = result.index[result["state"] == "complete"]
    places = done[front(result.loc[done, "n_weights"], result.loc[done, "score"])]
    result.loc[places, "place"] = "front"
    result.loc[places[-1], "place"] = "best"
    result.loc[places[knee(result.loc[places, "n_weights"], result.loc[places, "score"])], "place"] = "knee"
    return result


def proposed(found: optuna.Study) -> FrozenTrial:
    """The trial that a study proposes: the best, or with two objectives the knee of the front.

    Raises
    ------
    InputError
        If no trial is complete.
    """
    rows = table(found)
    if not len(rows) or not (rows["state"] == "complete").any():
        raise InputError(
            f"The study {found.study_name!r} has no complete trial yet: run `tune` with this name again."
        )
    if len(found.directions) == 1:
        return found.best_trial
    return found.trials[int(rows.loc[rows["place"] == "knee", "trial"].iloc[0])]


def best_settings(name: str, storage: str = "default") -> dict[str, Any]:
    """What the study `name` proposes, as fields of `TrainSettings`: its net, and what was searched.

    Raises
    ------
    InputError
        If there is no such study, or it has no complete trial.
    """
    found = study.load_study(name, storage)
    return {"arch": study.terms_of(found)["arch"], **train_settings_of(proposed(found).params)}


def importance(found: optuna.Study) -> dict[str, float]:
    """Share of the score's variance that each parameter explains (fANOVA); empty below five trials."""
    done = [t for t in study.settled(found) if t.state == TrialState.COMPLETE]
    if len(done) < 5 or len({t.user_attrs["score"] for t in done}) == 1:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(
        found, evaluator=evaluator, target=lambda t: t.user_attrs["score"]
    )
