"""The training engine: all epochs of one network in one compiled loop that also draws its batches.

Keras is not needed here, so a worker process starts at once; the weights go back into the Keras model.
"""

from dataclasses import fields
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mnflow.models.architectures import Plan, initial_params
from mnflow.models.jax_nets import Array, Moments, Params, collect, cross_entropy, forward
from mnflow.preprocess import normalise
from mnflow.train.plan import CURVES, Course, FoldData, Trained, momentum, passes_together, steps_of_epoch
from mnflow.train.schedule import ADAM_BETAS, ADAM_EPSILON, learning_rate

EPOCHS = 256
"""There is room for a multiple of so many epochs' curves: trainings of fewer share one compilation."""


jax.tree_util.register_dataclass(
    Course,
    data_fields=[f.name for f in fields(Course) if f.name not in ("batch_size", "schedule")],
    meta_fields=["batch_size", "schedule"],
)


def draw_order(key: Array, n_train: Array, size: int, draws: Array) -> Array:
    """Random order of the training spectra (size,): each comes `draws` times, the rest is filled up.

    `n_train` and `draws` may differ without a new compilation: unused places are sorted to the end.
    """
    place = jnp.arange(size)
    rank = jax.random.uniform(key, (size,))
    order = jnp.argsort(jnp.where(place < draws * n_train, rank, 2.0))
    return order[place % (draws * n_train)] % n_train


def draw_crops(key: Array | None, data: FoldData, index: Array, plan: Plan, course: Course) -> Array:
    """Fresh augmented, normalised crops (B, L) of the rows at `index` (B,); without a key, unshifted.

    `mnflow.augment.pca_noise.augment` is the same in numpy.
    """
    shift, scale = jnp.zeros(index.shape, jnp.int32), jnp.ones((len(index), 1))
    if key is not None:
        shift_key, scale_key = jax.random.split(key)
        shift = jax.random.randint(shift_key, index.shape, -course.max_shift, course.max_shift + 1)
        # as `pca_noise.draw_scales`
        scale = course.max_noise_scale * jax.random.uniform(scale_key, scale.shape) ** 2

    def cut(source: Array) -> Array:
        window = partial(lax.dynamic_slice, source, slice_sizes=(1, plan.n_channels))
        return jax.vmap(lambda i, start: window((i, start))[0])(index, course.crop_start - shift)

    crops = cut(data.wide)
    if data.noise is not None:
        crops += scale * cut(data.noise)
    return normalise(crops)


class State(NamedTuple):
    """What a step changes: weights, their moving moments, and Adam's two."""

    params: Params
    moving: Moments
    first: Params
    second: Params
    step: Array


def _adam(state: State, gradient: Params, moving: Moments, rate: Array) -> State:
    """One step of Adam (https://arxiv.org/abs/1412.6980) as in Keras: epsilon counts before bias correction.

    Optax 0.2.8 adds it after: the first 20 steps differ by 2 to 50 % for gradients of 1e-2 to 1e-6 (with no
    epsilon, probabilities agree to 1e-7), and a fold takes the same processor time.
    """
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


def evaluate(state: State, data: FoldData, plan: Plan, course: Course) -> tuple[Array, Array]:
    """Loss and accuracy (2,) of unshifted spectra `n_train` ... `n`, and the logits (K, N) of all rows."""
    size, labels, n_train, n = course.batch_size, data.labels, data.n_train, data.n

    def chunk(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        total, logits = carry
        # the last chunk reaches over the end: masked, and dropped on writing
        place = n_train + i * size + jnp.arange(size)
        index = jnp.minimum(place, n - 1)
        found, _ = forward(
            state.params, draw_crops(None, data, index, plan, course), plan, fixed=state.moving
        )
        right = found.argmax(axis=0) == labels[index]
        values = jnp.where(place < n, jnp.stack([cross_entropy(found, labels[index]), right]), 0)
        return total + values.sum(axis=1), logits.at[:, place].set(found, mode="drop")

    n_chunks = -(-(n - n_train) // size)
    total, logits = lax.fori_loop(
        0, n_chunks, chunk, (jnp.zeros(2), jnp.zeros((plan.n_classes, len(labels))))
    )
    return total / (n - n_train), logits


@partial(jax.jit, static_argnames=("plan", "room"))
def train(
    params: Params, data: FoldData, key: Array, course: Course, plan: Plan, room: int
) -> tuple[State, Array, Array]:
    """Train on the first `n_train` rows; the rows up to `n` are evaluated after every epoch for the record.

    Augmentations and numbers of epochs share one compilation: there is room for the curves of `room` epochs.

    Returns
    -------
    state, curves (room, 4), logits (K, N)
        Curves: loss and accuracy of batches, then of test rows; zero beyond the epochs. Logits of test rows.
    """
    labels, n_train, batch = data.labels, data.n_train, course.batch_size
    together = passes_together(len(labels))
    size = -(-together * len(labels) // batch) * batch
    steps = steps_of_epoch(course.draws, n_train, len(labels), batch)
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
                index = lax.dynamic_slice(order, (i * batch,), (batch,))
                crops = draw_crops(crop_key, data, index, plan, course)
                rate = learning_rate(course.schedule, course.peak_learning_rate, state.step / n_total)
                state, metrics = _step(state, crops, labels[index], drop_key, rate, keep, plan)
                return state, total + metrics

            return lax.fori_loop(0, -(-draws * n_train // batch), step, carry)

        state, total = lax.fori_loop(0, -(-course.draws // together), shuffled, (state, jnp.zeros(2)))
        tested, logits = evaluate(state, data, plan, course)
        return state, curves.at[number].set(jnp.concatenate([total / steps, tested])), logits

    zeros = jax.tree.map(jnp.zeros_like, params)
    state = State(params, _initial_moments(params), zeros, zeros, jnp.zeros((), jnp.int32))
    nothing = jnp.zeros((room, len(CURVES))), jnp.zeros((plan.n_classes, len(labels)))
    state, curves, logits = lax.fori_loop(0, course.epochs, epoch, (state, *nothing))
    return state, curves, logits


def _initial_moments(params: Params) -> Moments:
    norms = {name: arrays[0] for name, arrays in params.items() if "norm" in name}
    return Moments(jax.tree.map(jnp.zeros_like, norms), jax.tree.map(jnp.ones_like, norms))


def fit(data: FoldData, plan: Plan, course: Course, seed: tuple[int, ...]) -> Trained:
    """Train one net from scratch; same seed, same numbers."""
    rng = np.random.default_rng(seed)
    params = initial_params(plan, rng)
    key = jax.random.key(int(rng.integers(2**31)))
    data = data._replace(labels=data.labels.astype(np.int32))
    room = -(-course.epochs // EPOCHS) * EPOCHS
    state, curves, logits = jax.device_get(train(params, data, key, course, plan, room))
    named = dict(zip(CURVES, curves[: course.epochs].T, strict=True))
    tested = np.asarray(jax.nn.softmax(logits[:, data.n_train : data.n], axis=0)).T
    return Trained(collect(state.params, state.moving), named, tested)
