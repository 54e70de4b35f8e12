"""What a spectroscopist would use instead of a net, through the same folds and evaluations: a nested run for
each method.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnflow.runtime.cli import execute, option

if TYPE_CHECKING:
    from mnflow.folds import Fold
    from mnflow.references import References
    from mnflow.spectra import SpectrumSet
    from mnflow.track.tracking import Run

STEP = "baseline"


@dataclass(frozen=True)
class Options:
    """Which methods, on what."""

    methods: str = option("all", "all, or names of mnflow.models.baselines.METHODS, separated by commas")
    align: str = option("both", "whether the L3 maximum is first moved to one place", ("both", "yes", "no"))
    augmentation: str = option("none", "as in cv_train")
    folds: str = option("stratified", "as in cv_train")
    n_folds: int = option(10, "number of folds")
    seed: int = option(0, "seed of folds and of what is drawn")
    data: str = option("newest", "as in cv_train")
    references: str = option("simulated", "as in reference_test")


def run(options: Options) -> str:
    """Cross-validate and evaluate every method; returns the id of the run that sums them up."""
    import pandas as pd

    from entrypoints.preprocess import find_or_make_dataset
    from mnflow.folds import split
    from mnflow.models import baselines
    from mnflow.references import load_references
    from mnflow.runtime.cli import say
    from mnflow.track import tracking

    tags = tracking.tags_of("baselines", augmentation=options.augmentation, folds=options.folds)
    with tracking.step(tags, f"baselines {options.augmentation} {options.folds}", vars(options)) as own:
        methods = baselines.METHODS if options.methods == "all" else tuple(options.methods.split(","))
        for method in methods:
            baselines.build(method)  # an unknown one is refused before the first trains
        spectra, uri = find_or_make_dataset(options.data, own)
        own.dataset(spectra, "training")
        folds = split(spectra, options.folds, options.n_folds, options.seed)
        references = load_references(options.references, options.seed, spectra.edge)
        rows = []
        for method in methods:
            for align in {"both": (False, True), "yes": (True,), "no": (False,)}[options.align]:
                name = f"{method}_aligned" if align else method
                known = {
                    **tracking.tags_of(STEP, name, options.augmentation, options.folds),
                    "dataset_uri": uri,
                    "dataset_digest": spectra.digest(),
                }
                with tracking.child(
                    own, {**known, "noise_augmentation": "false"}, f"{name} {options.augmentation}"
                ) as child:
                    child.params(vars(options) | {"methods": method, "align": align})
                    rows.append(
                        {
                            "method": name,
                            **_evaluate(child, options, method, align, spectra, folds, references),
                        }
                    )
                    say(
                        ", ".join(
                            f"{k} {v if isinstance(v, str) else f'{v:.4f}'}" for k, v in rows[-1].items()
                        )
                    )
        own.table(pd.DataFrame(rows), "summary")
        own.note(
            f"{len(rows)} methods without a net on {len(spectra)} spectra: see tables/summary.csv and the "
            f"nested runs."
        )
    return own.id


def _evaluate(
    child: "Run",
    options: Options,
    method: str,
    align: bool,
    spectra: "SpectrumSet",
    folds: "Sequence[Fold]",
    references: "References",
) -> dict[str, float]:
    """Train on every fold, log everything that a net's runs log, and return the numbers."""
    import numpy as np

    from mnflow.models import baselines
    from mnflow.preprocess import crop
    from mnflow.track import cross_validation
    from mnflow.track.evaluations import log_noise, log_references, log_shift
    from mnflow.train.cross_validate import FoldModel
    from mnflow.train.settings import parse_augmentation

    n_crops = parse_augmentation(options.augmentation)
    models = [baselines.fit_fold(spectra, fold, method, align, n_crops, options.seed) for fold in folds]
    results = []
    for fold, model in zip(folds, models, strict=True):
        p = model.predict(crop(spectra.select(fold.test)))
        right = p.argmax(axis=1) == spectra.valence[fold.test]
        results.append(FoldModel(fold.number, b"", float(right.mean()), p, {}))
    child.table(cross_validation.prediction_table(results, folds, spectra), "predictions")
    accuracy = np.array([r.accuracy for r in results])
    found = {"cv/accuracy_mean": float(accuracy.mean()), "cv/accuracy_std": float(accuracy.std(ddof=1))}
    child.metrics(found)
    trained = cross_validation.Evaluated(f"{method}{' aligned' if align else ''}", spectra, folds, models)
    return {
        **found,
        **log_shift([child], trained),
        **log_noise([child], trained),
        **log_references([child], models, references),
    }


if __name__ == "__main__":
    execute(Options, run)
