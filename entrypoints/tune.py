"""Optuna search on inner validation spectra; start it again to resume, or several times to share a study.

Every trial is a nested run. Workers, on any machine, that name the same study and storage share it.
"""

from dataclasses import dataclass

from entrypoints.cv_train import Options as CvOptions
from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """What to search, for which network, and how long."""

    study: str = option("fcn", "name of the study; an existing one is resumed or joined")
    mode: str = option(
        "score", "score: the best score, bad trials pruned; front: score against weights", ("score", "front")
    )
    arch: str = option(CvOptions.arch, "as in cv_train")
    search: str = option(
        "dropout,filters,learning_rate",
        "what varies: dropout, filters, learning_rate, kernels, depth, l3_bin (channels a bin around L3)",
    )
    trials: int = option(60, "trials of the study, those of all workers and earlier starts together")
    augmentation: str = option(CvOptions.augmentation, "as in cv_train")
    noise_augmentation: bool = option(CvOptions.noise_augmentation, "as in cv_train")
    degraded_copies: int = option(CvOptions.degraded_copies, "as in cv_train")
    folds: str = option(CvOptions.folds, "as in cv_train")
    n_folds: int = option(CvOptions.n_folds, "number of outer folds; their test spectra are never scored")
    scored_folds: int = option(3, "inner validations per trial, one in each of the first outer folds")
    epochs: int = option(10, "passes over the inner training spectra; few, since a search compares networks")
    seed: int = option(CvOptions.seed, "seed of folds, weights, and with one worker of the search")
    data: str = option(CvOptions.data, "as in cv_train")
    storage: str = option(
        "default", "sqlite:///FILE or postgresql://HOST/NAME; default: $MNFLOW_STUDY_STORAGE, else studies.db"
    )
    heartbeat: int = option(
        30, "seconds between a worker's signs of life; after twice as long its trial goes to another"
    )


def run(options: Options) -> str:
    """Run trials until the study has enough, log its results, and return this worker's run id."""
    from entrypoints.preprocess import find_or_make_dataset
    from mnflow.pipeline import tuning
    from mnflow.track import names, tracking
    from mnflow.train.settings import TrainSettings, parse_augmentation
    from mnflow.tune import search, study

    searched = search.parse_search(options.search)
    base = TrainSettings(
        arch=options.arch,
        augmentation=parse_augmentation(options.augmentation),
        noise_augmentation=options.noise_augmentation,
        degraded_copies=options.degraded_copies,
        epochs=options.epochs,
        seed=options.seed,
    )
    tags = tracking.tags_of("tune", options.arch, options.augmentation, options.folds)
    tags |= {names.STUDY: options.study}
    with tracking.step(tags, f"tune {options.study}", vars(options)) as own:
        storage = study.connect(study.storage_url(options.storage), options.heartbeat, tuning.close_lost)
        spectra, uri = find_or_make_dataset(options.data, own)
        own.tags({names.DATASET_URI: uri, names.DATASET_DIGEST: spectra.digest()})
        own.dataset(spectra, "tuning")
        inner = search.inner_folds(
            spectra, options.folds, options.n_folds, options.scored_folds, options.seed
        )
        terms = {k: v for k, v in vars(options).items() if k not in _MAY_DIFFER}
        terms["dataset"] = spectra.digest()
        itself = search.own_params(base, searched)
        directions = search.MODES[options.mode]
        found = study.open_study(options.study, storage, directions, terms, itself, options.seed)
        objective = tuning.objective(own, tags, base, searched, spectra, inner, options.mode)
        study.run_trials(found, objective, options.trials)
        tuning.log_study(own, found, options.arch, itself)
    return own.id


_MAY_DIFFER = ("study", "trials", "data", "storage", "heartbeat")  # when a study is resumed or joined


if __name__ == "__main__":
    execute(Options, run)
