"""The compiled engine computes what Keras computes: forward, one step of training, batches."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from mnflow.augment.energy_shift import crops
from mnflow.augment.pca_noise import augment
from mnflow.models import jax_nets, keras_nets
from mnflow.models.architectures import Plan
from mnflow.preprocess import crop
from mnflow.train import engine_jax, engine_keras
from mnflow.train.cross_validate import make_course, make_plan
from mnflow.train.plan import Course, FoldData, steps_of_epoch
from mnflow.train.schedule import ADAM_BETAS, ADAM_EPSILON
from mnflow.train.settings import TrainSettings
from tests.helpers.spectra import COARSE
from tests.helpers.spectra import spectra as made_up

pytestmark = pytest.mark.slow

ARCHITECTURES = ("dense", "conv_dense", "fcn")


def _settings(arch: str, **settings: object) -> TrainSettings:
    small = {} if arch == "dense" else {"filters": (2, 3), "kernels": (5, 4)}  # 110-53-25: odd ones, too
    return TrainSettings(arch=arch, degraded_copies=0, **(small | settings))


def _plan(arch: str, **settings: object) -> Plan:
    return make_plan(_settings(arch, **settings), COARSE)


def _course(**settings: object) -> Course:
    return make_course(_settings("fcn", **settings), COARSE)


def _keras(plan: Plan, params: engine_jax.Params, moving: engine_jax.Moments) -> keras.Model:
    return keras_nets.with_weights(keras_nets.build(plan), engine_jax.collect(params, moving))


def _random_state(plan: Plan) -> tuple[engine_jax.Params, engine_jax.Moments]:
    rng = np.random.default_rng(1)
    params = {
        k: [a + rng.uniform(0.1, 0.3, a.shape).astype(np.float32) for a in v]
        for k, v in engine_jax.initial_params(plan, rng).items()
    }
    norms = {k: v[0].shape for k, v in params.items() if "norm" in k}
    mean, variance = (
        {k: rng.uniform(0.2, 0.9, shape).astype(np.float32) for k, shape in norms.items()} for _ in range(2)
    )
    return params, engine_jax.Moments(mean, variance)


@pytest.mark.parametrize(
    ("arch", "settings"), [(a, {}) for a in ARCHITECTURES] + [("fcn", {"filters": (9, 3)})]
)
def test_prediction_is_keras_own(arch: str, settings: dict) -> None:
    """The last net has a convolution of more than `MAX_TAPS`, a matrix product even when it predicts."""
    plan = _plan(arch, **settings)
    params, moving = _random_state(plan)
    inputs = crop(made_up(7, edge=COARSE))
    logits, _ = jax.jit(engine_jax.forward, static_argnums=2)(params, inputs, plan, fixed=moving)
    np.testing.assert_allclose(
        jax.nn.softmax(logits, axis=0).T, _keras(plan, params, moving).predict(inputs, verbose=0), atol=2e-6
    )


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_loss_gradient_and_moments_are_keras_own(arch: str) -> None:
    """After a step of plain gradient descent at rate 1, every weight and moving moment is as Keras has it."""
    plan = _plan(arch, dropout=0.0)
    params, moving = _random_state(plan)
    some = made_up(32, edge=COARSE)
    inputs, labels = crop(some), some.valence
    net = _keras(plan, params, moving)
    net.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    loss = net.train_on_batch(inputs, labels)
    differentiate = jax.jit(jax.value_and_grad(engine_jax._loss, has_aux=True), static_argnums=4)
    (ours, (_, found)), gradient = differentiate(params, inputs, labels, None, plan)
    assert float(ours) == pytest.approx(float(np.asarray(loss)), abs=1e-4)
    stepped = jax.tree.map(lambda p, g: p - g, params, gradient)
    expected = keras_nets.get_weights(net)
    for name, arrays in engine_jax.collect(
        stepped, jax.tree.map(lambda o, n: 0.99 * o + 0.01 * n, moving, found)
    ).items():
        for mine, theirs in zip(arrays, expected[name], strict=True):
            np.testing.assert_allclose(mine, theirs, atol=2e-4, err_msg=name)


def test_adam_is_keras_own() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=5).astype(np.float32)
    variable = keras.Variable(start)
    adam = keras.optimizers.Adam(0.01, *ADAM_BETAS, epsilon=ADAM_EPSILON)
    none = engine_jax.Moments({}, {})
    state = engine_jax.State(
        {"a": [start]}, none, {"a": [np.zeros(5)]}, {"a": [np.zeros(5)]}, jnp.zeros((), jnp.int32)
    )
    for _ in range(4):
        gradient = rng.normal(size=5).astype(np.float32)
        adam.apply([gradient], [variable])
        state = engine_jax._adam(state, {"a": [gradient]}, none, 0.01)
    np.testing.assert_allclose(state.params["a"][0], np.asarray(variable.value), atol=1e-6)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    dropped = jax_nets.drop_out(jnp.ones((72, 1000)), 0.8, jax.random.key(0), 1)
    assert float((dropped == 0).mean()) == pytest.approx(0.8, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.03)
    assert (jax_nets.drop_out(dropped, 0.8, None, 1) == dropped).all()


def test_an_epoch_draws_every_spectrum_equally_often() -> None:
    order = np.asarray(engine_jax.draw_order(jax.random.key(0), 37, 37 * 3 + 17, 3))
    assert (np.bincount(order[: 37 * 3]) == 3).all()
    assert (order[37 * 3 :] == order[:17]).all()  # filled up from its start
    assert order.max() < 37
    assert (order[:37] != np.arange(37)).any()


@pytest.mark.parametrize(
    ("draws", "n_train", "n_rows"), [(1, 2700, 3072), (10, 2700, 3072), (7, 300, 512), (1, 5, 256)]
)
def test_an_epochs_steps_are_counted(draws: int, n_train: int, n_rows: int) -> None:
    """Both engines take `steps_of_epoch` batches, at most a tenth more than the spectra fill."""
    course = replace(_course(), draws=draws, batch_size=64)
    data = FoldData(None, None, np.zeros(n_rows), n_train, n_rows)
    index = np.concatenate(list(engine_keras._batches(data, course, np.random.default_rng(0))))
    steps = steps_of_epoch(draws, n_train, n_rows, 64)
    assert len(index) == 64 * steps
    assert steps <= 1.1 * draws * n_train / 64 + 1
    often = np.bincount(index, minlength=n_train)
    assert len(often) == n_train
    assert often.min() >= draws


def test_augmentations_and_epochs_share_a_compilation() -> None:
    some = made_up(40, edge=COARSE)
    sizes = []
    for augmentation, epochs in ((0, 2), (1, 3), (3, 1)):
        course = _course(augmentation=augmentation, epochs=epochs)
        data = FoldData(some.intensity, None, some.valence, 30, 40)
        found = engine_jax.fit(data, _plan("fcn", filters=(2, 2)), course, (0, 0))
        assert all(len(curve) == epochs for curve in found.curves.values())
        assert all(np.all(curve > 0) for name, curve in found.curves.items() if "loss" in name)
        sizes.append(engine_jax.train._cache_size())
    assert len(set(sizes)) == 1


def test_a_net_learns_and_its_record_is_that_of_the_test_spectra() -> None:
    """Of 60 spectra, 40 train and 15 test, in a batch that is not full; 5 only fill up."""
    some = made_up(60, edge=COARSE)
    data = FoldData(some.intensity, None, some.valence, 40, 55)
    plan = _plan("fcn", filters=(4, 6), kernels=(9, 7), dropout=0.1)
    course = _course(augmentation=2, epochs=12, batch_size=16, learning_rate=0.02)
    found, again, other = (engine_jax.fit(data, plan, course, (0, seed)) for seed in (1, 1, 2))
    assert list(found.curves) == ["train/loss", "train/accuracy", "test/loss", "test/accuracy"]
    labels = some.valence[40:55]
    right = (found.probabilities.argmax(axis=1) == labels).mean()
    assert right > 0.9
    assert found.curves["test/accuracy"][-1] == pytest.approx(right)
    loss = -np.log(found.probabilities[np.arange(15), labels]).mean()
    assert found.curves["test/loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert found.curves["train/loss"][0] == pytest.approx(np.log(3), abs=0.5)  # a guess among three
    assert 0.8 < found.curves["train/accuracy"][-1] <= 1
    net = keras_nets.with_weights(keras_nets.build(plan), found.weights)
    crops = crop(some.select(np.arange(40, 55)))
    np.testing.assert_allclose(net.predict(crops, verbose=0), found.probabilities, atol=1e-5)
    np.testing.assert_array_equal(found.probabilities, again.probabilities)
    assert not np.array_equal(found.probabilities, other.probabilities)


def test_crops_are_those_of_numpy() -> None:
    spectra = made_up(12, edge=COARSE)
    wide, index = spectra.intensity, np.array([3, 3, 0, 11])
    data, how = FoldData(wide, None, spectra.valence, 12, 12), (_plan("fcn"), _course())
    np.testing.assert_allclose(
        engine_jax.draw_crops(None, data, index, *how), crop(spectra.select(index)), atol=1e-6
    )
    drawn = np.asarray(engine_jax.draw_crops(jax.random.key(5), data, index, *how))
    for one, i in zip(drawn, index, strict=True):
        every_shift = crops(np.repeat(wide[[i]], 51, axis=0), np.arange(-25, 26), COARSE)
        assert np.abs(every_shift - one).max(axis=1).min() < 1e-6


def test_noise_is_scaled_between_none_and_five_times() -> None:
    spectra = made_up(400, edge=COARSE)
    flat, noise = (
        np.repeat(spectra.intensity[:1], 400, axis=0),
        np.random.default_rng(0).normal(0, 0.05, spectra.intensity.shape),
    )
    data = FoldData(flat, noise.astype(np.float32), spectra.valence, 400, 400)
    how = _plan("fcn"), _course(augmentation=0)
    drawn = np.asarray(engine_jax.draw_crops(jax.random.key(0), data, np.arange(400), *how))
    in_numpy = augment(flat, noise, COARSE, np.random.default_rng(0), 0)
    assert np.std(drawn - drawn.mean(axis=0)) == pytest.approx(
        np.std(in_numpy - in_numpy.mean(axis=0)), rel=0.1
    )
