"""Register the best fully convolutional network; if it passes the gate, it becomes the champion."""

from dataclasses import dataclass, fields

from mnflow.pipeline.execution import execute
from mnflow.promote.gate import Gate
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which cross-validation to promote and the gate's thresholds; or roll back to the previous champion."""

    run: str = option(
        "best", "id of a cv_train run, or best: the best evaluated fully convolutional one on the newest data"
    )
    strategy: str = option(
        "ensemble",
        "ensemble: the fold models together; refit: one model, trained anew on all spectra",
        ("ensemble", "refit"),
    )
    rollback: bool = option(False, "true: make the previous champion the champion again, and do nothing else")
    seed: int = option(0, "seed of the shifts and the noise of the held-out spectra")
    min_cv_accuracy: float = option(Gate.min_cv_accuracy, "gate: accuracy on unshifted test spectra")
    min_shift_accuracy: float = option(Gate.min_shift_accuracy, "gate: mean accuracy over shifts of +-5 eV")
    min_worst_shift_accuracy: float = option(
        Gate.min_worst_shift_accuracy, "gate: accuracy at the worst shift"
    )
    min_noise_accuracy: float = option(Gate.min_noise_accuracy, "gate: accuracy with five times the noise")
    min_reference_vote: float = option(
        Gate.min_reference_vote, "gate: accuracy of the majority vote on reference spectra"
    )
    max_calibration_error: float = option(
        Gate.max_calibration_error, "gate: expected calibration error on held-out spectra"
    )


def run(options: Options) -> str:
    """Promote or roll back, and return the run's id."""
    from mnflow.promote import candidates, promotion, registration, registry
    from mnflow.track import tracking

    gate = Gate(**{f.name: getattr(options, f.name) for f in fields(Gate)})
    name = "roll back" if options.rollback else "promote"
    with tracking.step(tracking.tags_of("promote"), name, vars(options)) as run:
        if options.rollback:
            champion, previous = registry.roll_back()
            after = f", version {previous} the previous one" if previous else ""
            note = f"Version {champion} of {registration.MODEL} is the champion again{after}."
        else:
            candidate = candidates.candidate(options.run)
            note = promotion.promote(run, candidate, gate, options.seed, options.strategy)
        run.note(note)
    return run.id


if __name__ == "__main__":
    execute(Options, run)
