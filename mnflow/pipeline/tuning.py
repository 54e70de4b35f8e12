"""A tune study in the tracking store: a nested run per trial, figures, and the study's proposal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, Trial

from mnflow import plots
from mnflow.folds import Fold
from mnflow.runtime.cli import say
from mnflow.spectra import SpectrumSet
from mnflow.track import names, tracking
from mnflow.track.tracking import Run
from mnflow.train.settings import TrainSettings
from mnflow.tune import search


def objective(
    run: Run,
    tags: Mapping[str, str],
    base: TrainSettings,
    searched: tuple[str, ...],
    spectra: SpectrumSet,
    inner: list[Fold],
    mode: str,
) -> Callable[[Trial], float | tuple[float, int]]:
    """The objective for Optuna: scores a trial in a nested run, which ends before a pruned trial does."""

    def score(trial: Trial) -> float | tuple[float, int]:
        settings = search.suggest(trial, base, searched)
        trial_tags = {**tags, names.STEP: "trial", "trial": str(trial.number)}
        with tracking.child(run, trial_tags, f"trial {trial.number}") as child:
            trial.set_user_attr("mlflow_run", child.id)
            child.params(trial.params)
            fits = search.fits(settings, spectra.edge)
            if fits:
                scores, pruned = search.score_trial(trial, spectra, inner, settings, prune=mode == "score")
                _log_trial(child, trial, scores, pruned, len(inner))
            else:
                child.tags({names.TRIAL_STATE: "pruned"})
                child.note("Pruned untrained: the spectrum is too short for these bins and kernels.")
        if not fits or pruned:
            raise optuna.TrialPruned
        attrs = trial.user_attrs
        return float(attrs["score"]) if mode == "score" else (attrs["score"], attrs["n_weights"])

    return score


def close_lost(trial: FrozenTrial) -> None:
    """End the nested run of a trial whose worker died; the trial is queued again under another number."""
    if "mlflow_run" in trial.user_attrs:
        lost = Run(trial.user_attrs["mlflow_run"])
        lost.tags({names.TRIAL_STATE: "lost", names.ERROR: "Its worker died; the trial was queued again."})
        lost.close("KILLED")


def _log_trial(
    child: Run, trial: Trial, scores: Sequence[search.FoldScore], pruned: bool, n_folds: int
) -> None:
    """The trial's metrics, its mean curves, and whether it was pruned."""
    attrs = trial.user_attrs
    child.metrics({f"inner/{k}": attrs[k] for k in ("score", *search.MEASURES, "n_weights")})
    child.metrics({"inner/folds": len(scores)})
    for key in scores[0].curves:
        values = np.mean([s.curves[key] for s in scores], axis=0)
        child.curve(key.replace("test/", "inner/"), np.arange(1, len(values) + 1), values)
    child.curve("inner/shift_curve", scores[0].shift_bins, np.mean([s.shift_curve for s in scores], axis=0))
    child.tags({names.TRIAL_STATE: "pruned" if pruned else "complete"})
    if pruned:
        child.rename(f"trial {trial.number} (pruned)")
    state = f"pruned after {len(scores)} of {n_folds} folds" if pruned else "complete"
    line = f"trial {trial.number}: {state}, score {attrs['score']:.4f}, {attrs['n_weights']} weights"
    child.note(f"{line}.")
    say(line)


def log_study(run: Run, study: optuna.Study, arch: str, own: Mapping[str, Any]) -> None:
    """Table, figures and proposal of the whole study, including the trials of other workers.

    Parameters
    ----------
    arch, own : str, mapping
        The network and its own parameters, to mark it in the figures.
    """
    rows = search.table(study)
    best = search.proposed(study)
    run.table(rows, f"study_{study.study_name}")
    run.figure(plots.study_history(rows["trial"], rows["score"], rows["state"] == "pruned"), "history")
    if shares := search.importance(study):
        run.figure(plots.parameter_importance(shares), "importance")
    done = rows[rows["state"] == "complete"].reset_index(drop=True)
    run.figure(plots.parameter_slices({k: done[k] for k in own}, done["score"], ["learning_rate"]), "slices")
    run.figure(_front_figure(done, best, arch, own), "front")
    score, n_weights = best.user_attrs["score"], best.user_attrs["n_weights"]
    run.metrics({"tune/trials": len(rows), "tune/best_score": score, "tune/weights": n_weights})
    run.json({"trial": best.number, **search.train_settings_of(best.params)}, "study/proposed.json")
    run.note(
        f"Trial {best.number} of {len(rows)} is proposed ({(rows['state'] == 'pruned').sum()} pruned): score "
        f"{score:.4f} with {n_weights} weights. Next: `mlflow run . -e cv_train -P study={study.study_name}`."
    )
    say(f"study {study.study_name}: trial {best.number} is proposed, {best.params}")


def _front_figure(done: pd.DataFrame, best: FrozenTrial, arch: str, own: Mapping[str, Any]) -> Figure:
    """Score against weights, with the network itself where a trial has its parameters."""
    same = (done[list(own)] == list(own.values())).all(axis=1)
    marks = {
        f"{arch} itself (trial {r['trial']})": (r["n_weights"], r["score"])
        for _, r in done[same].head(1).iterrows()
    }
    chosen = done.index[done["trial"] == best.number]
    places = search.front(done["n_weights"], done["score"])
    return plots.pareto_front(done["n_weights"], done["score"], places, int(chosen[0]), marks)
