"""Cross-validate one network with one augmentation: a parent run, and a nested run per fold."""

from dataclasses import dataclass

from mnflow.folds import KINDS, N_FOLDS
from mnflow.models.architectures import ARCHITECTURES
from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option
from mnflow.train.settings import TrainSettings, augmentation_word, parse_augmentation


@dataclass(frozen=True)
class Options:
    """What to train, on what, and how."""

    arch: str = option(TrainSettings.arch, "the network", tuple(ARCHITECTURES))
    augmentation: str = option(
        augmentation_word(TrainSettings.augmentation), "none, or 1x ... 10x: shifts per spectrum and epoch"
    )
    noise_augmentation: bool = option(
        TrainSettings.noise_augmentation, "scale the noise of training spectra by 0 to 5"
    )
    degraded_copies: int = option(
        TrainSettings.degraded_copies, "copies per spectrum with worse resolution and a thicker specimen"
    )
    folds: str = option(KINDS[0], "stratified, or grouped: no image on both sides", KINDS)
    n_folds: int = option(N_FOLDS, "number of folds")
    epochs: int = option(
        TrainSettings.epochs, "passes over the training spectra; never chosen on a test fold"
    )
    seed: int = option(TrainSettings.seed, "seed of folds, weights and random draws")
    data: str = option("newest", "newest preprocess run, a run id, or an .npz file; simulated if none")
    study: str = option("none", "name of a study of tune: train the network that it proposes")
    workers: int = option(0, "processes that train folds in parallel; 0: one per core")
    scheduler: str = option("local", "local, or the address of a Dask cluster (tcp://...)")


def run(options: Options) -> str:
    """Train the folds, log each as it is finished, and return the parent run's id."""
    from entrypoints.preprocess import find_or_make_dataset
    from mnflow.folds import split
    from mnflow.pipeline.cross_validation import cross_validate, run_name, settings_from, summary
    from mnflow.track import names, tracking

    how = {k: getattr(options, k) for k in ("noise_augmentation", "degraded_copies", "epochs", "seed")}
    tags = tracking.tags_of("cv_train", options.arch, options.augmentation, options.folds)
    tags[names.STUDY] = options.study
    name, n_crops = run_name(tags, options.noise_augmentation), parse_augmentation(options.augmentation)
    with tracking.step(tags, name, vars(options)) as own:
        settings = settings_from(options.study, options.arch, augmentation=n_crops, **how)
        spectra, uri = find_or_make_dataset(options.data, own)
        folds = split(spectra, options.folds, options.n_folds, options.seed)
        where = options.workers, options.scheduler
        result = cross_validate(own, tags, spectra, uri, folds, settings, *where)
        own.note(f"{name}: {summary(*result)}, {len(spectra)} spectra, {options.epochs} epochs.")
    return own.id


if __name__ == "__main__":
    execute(Options, run)
