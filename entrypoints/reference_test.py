"""Accuracy of every fold's model on reference spectra of other laboratories (the paper's Table 1)."""

from dataclasses import dataclass

from mnflow.pipeline.execution import execute
from mnflow.references import load_references
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which cross-validation to test, and on what."""

    run: str = option("newest", "id of a cv_train run, or newest")
    arch: str = option("fcn", "with run=newest: the newest of this net, or any")
    references: str = option(
        "simulated",
        "simulated (a laboratory of other physics), a folder with manifest.csv, or a file of spectra",
    )
    seed: int = option(0, "seed of the simulated references")


def run(options: Options) -> str:
    """Test; log table, accuracies and figures here, and the accuracies to the cross-validation, too."""
    from mnflow.track import cross_validation, names
    from mnflow.track.evaluations import log_activations, log_references

    with cross_validation.evaluation("reference_test", options.run, arch=options.arch) as (own, finished):
        own.params({"references": options.references, "seed": options.seed})
        references = load_references(options.references, options.seed, finished.spectra.edge)
        runs = (own, finished.run) if options.references == "simulated" else (own,)
        found = log_references(runs, finished.models, references)
        log_activations(own, finished.models[0], finished.spectra, references.spectra)
        n, mixed = len(references.spectra), int((references.spectra.valence < 0).sum())
        note = (
            f"{finished.label} on {n} references ({options.references}), {mixed} of them mixed or of "
            "a class that the model does not know, and left out"
        )
        if found:
            mean, vote = found[names.REFERENCE_ACCURACY], found[names.REFERENCE_VOTE_ACCURACY]
            note += f": mean accuracy of the fold models {mean:.4f}, of their majority vote {vote:.4f}"
        own.note(note + ".")
    return own.id


if __name__ == "__main__":
    execute(Options, run)
