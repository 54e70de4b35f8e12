"""Evaluations ask every model about its own fold's test spectra, at the right shift and noise."""

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from mnflow.augment.pca_noise import fit_noise
from mnflow.errors import InputError
from mnflow.evaluate.accuracy import (
    _noisy_crops,
    crops,
    integrated_accuracy,
    noise_accuracy,
    noise_examples,
    predict,
    shift_accuracy,
    to_unit_range,
)
from mnflow.evaluate.embedding import embedding, neighbour_agreement, tsne
from mnflow.evaluate.references import reference_accuracy, reference_table, vote
from mnflow.folds import Fold, split
from mnflow.models import jax_predict, keras_nets
from mnflow.models.baselines import Fitted
from mnflow.preprocess import crop
from mnflow.references import References
from mnflow.spectra import UNLABELLED, SpectrumSet
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up

SMALL_NET = {"filters": (3, 4), "kernels": (9, 7)}


def _net(seed: int, arch: str = "fcn") -> keras.Model:
    """A net with drawn weights: its answers are nonsense, but differ between spectra, shifts and nets."""
    net = keras_nets.build(arch, n_channels=COARSE.n_crop, **({} if arch == "dense" else SMALL_NET))
    rng = np.random.default_rng(seed)
    arrays = {
        name: [rng.normal(0, 0.6, a.shape) ** (2 if "norm" in name else 1) for a in v]
        for name, v in keras_nets.get_weights(net).items()
    }
    return keras_nets.with_weights(net, arrays)


@pytest.fixture(scope="module")
def some() -> SpectrumSet:
    return made_up(90, noise=0.1, edge=COARSE)


@pytest.fixture(scope="module")
def folds(some: SpectrumSet) -> list[Fold]:
    return split(some.select(slice(0, 80)), n_folds=2)


@pytest.fixture(scope="module")
def nets() -> list[keras.Model]:
    return [_net(0), _net(1)]


@pytest.mark.parametrize("arch", ["dense", "conv_dense", "fcn", "fcn_antialiased"])
def test_compiled_nets_answer_as_keras_does(some: SpectrumSet, arch: str) -> None:
    net = _net(3, arch)
    expected = net.predict(crop(some), verbose=0)
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(predict([net], crop(some))[0], expected, atol=1e-5)


def test_shift_accuracy_is_what_predicting_every_shift_gives(some: SpectrumSet, folds: list[Fold]) -> None:
    nets = [_net(6, "dense"), _net(7, "dense")]
    bins, accuracy = shift_accuracy(nets, some, folds, max_shift=4)
    assert bins.tolist() == list(range(-4, 5))
    for row, net, fold in zip(accuracy, nets, folds, strict=True):
        tested = some.select(fold.test)
        by_hand = [
            (net.predict(crop(tested, s), verbose=0).argmax(axis=1) == tested.valence).mean() for s in bins
        ]
        np.testing.assert_allclose(row, by_hand)
    assert len(np.unique(accuracy)) > 2
    assert len(shift_accuracy(nets[:1], some, folds[:1])[0]) == 51  # 5 eV of 0.2 eV either way


class _ByMaximum(Fitted):
    """A baseline that tells the class from where a crop has its maximum: quick, and not to be confused with
    another.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def predict(self, inputs: ArrayLike) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[np.asarray(inputs).argmax(axis=1) // self.channels % 3]


def test_baselines_are_asked_as_nets_are(some: SpectrumSet) -> None:
    """Each about its own fold's test spectra, also where folds differ in size."""
    folds, models = split(some.select(slice(0, 80)), n_folds=3), [_ByMaximum(n) for n in (2, 3, 4)]
    assert len({len(fold.test) for fold in folds}) == 2
    bins, accuracy = shift_accuracy(models, some, folds)
    assert bins.tolist() == list(range(-25, 26))  # 5 eV of 0.2 eV either way
    assert shift_accuracy(models, some, folds, max_shift=2)[0].tolist() == [-2, -1, 0, 1, 2]
    noisy = noise_accuracy(models, some, folds, (0.0, 3.0), kept_components=4)
    for row, noisy_row, model, fold in zip(accuracy, noisy, models, folds, strict=True):
        tested = some.select(fold.test)
        np.testing.assert_allclose(
            row, [(model.predict(crop(tested, s)).argmax(axis=1) == tested.valence).mean() for s in bins]
        )
        wide = to_unit_range(some.intensity, COARSE)
        cleaned, noise = fit_noise(wide[fold.train], 4).split(wide[fold.test])
        for share, scale in zip(noisy_row, (0.0, 3.0), strict=True):
            shown = crops(cleaned + np.float32(scale) * noise, np.zeros(len(noise), dtype=int), COARSE)
            assert share == (model.predict(shown).argmax(axis=1) == tested.valence).mean()
    assert len(np.unique(accuracy)) > 5
    assert len(np.unique(noisy)) > 3
    inputs = crop(some)
    np.testing.assert_array_equal(
        predict(models, inputs.tolist()), [model.predict(inputs) for model in models]
    )


def test_a_model_for_every_fold(some: SpectrumSet, folds: list[Fold]) -> None:
    for ask in (lambda: shift_accuracy([_ByMaximum(3)], some, folds),
                lambda: noise_accuracy([_ByMaximum(3)], some, folds, [1])):  # fmt: skip
        with pytest.raises(ValueError, match="zip"):
            ask()


def test_an_example_of_noise_is_the_spectrum_that_was_asked_for(some: SpectrumSet) -> None:
    _, shown = noise_examples(some, spectrum=7)
    assert list(shown) == [0, 1, 5]
    np.testing.assert_allclose(shown[1], crop(some)[7], atol=1e-5)
    _, with_ten = noise_examples(some, 10, (0,), 7)
    np.testing.assert_array_equal(shown[0], with_ten[0])
    assert not np.array_equal(noise_examples(some, 3, (0,), 7)[1][0], with_ten[0])
    assert not np.array_equal(noise_examples(some)[1][1], shown[1])


def test_a_shift_out_of_the_window_is_refused(
    some: SpectrumSet, folds: list[Fold], nets: list[keras.Model]
) -> None:
    with pytest.raises(InputError, match="do not fit"):
        shift_accuracy(nets, some, folds, max_shift=41)


def test_the_area_under_a_curve() -> None:
    assert integrated_accuracy([-2, -1, 0, 1, 2], [[0, 0.5, 1, 0.5, 0], [1, 1, 1, 1, 1]]) == pytest.approx(
        0.75
    )
    assert integrated_accuracy([0, 1, 3], [1, 0, 1]) == pytest.approx(0.5)
    assert integrated_accuracy([1, 2], [0.2, 0.4]) == pytest.approx(0.3)


def test_noise_once_is_the_spectrum_and_none_the_cleaned(
    some: SpectrumSet, folds: list[Fold], nets: list[keras.Model]
) -> None:
    accuracy = noise_accuracy(nets, some, folds, [0, 1, 5])
    assert accuracy.shape == (2, 3)
    for row, net, fold in zip(accuracy, nets, folds, strict=True):
        tested = some.select(fold.test)
        assert row[1] == (net.predict(crop(tested), verbose=0).argmax(axis=1) == tested.valence).mean()
    energy_ev, shown = noise_examples(some, 3)
    np.testing.assert_allclose(energy_ev[[0, -1]], [638, 659.8])
    np.testing.assert_allclose(shown[1], crop(some)[0], atol=1e-5)
    roughness = [np.abs(np.diff(shown[s])).mean() for s in (0, 1, 5)]
    assert roughness == sorted(roughness)


def test_noise_components_come_from_the_training_spectra(some: SpectrumSet, folds: list[Fold]) -> None:
    fold = folds[0]
    shown = _noisy_crops(some, fold, np.zeros(1, np.float32), 4)[0]
    wide = to_unit_range(some.intensity, COARSE)
    theirs = PCA(4).fit(wide[fold.train])
    cleaned = theirs.inverse_transform(theirs.transform(wide[fold.test]))
    expected = crops(cleaned, np.zeros(len(cleaned), int), COARSE)
    np.testing.assert_allclose(shown, expected, atol=1e-4)


def _probabilities(*choices: tuple[int, ...]) -> np.ndarray:
    return np.eye(3)[np.array(choices)] * 0.7 + 0.1


def test_references_by_fold_mean_and_vote() -> None:
    probabilities = _probabilities((0, 1, 2, 0), (0, 1, 1, 1), (0, 2, 1, 2))  # (models, spectra, classes)
    result = reference_accuracy(probabilities, np.array([0, 1, 2, -1]))
    np.testing.assert_allclose(result.per_fold, [1, 2 / 3, 1 / 3])
    assert result.mean == pytest.approx(2 / 3)
    assert result.vote == pytest.approx(2 / 3)
    none_known = reference_accuracy(probabilities, np.full(4, -1))
    np.testing.assert_array_equal(
        [*none_known.per_fold, none_known.mean, none_known.vote], np.full(5, np.nan)
    )


def test_the_mean_decides_a_tied_vote() -> None:
    probabilities = np.array([[[0.6, 0.4, 0]], [[0.1, 0.9, 0]]])
    assert vote(probabilities).tolist() == [1]
    most = np.array([[[0.6, 0.4, 0]], [[0.6, 0.4, 0]], [[0, 0, 1.0]]])
    assert vote(most).tolist() == [0]
    assert vote(np.array([[[0.5, 0.4, 0.1]], [[0.0, 0.45, 0.55]]])).tolist() == [
        2
    ]  # not 1, which nobody chose


def test_the_table_of_references(tmp_path: Path) -> None:
    spectra = made_up(3, edge=COARSE)
    references = References(spectra, np.array(["Mn2+", "Mn3+", "Mn4+"]), np.array([0, 5, -5]), [])
    table = reference_table(_probabilities((0, 1, 2), (0, 1, 1), (0, 2, 1)), references)
    assert table["vote"].tolist() == ["Mn2+", "Mn3+", "Mn3+"]
    assert table["right"].tolist() == ["yes", "yes", "no"]
    np.testing.assert_allclose(table["agreement"], [1, 2 / 3, 2 / 3])
    np.testing.assert_allclose(table["moved_ev"], [0, 1, -1])
    np.testing.assert_allclose(table["p(Mn2+)"], [0.8, 0.1, 0.1])
    np.testing.assert_allclose(table["p(Mn3+)"], [0.1, 0.1 + 0.7 * 2 / 3, 0.1 + 0.7 * 2 / 3])
    labels = [
        "name",
        "group",
        "valence",
        "vote",
        "agreement",
        "right",
        "moved_ev",
        "p(Mn2+)",
        "p(Mn3+)",
        "p(Mn4+)",
    ]
    assert table.columns.tolist() == labels
    assert table["group"].tolist() == spectra.group.tolist()
    assert table["name"].tolist() == spectra.name.tolist()
    assert table["valence"].tolist() == ["Mn2+", "Mn3+", "Mn4+"]


def test_a_mixed_reference_is_neither_right_nor_wrong() -> None:
    spectra = made_up(3, edge=COARSE)
    mixed = SpectrumSet(spectra.energy_ev, spectra.intensity, [0, UNLABELLED, 1], spectra.group, COARSE)
    references = References(mixed, np.array(["Mn2+", "Mn2+/Mn3+", "Mn3+"]), np.zeros(3, dtype=int), [])
    table = reference_table(_probabilities((0, 1, 2)), references)
    assert table["right"].tolist() == ["yes", "", "no"]


def test_features_of_a_net(some: SpectrumSet, nets: list[keras.Model]) -> None:
    features = embedding(nets[0], crop(some))
    assert features.shape == (90, 22 * 4)
    assert features.dtype == np.float32
    with pytest.raises(InputError, match="no feature extractor"):
        embedding(_net(0, "dense"), crop(some))


def test_tsne_keeps_clusters_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    points = rng.normal(size=(60, 5)) + 20 * np.eye(5)[labels]
    placed = tsne(points, iterations=300)
    assert placed.shape == (60, 2)
    np.testing.assert_array_equal(placed, tsne(points, iterations=300))
    assert neighbour_agreement(placed[:45], labels[:45], placed[45:], labels[45:]) == 1.0


def test_tsne_is_asked_as_in_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_compiled_net_knows_its_shape(nets: list[keras.Model]) -> None:
    plan = jax_predict.from_keras(nets[0]).plan
    assert (plan.shape.filters, plan.shape.kernels, plan.n_channels) == ((3, 4), (9, 7), 110)
