"""Training by Keras for backends other than JAX: the same draws, networks and schedule."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mnflow.augment.energy_shift import crops_from, draw_shifts
from mnflow.augment.pca_noise import draw_scales
from mnflow.models import keras_nets
from mnflow.models.backend import keras
from mnflow.train.plan import CURVES, Plan, Trained, momentum, passes_together, steps_of_epoch
from mnflow.train.schedule import ADAM_BETAS, ADAM_EPSILON, learning_rate


def fit(
    wide: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    labels: NDArray[np.int64],
    n_train: int,
    n: int,
    plan: Plan,
    seed: tuple[int, ...],
) -> Trained:
    """Train one net from scratch; see `mnflow.train.engine_jax.fit`."""
    rng = np.random.default_rng(seed)
    n_steps = steps_of_epoch(plan.draws, n_train, len(labels), plan.batch_size)
    net = _build(plan, rng, momentum(n_steps * plan.epochs))
    test_crops = _crops(wide[n_train:n], None if noise is None else noise[n_train:n], plan, None)
    curves = []
    for epoch in range(plan.epochs):
        batches = _batches(wide, noise, n_train, plan, rng)
        metrics = np.zeros(2)
        for i, (crops, index) in enumerate(batches):
            net.optimizer.learning_rate = learning_rate(
                plan.schedule, plan.peak_learning_rate, (epoch * n_steps + i) / (n_steps * plan.epochs)
            )
            found = net.train_on_batch(crops, labels[index], return_dict=True)
            metrics += [float(found["loss"]), float(found["accuracy"])]
        tested = net.test_on_batch(test_crops, labels[n_train:n], return_dict=True)
        curves.append([*metrics / n_steps, float(tested["loss"]), float(tested["accuracy"])])
    named = dict(zip(CURVES, np.asarray(curves, dtype=np.float32).T, strict=True))
    return Trained(keras_nets.get_weights(net), named, np.asarray(net.predict_on_batch(test_crops)))


def _build(plan: Plan, rng: np.random.Generator, keep: float) -> keras.Model:
    """The compiled net; Keras draws its weights and dropout from seeds of ours, not from a global one."""
    net = keras_nets.build(
        plan.arch,
        plan.n_classes,
        plan.n_channels,
        plan.shape.dropout,
        plan.shape.filters or None,
        plan.shape.kernels or None,
    )
    for layer in net.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.seed_generator.state.assign([int(rng.integers(2**31)), 0])
        elif isinstance(layer, keras.layers.Conv1D | keras.layers.Dense):
            initial = keras.initializers.GlorotUniform(int(rng.integers(2**31)))
            layer.kernel.assign(initial(layer.kernel.shape))
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = keep
    adam = keras.optimizers.Adam(plan.peak_learning_rate, *ADAM_BETAS, epsilon=ADAM_EPSILON)
    net.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


def _batches(
    wide: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    n_train: int,
    plan: Plan,
    rng: np.random.Generator,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Fresh crops (B, L) of an epoch and their spectra (B,), in the same order as the JAX engine."""
    together = passes_together(len(wide))
    for first in range(0, plan.draws, together):
        places = min(together, plan.draws - first) * n_train
        n_steps = -(-places // plan.batch_size)
        order = np.resize(rng.permutation(places), n_steps * plan.batch_size) % n_train
        for index in order.reshape(n_steps, plan.batch_size):
            yield _crops(wide[index], None if noise is None else noise[index], plan, rng), index


def _crops(
    wide: NDArray[np.float32], noise: NDArray[np.float32] | None, plan: Plan, rng: np.random.Generator | None
) -> NDArray[np.float32]:
    """Normalised crops (B, L), drawn with a generator, unshifted without one."""
    shift = (
        np.zeros(len(wide), dtype=np.int64) if rng is None else draw_shifts(rng, len(wide), plan.max_shift)
    )
    if noise is not None:
        wide = wide + (
            noise if rng is None else draw_scales(rng, len(wide), plan.max_noise_scale)[:, None] * noise
        )
    return crops_from(wide, plan.crop_start - shift, plan.n_channels)
