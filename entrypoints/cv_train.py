"""Cross-validate one net with one augmentation: a parent run with a child for every fold; the folds' models
are logged.
"""

from dataclasses import dataclass
from typing import Any

from mnflow.runtime.cli import execute, option


@dataclass(frozen=True)
class Options:
    """What to train, on what, and how. Values that say `auto` are the net's own."""

    arch: str = option("fcn", "dense, conv_dense or fcn")
    augmentation: str = option(
        "10x", "none, or 1x ... 10x: so many random energy shifts of each spectrum an epoch"
    )
    noise_augmentation: bool = option(
        True, "also scale the noise of the training spectra by 0 to 5, at random"
    )
    degraded_copies: int = option(
        1, "copies of each training spectrum as a worse instrument and a thicker specimen show it"
    )
    folds: str = option("stratified", "stratified (the paper's), or grouped: no spectrum image on both sides")
    n_folds: int = option(10, "number of folds")
    epochs: int = option(
        40, "passes over the training spectra; fixed in advance, never chosen on a test fold"
    )
    seed: int = option(0, "seed of folds, weights and everything that is drawn")
    data: str = option(
        "newest", "newest preprocess run, the id of one, or an .npz file; simulated if there is none"
    )
    study: str = option("none", "name of a study of tune: train the net and parameters that it proposes")
    workers: int = option(0, "processes that train folds in parallel; 0: one a core")
    scheduler: str = option("local", "local, or the address of a Dask cluster (tcp://...)")


def run(options: Options) -> str:
    """Train the folds, log each as it is finished, and return the parent run's id."""
    from tqdm import tqdm

    from entrypoints.preprocess import find_or_make_dataset
    from mnflow import folds
    from mnflow.track import cross_validation, names, resume, tracking
    from mnflow.train import cross_validate
    from mnflow.train.settings import TrainSettings, parse_augmentation

    chosen = _from_study(options)
    tags = tracking.tags_of(cross_validation.STEP, chosen["arch"], options.augmentation, options.folds) | {
        "study": options.study
    }
    with tracking.step(tags, run_name(options), vars(options)) as run:
        settings = TrainSettings(
            augmentation=parse_augmentation(options.augmentation),
            noise_augmentation=options.noise_augmentation,
            degraded_copies=options.degraded_copies,
            epochs=options.epochs,
            seed=options.seed,
            **chosen,
        )
        spectra, uri = find_or_make_dataset(options.data, run)
        tags |= {
            "noise_augmentation": str(options.noise_augmentation).lower(),
            "dataset_digest": spectra.digest(),
        }
        run.tags({**tags, "dataset_uri": uri})
        run.dataset(spectra, "training")
        parts = folds.split(spectra, options.folds, options.n_folds, options.seed)
        cross_validation.log_folds(run, parts)
        cross_validation.log_settings(run, settings)
        signature = resume.signature(spectra.digest(), settings, parts)
        done, orphans = resume.finished_folds(signature)
        run.tags({names.SIGNATURE: signature})
        todo = [fold for fold in parts if fold.number not in {result.fold for result in done}]
        log = cross_validation.FoldLog(run, tags, signature)
        with tqdm(
            total=len(parts), desc=f"cv_train {options.arch} {options.augmentation}", unit="fold"
        ) as progress:

            def keep(result: cross_validate.FoldModel) -> None:
                log.add(result)
                progress.update()

            for result in done:
                keep(result)
            for orphan in orphans:
                resume.take_up(orphan, run)
            trained = (
                cross_validate.train_folds(
                    spectra, todo, settings, options.workers, _address(options.scheduler), keep
                )
                if todo
                else []
            )
        log.finish()
        results = sorted([*done, *trained], key=lambda result: result.fold)
        found = cross_validation.log_summary(run, results, parts, spectra)
        run.note(
            f"{run_name(options)}: {found['cv/accuracy_mean']:.4f} +- {found['cv/accuracy_std']:.4f} of test "
            f"spectra right, "
            f"over {len(parts)} folds of {len(spectra)} spectra; {options.epochs} epochs each."
            + (f" {len(done)} folds were taken up from an interrupted run." if done else "")
        )
    return run.id


def _from_study(options: Options) -> dict[str, Any]:
    """The net, and where a study is named what was best in it."""
    if options.study == "none":
        return {"arch": options.arch}
    from mnflow.tune import search

    return search.best_settings(options.study)


def run_name(options: Options) -> str:
    """What the run is called in the UI, e.g. `fcn 10x + noise grouped`."""
    noise = " + noise" if options.noise_augmentation else ""
    net = options.arch if options.study == "none" else f"study {options.study}"
    return f"{net} {options.augmentation}{noise} {options.folds}"


def _address(scheduler: str) -> str | None:
    return None if scheduler == "local" else scheduler


if __name__ == "__main__":
    execute(Options, run)
