"""Recompute the numbers of a registered version from its own artifacts, and compare them."""

from dataclasses import dataclass

from mnflow.errors import InputError
from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which version to verify."""

    version: str = option("champion", "number or alias (champion, previous) of a registered version")


def run(options: Options) -> str:
    """Recompute, compare, log the table, and return the run's id.

    Raises `InputError` if a number, a file or an answer is not what was registered.
    """
    from mnflow.promote import verification
    from mnflow.promote.registration import registration
    from mnflow.references import load_references
    from mnflow.track import names, tracking

    with tracking.step(tracking.tags_of("verify"), f"verify {options.version}", vars(options)) as run:
        version = verification.find_version(options.version)
        promoted = verification.promoted_by(version)
        seed = int(promoted.data.params["seed"])
        finished, answered = verification.own_artifacts(version)
        run.tags({**names.setting_of(finished.tags), "version": version.version})
        drawn = verification.param_of("reference_test", finished, "seed", references="simulated")
        references = load_references("simulated", drawn, finished.spectra.edge)
        strategy = promoted.data.params["strategy"]
        numbers = verification.recompute(run, finished, references, seed, strategy, answered)
        checks = verification.compare(registration(version).metrics, numbers)
        run.table(verification.table(checks), "verification")
        failed = [f"{c.name} was {c.registered:.6g} and is {c.found:.6g}" for c in checks if not c.holds]
        since = verification.changed_since(promoted)
        if failed:
            raise InputError(f"Version {version.version} does not hold{since}: {'; '.join(failed)}.")
        note = (
            f"Version {version.version} holds: all {len(checks)} numbers were found again{since}, its files "
            f"are those that were registered, and they give the same {len(answered.answers)} answers."
        )
        run.note(note)
    return run.id


if __name__ == "__main__":
    execute(Options, run)
