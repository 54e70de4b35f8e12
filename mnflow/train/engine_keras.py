"""Training by Keras for backends other than JAX: the same draws, networks and schedule."""

from collections.abc import Iterator

import numpy as np

from mnflow.augment.energy_shift import draw_shifts
from mnflow.augment.pca_noise import draw_scales
from mnflow.models import keras_nets
from mnflow.models.architectures import Plan
from mnflow.models.keras_import import keras
from mnflow.preprocess import crops_from
from mnflow.spectra.arrays import Floats32, Ints
from mnflow.train.plan import CURVES, Course, FoldData, Trained, momentum, passes_together, steps_of_epoch
from mnflow.train.schedule import ADAM_BETAS, ADAM_EPSILON, learning_rate


def fit(data: FoldData, plan: Plan, course: Course, seed: tuple[int, ...]) -> Trained:
    """Train one net from scratch; see `mnflow.train.engine_jax.fit`."""
    labels, n_train, n = data.labels, data.n_train, data.n
    rng = np.random.default_rng(seed)
    n_steps = steps_of_epoch(course.draws, n_train, len(labels), course.batch_size)
    net = _build(plan, course, rng, momentum(n_steps * course.epochs))
    test_crops = _crops(data, np.arange(n_train, n), plan, course, None)
    curves = []
    for epoch in range(course.epochs):
        metrics = np.zeros(2)
        for i, index in enumerate(_batches(data, course, rng)):
            net.optimizer.learning_rate = learning_rate(
                course.schedule, course.peak_learning_rate, (epoch * n_steps + i) / (n_steps * course.epochs)
            )
            crops = _crops(data, index, plan, course, rng)
            found = net.train_on_batch(crops, labels[index], return_dict=True)
            metrics += [float(found["loss"]), float(found["accuracy"])]
        tested = net.test_on_batch(test_crops, labels[n_train:n], return_dict=True)
        curves.append([*metrics / n_steps, float(tested["loss"]), float(tested["accuracy"])])
    named = dict(zip(CURVES, np.asarray(curves, dtype=np.float32).T, strict=True))
    return Trained(keras_nets.get_weights(net), named, np.asarray(net.predict_on_batch(test_crops)))


def _build(plan: Plan, course: Course, rng: np.random.Generator, keep: float) -> keras.Model:
    """The compiled net; Keras draws its weights and dropout from seeds of ours, not from a global one."""
    net = keras_nets.build(plan)
    for layer in net.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.seed_generator.state.assign([int(rng.integers(2**31)), 0])
        elif isinstance(layer, keras.layers.Conv1D | keras.layers.Dense):
            initial = keras.initializers.GlorotUniform(int(rng.integers(2**31)))
            layer.kernel.assign(initial(layer.kernel.shape))
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = keep
    adam = keras.optimizers.Adam(course.peak_learning_rate, *ADAM_BETAS, epsilon=ADAM_EPSILON)
    net.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


def _batches(data: FoldData, course: Course, rng: np.random.Generator) -> Iterator[Ints]:
    """Rows (B,) of an epoch's batches, in the same order as the JAX engine."""
    together = passes_together(len(data.labels))
    for first in range(0, course.draws, together):
        places = min(together, course.draws - first) * data.n_train
        n_steps = -(-places // course.batch_size)
        order = np.resize(rng.permutation(places), n_steps * course.batch_size) % data.n_train
        yield from order.reshape(n_steps, course.batch_size)


def _crops(
    data: FoldData, index: Ints, plan: Plan, course: Course, rng: np.random.Generator | None
) -> Floats32:
    """Normalised crops (B, L) of the rows at `index`, drawn with a generator, unshifted without one."""
    shift, scale = np.zeros(len(index), dtype=np.int64), np.ones(len(index), dtype=np.float32)
    if rng is not None:
        shift = draw_shifts(rng, len(index), course.max_shift)
    wide = data.wide[index]
    if data.noise is not None:
        if rng is not None:
            scale = draw_scales(rng, len(index), course.max_noise_scale)
        wide = wide + scale[:, None] * data.noise[index]
    return crops_from(wide, course.crop_start - shift, plan.n_channels)
