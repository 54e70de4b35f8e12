"""Cross-validate a model: train folds in parallel, log each at once, resume after a stop."""

from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from mnflow.folds import Fold
from mnflow.spectra import SpectrumSet
from mnflow.track import cross_validation, names
from mnflow.track.tracking import Run
from mnflow.train.cross_validate import FoldModel, train_folds
from mnflow.train.settings import TrainSettings


def cross_validate(
    run: Run,
    tags: Mapping[str, str],
    spectra: SpectrumSet,
    uri: str,
    folds: list[Fold],
    settings: TrainSettings,
    workers: int,
    scheduler: str,
) -> tuple[dict[str, float], int]:
    """Train and log every fold that no interrupted run of the same signature has trained.

    Parameters
    ----------
    run : Run
        The cross-validation; every fold is a nested run with `tags`.
    uri : str
        Where `spectra` are kept.
    scheduler : str
        `local`, or the address of a Dask cluster.
    spectra, folds, settings, workers
        See `mnflow.train.cross_validate.train_folds`.

    Returns
    -------
    metrics : dict of str to float
        Mean and standard deviation of the folds' accuracies.
    n_resumed : int
        Folds that were taken from an interrupted run.
    """
    tags = {
        **tags,
        names.ARCH: settings.arch,
        names.NOISE_AUGMENTATION: str(settings.noise_augmentation).lower(),
        names.DATASET_DIGEST: spectra.digest(),
    }
    run.tags({**tags, names.DATASET_URI: uri})
    run.dataset(spectra, "training")
    cross_validation.log_folds(run, folds)
    cross_validation.log_settings(run, settings)
    signature = cross_validation.signature(spectra.digest(), settings, folds)
    done, interrupted = cross_validation.finished_folds(signature)
    run.tags({names.SIGNATURE: signature})
    with tqdm(total=len(folds), desc=f"cross-validation {settings.arch}", unit="fold") as progress:

        def keep(result: FoldModel) -> None:
            cross_validation.log_fold(run, result, tags)
            progress.update()

        for result in done:
            keep(result)
        for orphan in interrupted:
            run.take_up(orphan.info.run_id)
        finished = {result.fold for result in done}
        missing = [fold for fold in folds if fold.number not in finished]
        address = None if scheduler == "local" else scheduler
        trained = train_folds(spectra, missing, settings, workers, address, keep) if missing else []
    results = sorted([*done, *trained], key=lambda result: result.fold)
    return cross_validation.log_summary(run, results, folds, spectra), len(done)


def run_name(tags: Mapping[str, str], noise_augmentation: bool) -> str:
    """What the run is called in the UI, e.g. `fcn 10x + noise grouped`."""
    noise = " + noise" if noise_augmentation else ""
    net = tags[names.ARCH] if tags[names.STUDY] == "none" else f"study {tags[names.STUDY]}"
    return f"{net} {tags[names.AUGMENTATION]}{noise} {tags[names.FOLDS]}"


def summary(metrics: Mapping[str, float], n_resumed: int) -> str:
    """The result of `cross_validate`, for a run's note."""
    mean, std = metrics[names.CV_ACCURACY], metrics[names.CV_ACCURACY_STD]
    resumed = f" ({n_resumed} folds from an interrupted run)" if n_resumed else ""
    return f"accuracy {mean:.4f} +- {std:.4f} over the folds{resumed}"


def settings_from(study: str, arch: str, **values: Any) -> TrainSettings:
    """Training settings: `values` with network `arch`, or with the proposal of a tune study."""
    if study == "none":
        return TrainSettings(arch=arch, **values)
    from mnflow.tune import search

    return TrainSettings(**{**values, **search.best_settings(study)})
