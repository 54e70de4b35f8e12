"""Features, t-SNE, and the agreement of neighbours."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mnflow.errors import InputError
from mnflow.evaluate.embedding import embedding, neighbour_agreement, tsne
from mnflow.preprocess import crop
from mnflow.spectra import SpectrumSet
from tests.helpers.drawn_nets import drawn_net


def test_features_of_a_net(some: SpectrumSet, nets: list[keras.Model]) -> None:
    features = embedding(nets[0], crop(some))
    assert features.shape == (90, 22 * 4)
    assert features.dtype == np.float32
    with pytest.raises(InputError, match="no feature extractor"):
        embedding(drawn_net(0, "dense"), crop(some))


def test_tsne_keeps_clusters_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    points = rng.normal(size=(60, 5)) + 20 * np.eye(5)[labels]
    placed = tsne(points, iterations=300)
    assert placed.shape == (60, 2)
    np.testing.assert_array_equal(placed, tsne(points, iterations=300))
    assert neighbour_agreement(placed[:45], labels[:45], placed[45:], labels[45:]) == 1.0


def test_tsne_has_the_papers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    class Recorder:
        def __init__(self, dimensions: int, **options: object) -> None:
            asked.append({"dimensions": dimensions, **options})

        def fit_transform(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
            assert points.dtype == np.float32
            return points

    monkeypatch.setattr("mnflow.evaluate.embedding.TSNE", Recorder)
    tsne(np.zeros((400, 3)))
    tsne(np.zeros((31, 3)), perplexity=20, iterations=3, seed=5)
    tsne(np.zeros((31, 3)), perplexity=5, iterations=250)
    paper = {"dimensions": 2, "perplexity": 100, "max_iter": 10_000, "init": "pca", "random_state": 0}
    few = {"perplexity": 10, "max_iter": 250, "random_state": 5}
    assert asked == [paper, paper | few, paper | {"perplexity": 5, "max_iter": 250}]


def test_ten_neighbours_vote_unless_there_are_fewer() -> None:
    points = np.arange(16.0)[:, None]
    labels = np.array([1] * 3 + [0] * 4 + [2] * 9)
    here = np.array([[-1.0]])  # nearest: three of class 1, four of class 0, and three of class 2
    asked = {
        n: neighbour_agreement(points, labels, here, np.array([k]), n)
        for n, k in ((3, 1), (7, 0), (10, 0), (16, 2))
    }
    assert asked == dict.fromkeys((3, 7, 10, 16), 1.0)
    assert neighbour_agreement(points, labels, here, np.array([0])) == 1.0
    assert neighbour_agreement(points, labels, here, np.array([2]), 99) == 1.0
    assert neighbour_agreement(points[:9], labels[:9], here, np.array([0])) == 1.0


def test_neighbours_vote_and_unlabelled_points_do_not_count() -> None:
    points, labels = np.array([[0.0], [0.1], [0.2], [9.0], [9.1]]), np.array([0, 0, 1, 2, 2])
    other = np.array([[0.0], [9.0], [0.0]])
    agreement = neighbour_agreement(points, labels, other, np.array([0, 1, -1]), n_neighbours=2)
    assert agreement == 0.5
