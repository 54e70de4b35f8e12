"""A tracer for leaks: a fold's test spectra and labels change nothing that is fitted for that fold.

The networks' own tracer is in tests/train/test_cross_validate.py.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mnflow.augment import pca_noise
from mnflow.augment.copies import with_copies
from mnflow.evaluate import accuracy
from mnflow.evaluate.accuracy import noise_accuracy
from mnflow.folds import Fold, split
from mnflow.models import baselines
from mnflow.preprocess import crop
from mnflow.promote import calibration
from mnflow.spectra import SpectrumSet
from mnflow.train import cross_validate
from mnflow.train.settings import TrainSettings
from mnflow.tune import search
from tests.helpers.spectra import COARSE, spectra

DATA = spectra(60, noise=0.2, edge=COARSE, n_groups=45)
FOLDS = split(DATA, n_folds=3)


def with_other_tests(fold: Fold) -> SpectrumSet:
    """The same data, but for the test spectra of a fold and their labels."""
    intensity, valence = DATA.intensity.copy(), DATA.valence.copy()
    intensity[fold.test] = np.random.default_rng(1).normal(size=intensity[fold.test].shape)
    valence[fold.test] = (valence[fold.test] + 1) % 3
    return replace(DATA, intensity=intensity, valence=valence)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float32]]:
    """Every set of spectra whose principal components are computed."""
    seen: list[NDArray[np.float32]] = []

    def fit_noise(intensity: NDArray[np.float32], *arguments: Any) -> pca_noise.PcaNoise:
        seen.append(intensity)
        return original(intensity, *arguments)

    original = pca_noise.fit_noise
    for module in (pca_noise, calibration, accuracy):
        monkeypatch.setattr(module, "fit_noise", fit_noise)
    return seen


def assert_only_training(fitted: list[NDArray[np.float32]], folds: list[Fold]) -> None:
    scaled = pca_noise.to_unit_range(DATA.intensity, DATA.edge)
    assert len(fitted) == len(folds)
    for used, fold in zip(fitted, folds, strict=True):
        np.testing.assert_array_equal(used, scaled[fold.train])


@pytest.mark.parametrize("fold", FOLDS, ids=lambda f: f"fold {f.number}")
def test_scaling_and_components_of_a_fold(fold: Fold, fitted: list[NDArray[np.float32]]) -> None:
    settings = TrainSettings()
    mine, theirs = (cross_validate.prepare(data, fold, settings) for data in (DATA, with_other_tests(fold)))
    for a, b in zip(mine, theirs, strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a[fold.train], b[fold.train])
    assert_only_training(fitted[:1], [fold])


def test_degraded_copies_are_of_training_spectra() -> None:
    fold = FOLDS[1]
    copied = [
        with_copies(data, [fold], 2, np.random.default_rng(0)) for data in (DATA, with_other_tests(fold))
    ]
    (mine, (mine_fold,)), (theirs, (their_fold,)) = copied
    np.testing.assert_array_equal(mine_fold.train, their_fold.train)
    np.testing.assert_array_equal(mine_fold.test, fold.test)
    np.testing.assert_array_equal(mine.intensity[mine_fold.train], theirs.intensity[their_fold.train])
    np.testing.assert_array_equal(mine.valence[mine_fold.train], theirs.valence[their_fold.train])


@pytest.mark.parametrize("method", baselines.METHODS)
def test_baselines_see_no_test_spectrum(method: str) -> None:
    fold = FOLDS[2]
    asked = crop(DATA)
    mine, theirs = (
        baselines.fit_fold(data, fold, method, align=True, n_crops=1).predict(asked)
        for data in (DATA, with_other_tests(fold))
    )
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", ["stratified", "grouped"])
def test_a_search_sees_no_outer_test_spectrum(kind: str) -> None:
    outer = split(DATA, kind, 3, seed=5)
    for fold, inner in zip(outer, search.inner_folds(DATA, kind, 3, 3, seed=5), strict=True):
        assert not np.intersect1d(fold.test, np.concatenate([inner.train, inner.test])).size
        assert not np.intersect1d(inner.train, inner.test).size


def test_evaluations_part_noise_by_training_spectra(fitted: list[NDArray[np.float32]]) -> None:
    models = [baselines.fit_fold(DATA, fold, "least_squares") for fold in FOLDS]
    noise_accuracy(models, DATA, FOLDS, [0, 1])
    assert_only_training(fitted, FOLDS)


class _Guess:
    """A net that says the same of everything."""

    def only(self, fold: int) -> "_Guess":
        return self

    def logits(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.zeros((1, len(crops), 3), dtype=np.float32)


def test_calibration_parts_noise_by_training_spectra(fitted: list[NDArray[np.float32]]) -> None:
    calibration.held_out(_Guess(), DATA, FOLDS, seed=0)
    assert_only_training(fitted, FOLDS)


def test_no_fold_sets_the_temperature_that_it_is_judged_with() -> None:
    rng = np.random.default_rng(0)
    fold = np.repeat([0, 1, 2], 20)
    held = calibration.HeldOut(
        3 * rng.normal(size=(60, 3)), rng.integers(0, 3, 60), fold, np.arange(60), np.zeros((60, 1), "f")
    )
    lied_to = replace(held, truth=np.where(fold == 1, held.logits.argmax(axis=1), held.truth))
    mine, theirs = calibration.cross_calibrated(held), calibration.cross_calibrated(lied_to)
    np.testing.assert_array_equal(mine[fold == 1], theirs[fold == 1])
    assert not np.array_equal(mine[fold == 0], theirs[fold == 0])
