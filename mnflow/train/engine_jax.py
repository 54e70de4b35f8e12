"""The training engine: all epochs of one network in one compiled loop that also draws its batches.

Keras is not needed here, so a worker process starts at once; the weights go back into the Keras model layer
by layer.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from mnflow.models.jax_nets import (
    Array,
    Moments,
    Params,
    collect,
    cross_entropy,
    forward,
    initial_params,
)
from mnflow.preprocess import normalise
from mnflow.train.plan import CURVES, Plan, Trained, momentum, passes_together, steps_of_epoch
from mnflow.train.schedule import ADAM_BETAS, ADAM_EPSILON, learning_rate

EPOCHS = 256
"""There is room for a multiple of so many epochs' curves: trainings of fewer share one compilation."""


class Course(NamedTuple):
    """What of a plan may differ from training to training without a new compilation."""

    epochs: Array
    draws: Array
    max_shift: Array
    peak_learning_rate: Array


def draw_order(key: Array, n_train: Array, size: int, draws: Array) -> Array:
    """Random order of the training spectra (size,): each comes `draws` times, the rest is filled up.

    `n_train` and `draws` may differ without a new compilation: places beyond draws * n_train are sorted to
    the end.
    """
    place = jnp.arange(size)
    rank = jax.random.uniform(key, (size,))
    order = jnp.argsort(jnp.where(place < draws * n_train, rank, 2.0))
    return order[place % (draws * n_train)] % n_train


def draw_crops(
    key: Array | None, wide: Array, noise: Array | None, index: Array, plan: Plan, max_shift: Array | int = 0
) -> Array:
    """Fresh augmented, normalised crops (B, L) of the spectra at `index` (B,); without a key, unshifted.

    `mnflow.augment.pca_noise.augment` is the same in numpy.
    """
    shift, scale = jnp.zeros(index.shape, jnp.int32), jnp.ones((len(index), 1))
    if key is not None:
        shift_key, scale_key = jax.random.split(key)
        shift = jax.random.randint(shift_key, index.shape, -max_shift, max_shift + 1)
        scale = (
            plan.max_noise_scale * jax.random.uniform(scale_key, scale.shape) ** 2
        )  # as `augment.draw_scales`

    def cut(source: Array) -> Array:
        window = partial(lax.dynamic_slice, source, slice_sizes=(1, plan.n_channels))
        return jax.vmap(lambda i, start: window((i, start))[0])(index, plan.crop_start - shift)

    crops = cut(wide)
    if noise is not None:
        crops += scale * cut(noise)
    return normalise(crops)


class State(NamedTuple):
    """What a step changes: weights, their moving moments, and Adam's two."""

    params: Params
    moving: Moments
    first: Params
    second: Params
    step: Array


def _adam(state: State, gradient: Params, moving: Moments, rate: Array) -> State:
    """One step of Adam (https://arxiv.org/abs/1412.6980)."""
    b1, b2 = ADAM_BETAS
    step = state.step + 1
    first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.first, gradient)
    second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.second, gradient)
    rate = rate * jnp.sqrt(1 - b2**step) / (1 - b1**step)
    params = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) + ADAM_EPSILON), state.params, first, second
    )
    return State(params, moving, first, second, step)


def _loss(
    params: Params, crops: Array, labels: Array, key: Array, plan: Plan
) -> tuple[Array, tuple[Array, Moments]]:
    """Mean cross-entropy of a batch, and (its accuracy, moments of batch normalisation)."""
    logits, found = forward(params, crops, plan, key=key)
    return cross_entropy(logits, labels).mean(), ((logits.argmax(axis=0) == labels).mean(), found)


def _step(
    state: State, crops: Array, labels: Array, key: Array, rate: Array, keep: Array, plan: Plan
) -> tuple[State, Array]:
    """Train on one batch; returns the state and (loss, accuracy) of the batch.

    `rate` is the learning rate, `keep` the weight of the past in the moving moments.
    """

    (loss, (right, found)), gradient = jax.value_and_grad(_loss, has_aux=True)(
        state.params, crops, labels, key, plan
    )
    moving = jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, state.moving, found)
    return _adam(state, gradient, moving, rate), jnp.stack([loss, right])


def evaluate(
    state: State, wide: Array, noise: Array | None, labels: Array, n_train: Array, n: Array, plan: Plan
) -> tuple[Array, Array]:
    """Loss and accuracy (2,) of unshifted spectra `n_train` ... `n`, and the logits (K, N) of all rows."""
    size = plan.batch_size

    def chunk(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        total, logits = carry
        place = (
            n_train + i * size + jnp.arange(size)
        )  # the last chunk reaches over the end: masked, and dropped on writing
        index = jnp.minimum(place, n - 1)
        found, _ = forward(state.params, draw_crops(None, wide, noise, index, plan), plan, fixed=state.moving)
        right = found.argmax(axis=0) == labels[index]
        values = jnp.where(place < n, jnp.stack([cross_entropy(found, labels[index]), right]), 0)
        return total + values.sum(axis=1), logits.at[:, place].set(found, mode="drop")

    n_chunks = -(-(n - n_train) // size)
    total, logits = lax.fori_loop(
        0, n_chunks, chunk, (jnp.zeros(2), jnp.zeros((plan.n_classes, len(labels))))
    )
    return total / (n - n_train), logits


@partial(jax.jit, static_argnames="plan")
def train(
    params: Params,
    wide: Array,
    noise: Array | None,
    labels: Array,
    n_train: Array,
    n: Array,
    key: Array,
    course: Course,
    plan: Plan,
) -> tuple[State, Array, Array]:
    """Train on the first `n_train` rows; the rows up to `n` are evaluated after every epoch for the record.

    Parameters
    ----------
    wide : array, shape (N, C)
        Wide spectra of a fold, those that train first, then those that test; with noise augmentation only
        their signal. Rows from `n` on only fill up, so that folds of nearly one size share one compilation.
    noise : array, shape (N, C), or None
        Their residual noise, for noise augmentation.
    labels : array, shape (N,)
    course : Course
        Used in place of the plan's values, so that augmentations and numbers of epochs share one compilation,
        too; the plan's number of epochs is only how many there is room for.

    Returns
    -------
    state, curves (plan.epochs, 4), logits (K, N)
        Curves: loss and accuracy of the batches, then of the test rows; zero beyond the
        course's epochs. Logits of these rows only.
    """
    together = passes_together(len(labels))
    size = -(-together * len(labels) // plan.batch_size) * plan.batch_size
    steps = steps_of_epoch(course.draws, n_train, len(labels), plan.batch_size)
    n_total = steps * course.epochs
    keep = momentum(n_total)

    def epoch(number: Array, carry: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
        state, curves, _ = carry
        key_of_epoch = jax.random.fold_in(key, number)

        def shuffled(part: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
            order_key, key_now = jax.random.split(jax.random.fold_in(key_of_epoch, part))
            draws = jnp.minimum(together, course.draws - part * together)
            order = draw_order(order_key, n_train, size, draws)

            def step(i: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
                state, total = carry
                crop_key, drop_key = jax.random.split(jax.random.fold_in(key_now, i))
                index = lax.dynamic_slice(order, (i * plan.batch_size,), (plan.batch_size,))
                crops = draw_crops(crop_key, wide, noise, index, plan, course.max_shift)
                rate = learning_rate(plan.schedule, course.peak_learning_rate, state.step / n_total)
                state, metrics = _step(state, crops, labels[index], drop_key, rate, keep, plan)
                return state, total + metrics

            return lax.fori_loop(0, -(-draws * n_train // plan.batch_size), step, carry)

        state, total = lax.fori_loop(0, -(-course.draws // together), shuffled, (state, jnp.zeros(2)))
        tested, logits = evaluate(state, wide, noise, labels, n_train, n, plan)
        return state, curves.at[number].set(jnp.concatenate([total / steps, tested])), logits

    zeros = jax.tree.map(jnp.zeros_like, params)
    state = State(params, _initial_moments(params), zeros, zeros, jnp.zeros((), jnp.int32))
    nothing = jnp.zeros((plan.epochs, len(CURVES))), jnp.zeros((plan.n_classes, len(labels)))
    state, curves, logits = lax.fori_loop(0, course.epochs, epoch, (state, *nothing))
    return state, curves, logits


def _initial_moments(params: Params) -> Moments:
    norms = {name: arrays[0] for name, arrays in params.items() if "norm" in name}
    return Moments(jax.tree.map(jnp.zeros_like, norms), jax.tree.map(jnp.ones_like, norms))


def fit(
    wide: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    labels: NDArray[np.int64],
    n_train: int,
    n: int,
    plan: Plan,
    seed: tuple[int, ...],
) -> Trained:
    """Train one net from scratch; see `train` for the shapes. Same seed, same numbers."""
    rng = np.random.default_rng(seed)
    params = initial_params(plan, rng)
    key = jax.random.key(int(rng.integers(2**31)))
    course = Course(plan.epochs, plan.draws, plan.max_shift, plan.peak_learning_rate)
    room = -(-plan.epochs // EPOCHS) * EPOCHS
    shared = replace(plan, epochs=room, draws=0, max_shift=0, peak_learning_rate=0.0)
    arguments = (params, wide, noise, labels.astype(np.int32), n_train, n, key, course)
    state, curves, logits = jax.device_get(train(*arguments, shared))
    named = dict(zip(CURVES, curves[: plan.epochs].T, strict=True))
    return Trained(
        collect(state.params, state.moving), named, np.asarray(jax.nn.softmax(logits[:, n_train:n], axis=0)).T
    )
