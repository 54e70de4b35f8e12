"""Training learns, repeats itself for any number of workers, and never sees a test spectrum."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnflow.augment.pca_noise import fit_noise
from mnflow.errors import InputError
from mnflow.folds import Fold, split
from mnflow.models import keras_nets
from mnflow.preprocess import crop
from mnflow.runtime.project import ROOT
from mnflow.spectra import SpectrumSet
from mnflow.train import cross_validate, engine_jax
from mnflow.train.plan import Course
from mnflow.train.settings import TrainSettings
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up

pytestmark = pytest.mark.slow

QUICK = TrainSettings(
    arch="fcn",
    augmentation=4,
    noise_augmentation=False,
    degraded_copies=0,
    epochs=25,
    batch_size=32,
    filters=(4, 6),
    kernels=(9, 7),
    dropout=0.2,
)


@pytest.fixture(scope="module")
def some() -> SpectrumSet:
    return made_up(90, edge=COARSE)


@pytest.fixture(scope="module")
def folds(some: SpectrumSet) -> list[Fold]:
    return split(some, n_folds=3)


def test_folds_train_in_parallel_and_in_order(some: SpectrumSet, folds: list[Fold]) -> None:
    seen: list[int] = []
    results = cross_validate.train_folds(some, folds, QUICK, workers=2, on_fold=lambda r: seen.append(r.fold))
    assert [r.fold for r in results] == [0, 1, 2]
    assert sorted(seen) == [0, 1, 2]
    for fold, result in zip(folds, results, strict=True):
        assert result.accuracy > 0.9
        right = result.probabilities.argmax(axis=1) == some.valence[fold.test]
        assert result.accuracy == pytest.approx(right.mean())
        assert 0 < result.seconds < 600
        assert {k: len(v) for k, v in result.curves.items()} == dict.fromkeys(
            ("train/loss", "train/accuracy", "test/loss", "test/accuracy"), 25
        )
        assert result.curves["test/accuracy"][-1] == pytest.approx(result.accuracy)
        saved = keras_nets.from_bytes(result.model).predict(crop(some.select(fold.test)), verbose=0)
        np.testing.assert_allclose(saved, result.probabilities, atol=1e-4)


def test_a_fold_comes_back_from_its_files_to_the_last_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    curves = {name: rng.random(3, np.float32) for name in ("train/loss", "test/loss")}
    fold = cross_validate.FoldModel(4, b"a net", 0.1 + 0.2, rng.random((5, 3), np.float32), curves, 1.25)
    numbers, net = fold.save(tmp_path)
    assert (numbers, net) == (tmp_path / "fold.npz", tmp_path / "model.keras")
    again = cross_validate.FoldModel.load(numbers, net)
    assert (again.fold, again.model, again.accuracy, again.seconds) == (4, b"a net", 0.1 + 0.2, 1.25)
    np.testing.assert_array_equal(again.probabilities, fold.probabilities)
    assert list(again.curves) == list(curves)
    for name, curve in curves.items():
        np.testing.assert_array_equal(again.curves[name], curve)


def test_a_course_is_what_the_settings_say() -> None:
    settings = replace(QUICK, augmentation=10, degraded_copies=1, schedule="constant", max_shift_ev=2.0)
    course = cross_validate.make_course(replace(settings, max_noise_scale=3.0, learning_rate=0.02), COARSE)
    assert course == Course(
        crop_start=40, max_shift=10, max_noise_scale=3.0, draws=5, epochs=25, peak_learning_rate=0.02,
        batch_size=32, schedule="constant",
    )  # fmt: skip
    assert cross_validate.make_course(replace(settings, augmentation=0), COARSE).max_shift == 0
    plan = cross_validate.make_plan(QUICK, COARSE)
    assert (plan.arch, plan.n_classes, plan.n_channels) == ("fcn", 3, 110)
    assert (plan.shape.filters, plan.shape.kernels, plan.shape.dropout) == ((4, 6), (9, 7), 0.2)


def test_results_do_not_depend_on_the_number_of_workers(some: SpectrumSet, folds: list[Fold]) -> None:
    settings = TrainSettings(arch="dense", augmentation=1, epochs=2, degraded_copies=0)
    one, two = (cross_validate.train_folds(some, folds, settings, workers=n) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        np.testing.assert_array_equal(a.curves["train/loss"], b.curves["train/loss"])


def test_folds_of_nearly_one_size_share_a_compilation(
    some: SpectrumSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are filled up to one size, and what fills them up changes nothing."""
    uneven = [Fold(0, np.arange(50), np.arange(60, 90)), Fold(1, np.arange(45), np.arange(60, 85))]
    settings = TrainSettings(
        arch="dense", augmentation=1, epochs=2, noise_augmentation=False, degraded_copies=0
    )
    before = engine_jax.train._cache_size()
    filled = [cross_validate.train_fold(some, (fold, settings))[0] for fold in uneven]
    assert engine_jax.train._cache_size() == before + 1
    monkeypatch.setattr(cross_validate, "ROWS", 1)
    plain = cross_validate.train_fold(some, (uneven[1], settings))[0]
    assert filled[1].probabilities.shape == (25, 3)
    np.testing.assert_allclose(filled[1].probabilities, plain.probabilities, atol=1e-5)
    for name, curve in plain.curves.items():
        np.testing.assert_allclose(filled[1].curves[name], curve, atol=1e-5, err_msg=name)


def test_another_seed_gives_another_net(some: SpectrumSet, folds: list[Fold]) -> None:
    first, again, other = (
        cross_validate.train_fold(some, (folds[0], replace(QUICK, epochs=1, seed=s)))[0] for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert not np.array_equal(first.probabilities, other.probabilities)


def test_no_test_spectrum_reaches_the_weights(some: SpectrumSet, folds: list[Fold]) -> None:
    """A tracer: whatever the test spectra and their labels are, the net is the same."""
    fold, settings = folds[0], replace(QUICK, epochs=1, noise_augmentation=True)
    intensity, valence = some.intensity.copy(), some.valence.copy()
    intensity[fold.test] = np.random.default_rng(0).normal(size=intensity[fold.test].shape)
    valence[fold.test] = 0
    other = SpectrumSet(some.energy_ev, intensity, valence, some.group, some.edge)
    mine, theirs = (cross_validate.train_fold(s, (fold, settings))[0].weights for s in (some, other))
    for name, arrays in mine.items():
        for a, b in zip(arrays, theirs[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_degraded_copies_train_and_share_the_crops_of_an_epoch(some: SpectrumSet, folds: list[Fold]) -> None:
    settings = replace(QUICK, epochs=1, augmentation=10)
    for copies, augmentation, draws in ((0, 10, 10), (1, 10, 5), (1, 0, 1)):
        course = replace(settings, degraded_copies=copies, augmentation=augmentation)
        assert cross_validate.make_course(course, some.edge).draws == draws
    plain, copied = (
        cross_validate.train_fold(some, (folds[0], replace(settings, degraded_copies=k)))[0] for k in (0, 1)
    )
    assert plain.probabilities.shape == copied.probabilities.shape == (len(folds[0].test), 3)
    assert not np.array_equal(plain.probabilities, copied.probabilities)


def test_noise_augmentation_parts_by_the_training_spectra(some: SpectrumSet, folds: list[Fold]) -> None:
    wide, none = cross_validate.prepare(some, folds[0], QUICK)
    cleaned, noise = cross_validate.prepare(some, folds[0], replace(QUICK, noise_augmentation=True))
    assert none is None
    inside = wide[:, 40:150]
    np.testing.assert_allclose([np.ptp(row) for row in inside], 1, atol=1e-6)
    expected = fit_noise(wide[folds[0].train], QUICK.kept_components).split(wide)
    np.testing.assert_array_equal(cleaned, expected[0])
    np.testing.assert_array_equal(noise, expected[1])
    np.testing.assert_allclose(cleaned + noise, wide, atol=1e-6)


_TENSORFLOW = """
import json, sys
from tests.helpers.spectra import COARSE, spectra
from mnflow import folds
from mnflow.train import cross_validate
from mnflow.train.settings import TrainSettings
some = spectra(60, edge=COARSE)
how = {"augmentation": 2, "epochs": 15, "batch_size": 32, "dropout": 0.1, "degraded_copies": 0}
settings = TrainSettings(arch="dense", **how)
job = (folds.split(some, n_folds=3)[0], settings)
results = [cross_validate.train_fold(some, job)[0] for _ in range(2)]
one, two = (r.weights for r in results)
same = all((a == b).all() for n in one for a, b in zip(one[n], two[n]))
print(json.dumps([bool(same), {k: v.tolist() for k, v in results[0].curves.items()}]))
"""


def test_tensorflow_trains_too_and_repeats_itself() -> None:
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _TENSORFLOW], env=environment, capture_output=True, text=True, check=True
    )
    same, curves = json.loads(done.stdout.splitlines()[-1])
    assert same
    assert curves["test/accuracy"][-1] > 0.9
    assert curves["train/loss"][-1] < curves["train/loss"][0] / 2


def test_unfit_settings_are_refused_before_a_worker_starts(some: SpectrumSet, folds: list[Fold]) -> None:
    with pytest.raises(InputError, match="dense, conv_dense"):
        cross_validate.train_folds(some, folds, TrainSettings(arch="resnet"))
    with pytest.raises(InputError, match="Shifts of up to 9"):
        cross_validate.train_folds(some, folds, replace(QUICK, max_shift_ev=9.0))
    cropped = SpectrumSet(some.energy_ev[:100], some.intensity[:, :100], some.valence, some.group, some.edge)
    with pytest.raises(InputError) as error:
        cross_validate.train_folds(cropped, folds, QUICK)
    assert str(error.value) == "Training needs spectra of 200 channels, got 100."
