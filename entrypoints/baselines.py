"""Baselines without a network, through the same folds and evaluations: one nested run per method."""

from dataclasses import dataclass

from mnflow.folds import KINDS, N_FOLDS
from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which methods, on what."""

    methods: str = option("all", "all, or names of mnflow.models.baselines.METHODS, separated by commas")
    align: str = option(
        "both", "align spectra at their L3 maximum first: yes, no or both", ("both", "yes", "no")
    )
    augmentation: str = option("none", "as in cv_train")
    folds: str = option(KINDS[0], "as in cv_train", KINDS)
    n_folds: int = option(N_FOLDS, "number of folds")
    seed: int = option(0, "seed of folds and random draws")
    data: str = option("newest", "as in cv_train")
    references: str = option("simulated", "as in reference_test")


def run(options: Options) -> str:
    """Cross-validate and evaluate every method; returns the id of the parent run with the summary."""
    from entrypoints.preprocess import find_or_make_dataset
    from mnflow.folds import split
    from mnflow.pipeline.baselines import cases, evaluate_all
    from mnflow.references import load_references
    from mnflow.track import tracking
    from mnflow.train.settings import parse_augmentation

    setting = {"augmentation": options.augmentation, "folds": options.folds}
    name = f"baselines {options.augmentation} {options.folds}"
    methods, n_crops = cases(options.methods, options.align), parse_augmentation(options.augmentation)
    with tracking.step(tracking.tags_of("baselines", **setting), name, vars(options)) as own:
        spectra, uri = find_or_make_dataset(options.data, own)
        own.dataset(spectra, "training")
        folds = split(spectra, options.folds, options.n_folds, options.seed)
        references = load_references(options.references, options.seed, spectra.edge)
        evaluate_all(own, methods, vars(options), n_crops, spectra, uri, folds, references)
    return own.id


def aligned(methods: tuple[str, ...], data: str, n_folds: int, seed: int) -> list[str]:
    """Evaluate methods on spectra aligned at L3; returns their runs' ids, none for no method."""
    from mnflow.track.query import children

    if not methods:
        return []
    own = run(Options(methods=",".join(methods), align="yes", n_folds=n_folds, seed=seed, data=data))
    return [r.info.run_id for r in children(own, status="FINISHED")]


if __name__ == "__main__":
    execute(Options, run)
