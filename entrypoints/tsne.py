"""t-SNE of acquired and reference spectra, as inputs and as a network's features (the paper's Fig. 5)."""

from dataclasses import dataclass

from entrypoints.reference_test import Options as References
from mnflow.pipeline.execution import execute
from mnflow.runtime.cli import option


@dataclass(frozen=True)
class Options:
    """Which network's features, and how t-SNE is run."""

    run: str = option("newest", "id of a cv_train run, or newest")
    arch: str = option("fcn", "with run=newest: the newest of this network; it must have convolutions")
    references: str = option(References.references, "as in reference_test")
    perplexity: float = option(100.0, "of t-SNE")
    iterations: int = option(10_000, "of t-SNE")
    seed: int = option(0, "seed of t-SNE and of the simulated references")


def run(options: Options) -> str:
    """Embed both spaces; log figure, points, and the share of references among spectra of their own class."""
    from mnflow.pipeline.embedding import log_embedding
    from mnflow.references import load_references
    from mnflow.track import cross_validation

    with cross_validation.evaluation("tsne", options.run, arch=options.arch) as (own, finished):
        own.params({k: v for k, v in vars(options).items() if k not in ("run", "arch")})
        references = load_references(options.references, options.seed, finished.spectra.edge).spectra
        agreement = log_embedding(
            own, finished, references, options.perplexity, options.iterations, options.seed
        )
        own.note(
            f"{finished.label}: share of references whose nearest acquired spectra have their class: "
            f"{agreement['features']:.3f} by features, {agreement['input']:.3f} by input."
        )
    return own.id


if __name__ == "__main__":
    execute(Options, run)
