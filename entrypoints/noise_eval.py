"""Accuracy of a finished cross-validation against noise, 0 to 5 times the measured (the paper's Fig. 4)."""

from dataclasses import dataclass

from mnflow.runtime.cli import execute, option


@dataclass(frozen=True)
class Options:
    """Which cross-validation to evaluate, and what counts as signal."""

    run: str = option("newest", "id of a cv_train run, or newest")
    arch: str = option("any", "with run=newest: the newest of this net")
    kept_components: int = option(
        10, "principal components that count as signal; the others are the noise that is scaled"
    )


def run(options: Options) -> str:
    """Scale the noise of every fold's test spectra; log the curve here and on the CV run."""
    from mnflow.track import cross_validation
    from mnflow.track.evaluations import log_noise

    with cross_validation.evaluation("noise_eval", options.run, arch=options.arch) as (own, finished):
        own.params({"kept_components": options.kept_components})
        found = log_noise((own, finished.run), finished, options.kept_components)
        own.note(
            f"{finished.label}: {found['noise/accuracy_at_5x']:.4f} of all spectra right with five times the "
            f"noise, "
            f"{found['noise/accuracy_at_1x']:.4f} with the noise as measured."
        )
    return own.id


if __name__ == "__main__":
    execute(Options, run)
