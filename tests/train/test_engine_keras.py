"""Keras's own training, for backends other than JAX: it learns, repeats itself, and draws alike."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from mnflow.models import keras_nets
from mnflow.models.architectures import design
from mnflow.preprocess import crop, crops_from
from mnflow.spectra import SpectrumSet
from mnflow.train import engine_keras
from mnflow.train.cross_validate import make_course
from mnflow.train.plan import Course, FoldData
from mnflow.train.settings import TrainSettings
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up

pytestmark = pytest.mark.slow

PLAN = design("fcn", 3, COARSE.n_crop, filters=(4, 6), kernels=(9, 7), dropout=0.1)


@pytest.fixture(scope="module")
def some() -> SpectrumSet:
    return made_up(60, edge=COARSE)


def data_of(some: SpectrumSet, noise: np.ndarray | None = None) -> FoldData:
    """40 spectra train, 15 test, and 5 only fill up."""
    return FoldData(some.intensity, noise, some.valence, 40, 55)


def course_of(**settings: object) -> Course:
    given = {"augmentation": 2, "degraded_copies": 0, "epochs": 12, "batch_size": 16, "learning_rate": 0.02}
    return make_course(TrainSettings("fcn", **(given | settings)), COARSE)  # type: ignore[arg-type]


def test_a_net_learns_and_its_seed_repeats_it(some: SpectrumSet) -> None:
    course = course_of()
    found, again, other = (
        engine_keras.fit(data_of(some), PLAN, replace(course, epochs=n), (0, seed))
        for n, seed in ((12, 1), (12, 1), (12, 2))
    )
    assert list(found.curves) == ["train/loss", "train/accuracy", "test/loss", "test/accuracy"]
    assert all(curve.shape == (12,) and curve.dtype == np.float32 for curve in found.curves.values())
    labels = some.valence[40:55]
    right = (found.probabilities.argmax(axis=1) == labels).mean()
    assert right > 0.9
    assert found.curves["test/accuracy"][-1] == pytest.approx(right)
    loss = -np.log(found.probabilities[np.arange(15), labels]).mean()
    assert found.curves["test/loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert found.curves["train/loss"][0] == pytest.approx(np.log(3), abs=0.5)  # a guess among three
    assert 0.8 < found.curves["train/accuracy"][-1] <= 1
    net = keras_nets.with_weights(keras_nets.build(PLAN), found.weights)
    crops = crop(some.select(np.arange(40, 55)))
    np.testing.assert_allclose(net.predict(crops, verbose=0), found.probabilities, atol=1e-5)
    np.testing.assert_array_equal(found.probabilities, again.probabilities)
    assert not np.array_equal(found.probabilities, other.probabilities)


def test_no_test_spectrum_and_no_filling_reaches_the_weights(some: SpectrumSet) -> None:
    wide, labels = some.intensity.copy(), some.valence.copy()
    wide[40:], labels[40:] = 0.5, 0
    course = course_of(epochs=1)
    other = FoldData(wide, None, labels, 40, 55)
    mine, theirs = (engine_keras.fit(d, PLAN, course, (0,)).weights for d in (data_of(some), other))
    for name, arrays in mine.items():
        for a, b in zip(arrays, theirs[name], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def seeds_of(net: keras.Model) -> list[list[int]]:
    """What dropout is drawn from."""
    drops = [layer for layer in net.layers if isinstance(layer, keras.layers.Dropout)]
    return [np.asarray(layer.seed_generator.state).tolist() for layer in drops]


def test_a_net_is_built_from_the_seed_for_this_training(some: SpectrumSet) -> None:
    def built(seed: int) -> keras.Model:
        return engine_keras._build(PLAN, course_of(), np.random.default_rng(seed), 0.75)

    one, again, other = (keras_nets.get_weights(built(seed)) for seed in (0, 0, 1))
    for name in one:
        np.testing.assert_array_equal(one[name][0], again[name][0])
        assert np.array_equal(one[name][0], other[name][0]) == ("norm" in name)
    first, last = (arrays[0] for name, arrays in one.items() if name.startswith("conv"))
    limits = [np.sqrt(6 / (9 * (1 + 4))), np.sqrt(6 / (7 * (4 + 6)))]  # Glorot's
    assert [np.abs(first).max(), np.abs(last).max()] == pytest.approx(limits, rel=0.1)
    net = built(0)
    norms = [layer for layer in net.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.75}
    assert seeds_of(net) == seeds_of(built(0)) != seeds_of(built(1))
    assert len(seeds_of(net)) == 1
    adam = net.optimizer
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.999, 1e-7)


def test_crops_are_shifted_and_their_noise_is_scaled_where_they_train(some: SpectrumSet) -> None:
    index, course = np.array([3, 3, 0, 11]), course_of()
    still = engine_keras._crops(data_of(some), index, PLAN, course, None)
    np.testing.assert_allclose(still, crop(some.select(index)), atol=1e-6)
    noise = np.random.default_rng(0).normal(0, 0.05, some.intensity.shape).astype(np.float32)
    still = engine_keras._crops(data_of(some, noise), index, PLAN, course, None)
    plain = crops_from((some.intensity + noise)[index], course.crop_start + 0 * index, 110)
    np.testing.assert_allclose(still, plain, atol=1e-6)
    shifted = engine_keras._crops(data_of(some), index, PLAN, course, np.random.default_rng(0))
    for one, i in zip(shifted, index, strict=True):
        starts = course.crop_start - np.arange(-25, 26)
        every = crops_from(np.repeat(some.intensity[[i]], 51, axis=0), starts, 110)
        assert np.abs(every - one).max(axis=1).min() < 1e-6
    unmoved = replace(course, max_shift=0, max_noise_scale=3.0)
    rows = np.zeros(400, dtype=int)
    flat = FoldData(np.repeat(some.intensity[:1], 60, axis=0), noise, some.valence, 40, 55)
    drawn = engine_keras._crops(flat, rows, PLAN, unmoved, np.random.default_rng(0))
    plain = crops_from(flat.wide[rows], course.crop_start + 0 * rows, 110)
    louder = np.abs(drawn - plain).mean(axis=1)
    assert louder.min() < 0.05 * louder.max()
    assert len(np.unique(louder)) == 400
