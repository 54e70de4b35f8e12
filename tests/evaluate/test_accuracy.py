"""Evaluations show every model its own fold's test spectra, at the right shift and noise."""

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
from mnflow.folds import Fold, split
from mnflow.models.baselines import Fitted
from mnflow.preprocess import crop
from mnflow.spectra import SpectrumSet
from tests.helpers.drawn_nets import drawn_net
from tests.helpers.spectra import COARSE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folds(some: SpectrumSet) -> list[Fold]:
    return split(some.select(slice(0, 80)), n_folds=2)


def test_shift_accuracy_is_what_predicting_every_shift_gives(some: SpectrumSet, folds: list[Fold]) -> None:
    nets = [drawn_net(6, "dense"), drawn_net(7, "dense")]
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
    """A baseline that tells the class from where a crop has its maximum."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def predict(self, inputs: ArrayLike) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[np.asarray(inputs).argmax(axis=1) // self.channels % 3]


def test_baselines_are_evaluated_like_nets(some: SpectrumSet) -> None:
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


def test_an_example_of_noise_is_the_given_spectrum(some: SpectrumSet) -> None:
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


def test_noise_once_is_the_spectrum_and_none_the_cleaned(some: SpectrumSet, folds: list[Fold]) -> None:
    nets = [drawn_net(6, "dense"), drawn_net(7, "dense")]
    accuracy = noise_accuracy(nets, some, folds, [0, 1, 5])
    assert accuracy.shape == (2, 3)
    for row, net, fold in zip(accuracy, nets, folds, strict=True):
        tested = some.select(fold.test)
        found = net.predict(crop(tested), verbose=0).argmax(axis=1)
        assert len(np.unique(found)) > 1, "an accuracy that could be another"
        assert row[1] == (found == tested.valence).mean()
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
