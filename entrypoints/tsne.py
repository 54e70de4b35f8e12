"""Acquired and reference spectra in two dimensions, as inputs and as a net's features, and a number (the
paper's Fig. 5).
"""

from dataclasses import dataclass

from mnflow.runtime.cli import execute, option


@dataclass(frozen=True)
class Options:
    """Which net's features, and how t-SNE is run."""

    run: str = option("newest", "id of a cv_train run, or newest")
    arch: str = option("fcn", "with run=newest: the newest of this net; it must have convolutions")
    references: str = option("simulated", "as in reference_test")
    perplexity: float = option(100.0, "of t-SNE")
    iterations: int = option(10_000, "of t-SNE")
    seed: int = option(0, "seed of t-SNE and of the simulated references")


def run(options: Options) -> str:
    """Embed both spaces; log figure, points, and the share of references whose nearest acquired neighbours
    have their valence.

    The features are those of the first fold's net, and the acquired spectra are the ones it was trained on
    and tested on.
    """
    import numpy as np
    import pandas as pd

    from mnflow import plots
    from mnflow.evaluate.embedding import embedding, neighbour_agreement, tsne
    from mnflow.preprocess import crop, normalise
    from mnflow.references import load_references
    from mnflow.runtime.cli import say
    from mnflow.track import cross_validation

    with cross_validation.evaluation("tsne", options.run, arch=options.arch) as (own, finished):
        own.params({k: v for k, v in vars(options).items() if k not in ("run", "arch")})
        spectra, classes = finished.spectra, finished.spectra.edge.classes
        references = load_references(options.references, options.seed, spectra.edge).spectra
        inputs = np.concatenate([crop(spectra), normalise(references.intensity)])  # (N + M, n_crop)
        spaces = {"input": inputs, "features": embedding(finished.models[0], inputs)}
        n, points, metrics = len(spectra), {}, {}
        for name, space in spaces.items():
            say(f"t-SNE of {len(space)} spectra, {name}: {space.shape[1]} dimensions")
            points[name] = tsne(space, options.perplexity, options.iterations, options.seed)
            metrics[f"tsne/reference_agreement_{name}"] = neighbour_agreement(
                space[:n], spectra.valence, space[n:], references.valence
            )
        table = pd.DataFrame(
            {
                "name": np.concatenate([spectra.name, references.name]),
                "set": np.repeat(["acquired", "reference"], [n, len(references)]),
                "valence": np.array([*classes, "mixed"])[
                    np.concatenate([spectra.valence, references.valence])
                ],
                **{f"{name}_{axis}": xy[:, i] for name, xy in points.items() for i, axis in enumerate("xy")},
            }
        )
        own.table(table, "tsne")
        acquired, foreign = (
            {name: xy[part] for name, xy in points.items()} for part in (slice(n), slice(n, None))
        )
        titles = {
            name: f"{space.shape[1]} {name}: {metrics[f'tsne/reference_agreement_{name}']:.0%} of references fit"
            for name, space in spaces.items()
        }
        figure = plots.embeddings(acquired, spectra.valence, foreign, references.valence, classes, titles)
        for target in (own, finished.run):
            target.metrics(metrics)
            target.figure(figure, "tsne")
        agreement = " against ".join(
            f"{metrics[f'tsne/reference_agreement_{s}']:.3f} ({s})" for s in ("features", "input")
        )
        own.note(
            f"{finished.label}: share of references among acquired spectra of their own valence: {agreement}."
        )
    return own.id


if __name__ == "__main__":
    execute(Options, run)
