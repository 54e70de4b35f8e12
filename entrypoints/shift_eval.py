"""Accuracy of a finished cross-validation against energy shifts of -5 to +5 eV (the paper's Fig. 3)."""

from dataclasses import dataclass

from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which cross-validation to evaluate."""

    run: str = option("newest", "id of a cv_train run, or newest")
    arch: str = option("any", "with run=newest: the newest of this net")


def run(options: Options) -> str:
    """Shift every fold's test spectra past its model; log the curve here and on the CV run."""
    from mnflow.track import cross_validation, names
    from mnflow.track.evaluations import log_shift

    with cross_validation.evaluation("shift_eval", options.run, arch=options.arch) as (own, finished):
        found = log_shift((own, finished.run), finished)
        own.note(
            f"{finished.label}: mean accuracy {found[names.SHIFT_ACCURACY]:.4f} over shifts of -5 to +5 eV, "
            f"{found[names.WORST_SHIFT_ACCURACY]:.4f} at the worst shift."
        )
    return own.id


if __name__ == "__main__":
    execute(Options, run)
