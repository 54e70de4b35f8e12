"""Search for a net's parameters with Optuna, on inner validation spectra only; start it again to resume, or
twice to share.

Every trial is a nested run. Workers that name the same study and storage share it: processes, containers or
machines.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entrypoints.cv_train import Options as CvOptions
from mnflow.runtime.cli import execute, option

if TYPE_CHECKING:
    from collections.abc import Callable

    import optuna
    from optuna.trial import FrozenTrial, Trial

    from mnflow.folds import Fold
    from mnflow.spectra import SpectrumSet
    from mnflow.track.tracking import Run
    from mnflow.train.settings import TrainSettings
    from mnflow.tune.search import FoldScore


@dataclass(frozen=True)
class Options:
    """What to search, for which net, and how long."""

    study: str = option("fcn", "name of the study; one that exists is resumed, or joined")
    mode: str = option(
        "score", "score: the best score, bad trials pruned; front: score against weights", ("score", "front")
    )
    arch: str = option("fcn", "dense, conv_dense or fcn")
    search: str = option(
        "dropout,filters,learning_rate", "what varies: dropout, filters, learning_rate, kernels"
    )
    trials: int = option(60, "trials of the study, those of all workers and earlier starts together")
    augmentation: str = option(CvOptions.augmentation, "none, or 1x ... 10x, as in cv_train")
    noise_augmentation: bool = option(CvOptions.noise_augmentation, "as in cv_train")
    degraded_copies: int = option(CvOptions.degraded_copies, "as in cv_train")
    folds: str = option(CvOptions.folds, "stratified or grouped, as in cv_train")
    n_folds: int = option(
        CvOptions.n_folds, "number of outer folds, as in cv_train; their test spectra are never scored"
    )
    scored_folds: int = option(
        3, "inner validations a trial is scored on, one in each of the first outer folds"
    )
    epochs: int = option(10, "passes over the inner training spectra; few, since a search compares nets")
    seed: int = option(0, "seed of folds, weights, and with one worker of the search")
    data: str = option(
        "newest", "newest preprocess run, the id of one, or an .npz file; simulated if there is none"
    )
    storage: str = option(
        "default", "sqlite:///FILE or postgresql://HOST/NAME; default: $MNFLOW_STUDY_STORAGE, else studies.db"
    )
    heartbeat: int = option(
        30, "seconds between a worker's signs of life; after twice as long its trial goes to another"
    )


def run(options: Options) -> str:
    """Run trials until the study has enough, log what it shows, and return this worker's run id."""
    from entrypoints.preprocess import find_or_make_dataset
    from mnflow.track import tracking
    from mnflow.train.settings import TrainSettings, parse_augmentation
    from mnflow.tune import study
    from mnflow.tune.search import (
        MODES,
        inner_folds,
        paper_params,
        parse_search,
    )

    search = parse_search(options.search)
    base = TrainSettings(
        arch=options.arch,
        augmentation=parse_augmentation(options.augmentation),
        noise_augmentation=options.noise_augmentation,
        degraded_copies=options.degraded_copies,
        epochs=options.epochs,
        seed=options.seed,
    )
    tags = {
        **tracking.tags_of("tune", options.arch, options.augmentation, options.folds),
        "study": options.study,
    }
    with tracking.step(tags, f"tune {options.study}", vars(options)) as own:
        storage = study.connect(study.storage_url(options.storage), options.heartbeat, _close_lost)
        spectra, uri = find_or_make_dataset(options.data, own)
        own.tags({"dataset_uri": uri, "dataset_digest": spectra.digest()})
        own.dataset(spectra, "tuning")
        inner = inner_folds(spectra, options.folds, options.n_folds, options.scored_folds, options.seed)
        terms = {
            "dataset": spectra.digest(),
            **{k: v for k, v in vars(options).items() if k not in _NO_TERMS},
        }
        paper = paper_params(base, search)
        found = study.open_study(options.study, storage, MODES[options.mode], terms, paper, options.seed)

        objective = _objective(own, tags, base, search, spectra, inner, options.mode)
        study.run_trials(found, objective, options.trials)
        _log_study(own, found, paper)
    return own.id


_NO_TERMS = (
    "study",
    "trials",
    "data",
    "storage",
    "heartbeat",
)  # what may differ when a study is resumed or joined


def _objective(
    own: "Run",
    tags: dict[str, str],
    base: "TrainSettings",
    search: tuple[str, ...],
    spectra: "SpectrumSet",
    inner: "list[Fold]",
    mode: str,
) -> "Callable[[Trial], Any]":
    """A trial as Optuna calls it: in a nested run, which ends before Optuna hears of a pruned trial."""
    import optuna

    from mnflow.track import tracking
    from mnflow.tune.search import (
        score_trial,
        suggest,
    )

    def objective(trial: "Trial") -> Any:
        settings = suggest(trial, base, search)
        own_tags = {**tags, "mnflow.step": "trial", "trial": str(trial.number)}
        with tracking.child(own, own_tags, f"trial {trial.number}") as child:
            trial.set_user_attr("mlflow_run", child.id)
            child.params(trial.params)
            scores, pruned = score_trial(trial, spectra, inner, settings, prune=mode == "score")
            _log_trial(child, trial, scores, pruned, len(inner))
        if pruned:
            raise optuna.TrialPruned
        score = trial.user_attrs["score"]
        return score if mode == "score" else (score, trial.user_attrs["n_weights"])

    return objective


def _close_lost(trial: "FrozenTrial") -> None:
    """End the nested run of a trial whose worker died; the trial is tried again as another one."""
    from mnflow.track.tracking import Run

    if "mlflow_run" in trial.user_attrs:
        lost = Run(trial.user_attrs["mlflow_run"])
        lost.tags(
            {
                "trial_state": "lost",
                "mnflow.error": "Its worker stopped without a word; the trial was queued again.",
            }
        )
        lost.close("KILLED")


def _log_trial(child: "Run", trial: "Trial", scores: "list[FoldScore]", pruned: bool, n_folds: int) -> None:
    """The trial's numbers, its mean curves, and what became of it."""
    import numpy as np

    from mnflow.runtime.cli import say
    from mnflow.tune.search import (
        MEASURES,
    )

    child.metrics({f"inner/{k}": trial.user_attrs[k] for k in ("score", *MEASURES)})
    child.metrics({"inner/n_weights": trial.user_attrs["n_weights"], "inner/folds": len(scores)})
    for key in scores[0].curves:
        values = np.mean([s.curves[key] for s in scores], axis=0)
        child.curve(key.replace("test/", "inner/"), np.arange(1, len(values) + 1), values)
    child.curve("inner/shift_curve", scores[0].shift_bins, np.mean([s.shift_curve for s in scores], axis=0))
    state = f"pruned after {len(scores)} of {n_folds} folds" if pruned else "complete"
    child.tags({"trial_state": "pruned" if pruned else "complete"})
    if pruned:
        child.rename(f"trial {trial.number} (pruned)")
    line = f"trial {trial.number}: {state}, score {trial.user_attrs['score']:.4f}, {trial.user_attrs['n_weights']} weights"
    child.note(f"{line}.")
    say(line)


def _log_study(own: "Run", found: "optuna.Study", paper: dict[str, Any]) -> None:
    """Table, figures and proposal of the whole study, whoever ran its trials."""
    from mnflow import plots
    from mnflow.runtime.cli import say
    from mnflow.tune.search import (
        importance,
        proposed,
        table,
        train_settings_of,
    )

    rows = table(found)
    best = proposed(found)
    own.table(rows, f"study_{found.study_name}")
    own.figure(plots.study_history(rows["trial"], rows["score"], rows["state"] == "pruned"), "history")
    if shares := importance(found):
        own.figure(plots.parameter_importance(shares), "importance")
    done = rows[rows["state"] == "complete"].reset_index(drop=True)
    own.figure(
        plots.parameter_slices({k: done[k] for k in paper}, done["score"], ["learning_rate"]), "slices"
    )
    own.figure(_front_figure(done, best, paper), "front")
    own.metrics(
        {
            "tune/trials": len(rows),
            "tune/best_score": best.user_attrs["score"],
            "tune/weights": best.user_attrs["n_weights"],
        }
    )
    own.json({"trial": best.number, **train_settings_of(best.params)}, "study/proposed.json")
    own.note(
        f"Of {len(rows)} trials ({(rows['state'] == 'pruned').sum()} pruned) trial {best.number} is "
        f"proposed: score "
        f"{best.user_attrs['score']:.4f} with {best.user_attrs['n_weights']} weights. "
        f"Next: `mlflow run . -e cv_train -P study={found.study_name}`."
    )
    say(f"study {found.study_name}: trial {best.number} is proposed, {best.params}")


def _front_figure(done: Any, best: "FrozenTrial", paper: dict[str, Any]) -> Any:
    """Score against weights, with the paper's net where a trial has its parameters."""
    from mnflow import plots
    from mnflow.tune.search import (
        front,
    )

    same = (done[list(paper)] == list(paper.values())).all(axis=1)
    marks = {
        f"the paper's net (trial {r['trial']})": (r["n_weights"], r["score"])
        for _, r in done[same].head(1).iterrows()
    }
    chosen = done.index[done["trial"] == best.number]
    places = front(done["n_weights"], done["score"])
    return plots.pareto_front(done["n_weights"], done["score"], places, int(chosen[0]), marks)


if __name__ == "__main__":
    execute(Options, run)
