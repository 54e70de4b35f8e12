"""Accuracy of a finished cross-validation against noise, 0 to 5 times the measured (the paper's Fig. 4)."""

from dataclasses import dataclass

from mnflow.augment.pca_noise import KEPT_COMPONENTS
from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which cross-validation to evaluate, and what counts as signal."""

    run: str = option("newest", "id of a cv_train run, or newest")
    arch: str = option("any", "with run=newest: the newest of this net")
    kept_components: int = option(
        KEPT_COMPONENTS, "principal components that count as signal; the others are the noise that is scaled"
    )


def run(options: Options) -> str:
    """Scale the noise of every fold's test spectra; log the curve here and on the CV run."""
    from mnflow.track import cross_validation, names
    from mnflow.track.evaluations import log_noise

    with cross_validation.evaluation("noise_eval", options.run, arch=options.arch) as (own, finished):
        own.params({"kept_components": options.kept_components})
        found = log_noise((own, finished.run), finished, options.kept_components)
        own.note(
            f"{finished.label}: accuracy {found[names.NOISE_5X_ACCURACY]:.4f} with five times the noise, "
            f"{found[names.NOISE_1X_ACCURACY]:.4f} with the measured noise."
        )
    return own.id


if __name__ == "__main__":
    execute(Options, run)
