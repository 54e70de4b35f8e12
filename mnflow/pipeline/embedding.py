"""t-SNE of acquired and reference spectra, as inputs and as a network's features (the paper's Fig. 5)."""

import numpy as np
import pandas as pd

from mnflow import plots
from mnflow.evaluate.embedding import embedding, neighbour_agreement, tsne
from mnflow.preprocess import crop, normalise
from mnflow.runtime.cli import say
from mnflow.spectra import SpectrumSet
from mnflow.track import names
from mnflow.track.cross_validation import FinishedCv
from mnflow.track.tracking import Run, log_figure


def log_embedding(
    run: Run, finished: FinishedCv, references: SpectrumSet, perplexity: float, iterations: int, seed: int
) -> dict[str, float]:
    """Embed both spaces and log points, figure and metrics, the latter two to the cross-validation as well.

    The features are those of the first fold's model; the acquired spectra include those it was trained on.

    Returns
    -------
    dict of str to float
        Share of references, by space (`input`, `features`), whose nearest acquired spectra have their class.
    """
    spectra, n = finished.spectra, len(finished.spectra)
    inputs = np.concatenate([crop(spectra), normalise(references.intensity)])  # (N + M, n_crop)
    spaces = {"input": inputs, "features": embedding(finished.models[0], inputs)}
    points, agreement = {}, {}
    for name, space in spaces.items():
        say(f"t-SNE of {len(space)} spectra, {name}: {space.shape[1]} dimensions")
        points[name] = tsne(space, perplexity, iterations, seed)
        agreement[name] = neighbour_agreement(space[:n], spectra.valence, space[n:], references.valence)
    run.table(_table(points, spectra, references), "tsne")
    acquired, other = ({k: xy[part] for k, xy in points.items()} for part in (slice(n), slice(n, None)))
    titles = {
        name: f"{name} ({space.shape[1]} numbers): {agreement[name]:.0%} of references agree"
        for name, space in spaces.items()
    }
    classes = spectra.edge.classes
    figure = plots.embeddings(acquired, spectra.valence, other, references.valence, classes, titles)
    runs = (run, finished.run)
    for target in runs:
        target.metrics({names.TSNE_AGREEMENT.format(name): value for name, value in agreement.items()})
    log_figure(runs, figure, "tsne")
    return agreement


def _table(points: dict[str, np.ndarray], spectra: SpectrumSet, references: SpectrumSet) -> pd.DataFrame:
    """One row per spectrum: name, set, class and its place in every space."""
    classes = np.array([*spectra.edge.classes, "mixed"])  # an unlabelled reference (-1) is mixed
    return pd.DataFrame(
        {
            "name": np.concatenate([spectra.name, references.name]),
            "set": np.repeat(["acquired", "reference"], [len(spectra), len(references)]),
            "valence": classes[np.concatenate([spectra.valence, references.valence])],
            **{f"{name}_{axis}": xy[:, i] for name, xy in points.items() for i, axis in enumerate("xy")},
        }
    )
