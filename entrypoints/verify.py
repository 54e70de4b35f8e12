"""Whether a registered version still gives the numbers that it was registered with, recomputed from its own
artifacts.
"""

from dataclasses import dataclass

from mnflow.errors import InputError
from mnflow.runtime.cli import execute, option


@dataclass(frozen=True)
class Options:
    """Which version to verify."""

    version: str = option(
        "champion", "number of a version of the registered model, or an alias: champion, previous"
    )


def run(options: Options) -> str:
    """Recompute, compare, log the table, and return the run's id; a number that does not hold is an
    `InputError`.
    """
    from mnflow.promote import verification
    from mnflow.references import load_references
    from mnflow.runtime.cli import say
    from mnflow.track import names, provenance, tracking

    with tracking.step(tracking.tags_of("verify"), f"verify {options.version}", vars(options)) as run:
        version = verification.find_version(options.version)
        promoted = verification.promoted_by(version)
        seed = int(promoted.data.params["seed"])
        finished, answered = verification.own_artifacts(version)
        run.tags(
            {k: finished.tags[k] for k in ("arch", "augmentation", "folds", "dataset_digest")}
            | {"version": version.version}
        )
        drawn = verification.param_of("reference_test", finished, "seed", references="simulated")
        references = load_references("simulated", drawn, finished.spectra.edge)
        checks = verification.compare(
            version.tags,
            verification.recompute(
                run, finished, references, seed, promoted.data.params["strategy"], answered
            ),
        )
        run.table(verification.table(checks), "verification")
        failed = [f"{c.name} was {c.registered:.6g} and is {c.found:.6g}" for c in checks if not c.holds]
        changed = [
            k for k in (names.CODE, names.ENVIRONMENT) if promoted.data.tags.get(k) != provenance.tags()[k]
        ]
        since = (
            f" ({' and '.join(k.removeprefix('mnflow.') for k in changed)} changed since)" if changed else ""
        )
        if failed:
            raise InputError(f"Version {version.version} does not hold{since}: {'; '.join(failed)}.")
        note = (
            f"Version {version.version} holds: all {len(checks)} numbers were found again{since}, its files are those "
            f"that were registered, and they give the same {len(answered.answers)} answers."
        )
        run.note(note)
        say(note)
    return run.id


if __name__ == "__main__":
    execute(Options, run)
