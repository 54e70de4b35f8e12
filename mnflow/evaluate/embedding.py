"""Inputs and features in two dimensions (t-SNE, the paper's Fig. 5), and how well neighbours agree."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from mnflow.models.keras_import import keras
from mnflow.models.keras_nets import feature_model
from mnflow.spectra import UNLABELLED
from mnflow.spectra.arrays import Array, Floats32, Ints


def embedding(model: keras.Model, inputs: ArrayLike) -> Floats32:
    """Features (N, 72 in the paper's shape) of normalised crops (N, n_crop)."""
    return np.asarray(feature_model(model).predict(np.asarray(inputs, dtype=np.float32), verbose=0))


def tsne(features: Array, perplexity: float = 100.0, iterations: int = 10_000, seed: int = 0) -> Floats32:
    """t-SNE of points (N, D): (N, 2), starting from their principal components as in the paper.

    https://www.jmlr.org/papers/v9/vandermaaten08a.html. The perplexity is at most (N - 1) / 3.
    """
    perplexity = min(perplexity, (len(features) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, max_iter=max(iterations, 250), init="pca", random_state=seed)
    return model.fit_transform(np.asarray(features, dtype=np.float32))


def neighbour_agreement(
    features: Array,
    valence: Ints,
    other: Array,
    other_valence: Ints,
    n_neighbours: int = 10,
) -> float:
    """Share of foreign points whose nearest acquired neighbours have their valence.

    Parameters
    ----------
    features, valence : ndarray, shapes (N, D) and (N,)
        Acquired spectra as points, and their labels.
    other, other_valence : ndarray, shapes (M, D) and (M,)
        Foreign points; unlabelled ones do not count.
    n_neighbours : int
        Neighbours that vote; most of them decide.
    """
    known = other_valence != UNLABELLED
    nearest = NearestNeighbors(n_neighbors=min(n_neighbours, len(features))).fit(features)
    labels = valence[nearest.kneighbors(other[known], return_distance=False)]  # (M, n_neighbours)
    votes = np.apply_along_axis(np.bincount, 1, labels, minlength=int(valence.max()) + 1)
    return float((votes.argmax(axis=1) == other_valence[known]).mean())
