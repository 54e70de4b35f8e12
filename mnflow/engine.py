"""The training engine: the nets of `mnflow.models` as plain functions, and their whole training compiled by JAX.

Keras is not needed here, so a worker process starts at once. Weights go back into the Keras model layer by layer, and a
test holds both forward passes equal. What makes it fast on a CPU:

- The batch is innermost in memory: arrays are (channels C, energies L, batch B), and every loop runs over whole vectors.
- A convolution is one matrix product of its stacked taps (K * C, L * B).
- Batch normalisation is linear once its moments are known, and so is average pooling: they are swapped, and the former goes
  into the next convolution's weights. Only ReLU, two sums and the pooling touch every value.
- All epochs run in one compiled loop that draws, augments and normalises its batches itself.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from mnflow.plan import CURVES, FULLY_CONVOLUTIONAL, POOL, Plan, Trained, Weights, momentum
from mnflow.preprocess import normalise
from mnflow.schedule import ADAM_BETAS, ADAM_EPSILON, learning_rate

EPSILON = 1e-3
"""Keras's: added to the variance in batch normalisation."""

Array = Any
Params = dict[str, list[Array]]


class Moments(NamedTuple):
    """Mean and variance (C,) of every normalised layer's input, by the layer's name."""

    mean: dict[str, Array]
    variance: dict[str, Array]


# --- the nets -------------------------------------------------------------------------------------------------------------


def initial_params(plan: Plan, rng: np.random.Generator) -> Params:
    """Weights as Keras draws them: Glorot-uniform kernels, biases 0, scales 1."""
    params: Params = {}

    def add(name: str, norm: str, *shape: int) -> None:
        limit = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
        params[name] = [rng.uniform(-limit, limit, shape).astype(np.float32), np.zeros(shape[-1], np.float32)]
        if norm:
            params[norm] = [np.ones(shape[-1], np.float32), np.zeros(shape[-1], np.float32)]

    width, length = 1, plan.n_channels
    for i, (filters, kernel) in enumerate(zip(plan.filters, plan.kernels, strict=True), start=1):
        add(f"conv{i}", f"norm{i}", kernel, width, filters)
        width, length = filters, (length - kernel + 1 - plan.smoothing) // POOL
    if plan.arch in FULLY_CONVOLUTIONAL:
        add("logits", "", 1, width, plan.n_classes)
        return params
    width *= length
    for i, units in enumerate(plan.hidden, start=1):
        add(f"dense{i}", f"dense_norm{i}", width, units)
        width = units
    add("logits", "", width, plan.n_classes)
    return params


def convolve(x: Array, kernel: Array, bias: Array) -> Array:
    """Valid convolution along L as one matrix product: (C, L, B), (K, C, F), (F,) -> (F, L - K + 1, B)."""
    n_taps, n_in, n_out = kernel.shape
    length = x.shape[1] - n_taps + 1
    taps = jnp.concatenate([x[:, k : k + length].reshape(n_in, -1) for k in range(n_taps)])  # (K * C, L' * B)
    y = kernel.reshape(-1, n_out).T @ taps  # (F, L' * B)
    return y.reshape(n_out, length, -1) + bias[:, None, None]


def average_pool(x: Array, smoothing: int = 0) -> Array:
    """Mean of neighbouring pairs along L: (C, L, B) -> (C, L // 2, B); a last odd one is dropped.

    Before that, neighbours are averaged `smoothing` times, each of which takes one from L.
    """
    for _ in range(smoothing):
        x = (x[:, 1:] + x[:, :-1]) / 2
    length = x.shape[1] // POOL
    return x[:, : length * POOL].reshape(x.shape[0], length, POOL, -1).mean(axis=2)


def _moments(x: Array, name: str, fixed: Moments | None, found: Moments) -> tuple[Array, Array]:
    """Mean and variance over all axes but the first: those of the batch, which `found` takes note of, or the fixed ones."""
    if fixed is not None:
        return fixed.mean[name], fixed.variance[name]
    axes = tuple(range(1, x.ndim))
    mean = x.mean(axes)
    variance = jnp.maximum((x * x).mean(axes) - mean * mean, 0)
    found.mean[name], found.variance[name] = mean, variance
    return mean, variance


def _scale_and_offset(x: Array, name: str, params: Params, fixed: Moments | None, found: Moments) -> tuple[Array, Array]:
    """Batch normalisation of `x` as one factor and one offset for every channel (C,)."""
    mean, variance = _moments(x, name, fixed, found)
    gamma, beta = params[name]
    scale = gamma * lax.rsqrt(variance + EPSILON)
    return scale, beta - mean * scale


def _extract(params: Params, x: Array, plan: Plan, fixed: Moments | None, found: Moments) -> Array:
    """Blocks of [conv, ReLU, batch norm, pool]: (1, L, B) -> (C, L', B)."""
    scale, offset = jnp.ones(1), jnp.zeros(1)
    for i in range(1, len(plan.filters) + 1):
        kernel, bias = params[f"conv{i}"]
        bias = bias + jnp.einsum("kcf,c->f", kernel, offset)  # the block before's normalisation, taken into the weights
        active = jax.nn.relu(convolve(x, kernel * scale[:, None], bias))
        scale, offset = _scale_and_offset(active, f"norm{i}", params, fixed, found)
        x = average_pool(active, plan.smoothing)
    return x * scale[:, None, None] + offset[:, None, None]


def forward(
    params: Params, crops: Array, plan: Plan, fixed: Moments | None = None, key: Array | None = None
) -> tuple[Array, Moments]:
    """Logits (K, B) of normalised crops (B, L), and the batch's moments.

    With `fixed` moments it predicts; with a `key` it trains, that is, drops out.
    """
    found = Moments({}, {})
    x = crops.T  # (L, B): the batch innermost from here on
    if plan.filters:
        x = _extract(params, x[None], plan, fixed, found)  # (C, L', B)
    kernel, bias = params["logits"]
    if plan.arch in FULLY_CONVOLUTIONAL:
        x = _drop(x, plan.dropout, key, 0).mean(axis=1)  # the mean commutes with the 1x1 convolution
        return kernel[0].T @ x + bias[:, None], found
    if plan.filters:
        x = x.transpose(1, 0, 2).reshape(-1, x.shape[-1])  # Keras flattens (L', C)
    for i in range(1, len(plan.hidden) + 1):
        weight, offset = params[f"dense{i}"]
        x = jax.nn.relu(weight.T @ x + offset[:, None])
        scale, offset = _scale_and_offset(x, f"dense_norm{i}", params, fixed, found)
        x = _drop(x * scale[:, None] + offset[:, None], plan.dropout, key, i)
    return kernel.T @ x + bias[:, None], found


def _drop(x: Array, rate: float, key: Array | None, layer: int) -> Array:
    """Inverted dropout, while training."""
    if key is None or rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - rate, x.shape), x / (1 - rate), 0)


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Loss (B,) of logits (K, B) for labels (B,)."""
    hot = labels[None, :] == jnp.arange(logits.shape[0])[:, None]
    return jax.nn.logsumexp(logits, axis=0) - jnp.where(hot, logits, 0).sum(axis=0)


# --- batches --------------------------------------------------------------------------------------------------------------


def draw_order(key: Array, n_train: Array, size: int, draws: int) -> Array:
    """Places in the training set in the order of an epoch (size,): each comes `draws` times, in random order.

    `n_train` may differ between folds without a new compilation, so the places beyond draws * n_train go to the end.
    """
    rank = jax.random.uniform(key, (size,))
    order = jnp.argsort(jnp.where(jnp.arange(size) < draws * n_train, rank, 2.0))
    return order % n_train


def draw_crops(key: Array | None, wide: Array, noise: Array | None, index: Array, plan: Plan) -> Array:
    """Fresh augmented, normalised crops (B, L) of the spectra at `index` (B,); without a key, as they are.

    `mnflow.augment.augment` is the same in numpy.
    """
    shift, scale = jnp.zeros(index.shape, jnp.int32), jnp.ones((len(index), 1))
    if key is not None:
        shift_key, scale_key = jax.random.split(key)
        shift = jax.random.randint(shift_key, index.shape, -plan.max_shift, plan.max_shift + 1)
        scale = jax.random.uniform(scale_key, scale.shape, maxval=plan.max_noise_scale)

    def cut(source: Array) -> Array:
        window = partial(lax.dynamic_slice, source, slice_sizes=(1, plan.n_channels))
        return jax.vmap(lambda i, start: window((i, start))[0])(index, plan.crop_start - shift)

    crops = cut(wide)
    if noise is not None:
        crops += scale * cut(noise)
    return normalise(crops)


# --- training -------------------------------------------------------------------------------------------------------------


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
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + ADAM_EPSILON), state.params, first, second)
    return State(params, moving, first, second, step)


def _step(state: State, crops: Array, labels: Array, key: Array, rate: Array, keep: Array, plan: Plan) -> tuple[State, Array]:
    """Train on one batch; returns the state and (loss, share right) of the batch.

    `rate` is the learning rate, `keep` the weight of the past in the moving moments.
    """

    def loss(params: Params) -> tuple[Array, tuple[Array, Moments]]:
        logits, found = forward(params, crops, plan, key=key)
        return cross_entropy(logits, labels).mean(), ((logits.argmax(axis=0) == labels).mean(), found)

    (value, (right, found)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    moving = jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, state.moving, found)
    return _adam(state, gradient, moving, rate), jnp.stack([value, right])


def evaluate(state: State, wide: Array, noise: Array | None, labels: Array, n_train: Array, plan: Plan) -> tuple[Array, Array]:
    """Loss and share right (2,) of the spectra after the first `n_train`, unshifted, and the logits (K, N) of all rows."""
    n, size = len(labels), plan.batch_size

    def chunk(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        total, logits = carry
        place = n_train + i * size + jnp.arange(size)  # the last chunk reaches over the end: masked, and dropped on writing
        index = jnp.minimum(place, n - 1)
        found, _ = forward(state.params, draw_crops(None, wide, noise, index, plan), plan, fixed=state.moving)
        right = found.argmax(axis=0) == labels[index]
        values = jnp.where(place < n, jnp.stack([cross_entropy(found, labels[index]), right]), 0)
        return total + values.sum(axis=1), logits.at[:, place].set(found, mode="drop")

    n_chunks = -(-(n - n_train) // size)
    total, logits = lax.fori_loop(0, n_chunks, chunk, (jnp.zeros(2), jnp.zeros((plan.n_classes, n))))
    return total / (n - n_train), logits


@partial(jax.jit, static_argnames="plan")
def train(
    params: Params, wide: Array, noise: Array | None, labels: Array, n_train: Array, key: Array, plan: Plan
) -> tuple[State, Array, Array]:
    """Train for all epochs on the first `n_train` rows, and look at the others after every epoch, for the record only.

    Parameters
    ----------
    wide : array, shape (N, C)
        Wide spectra of a fold, those that train first; with noise augmentation only their signal.
    noise : array, shape (N, C), or None
        Their residual noise, for noise augmentation.
    labels : array, shape (N,)

    Returns
    -------
    state, curves (epochs, 4), logits (K, N)
        Curves: loss and share right of the batches, then of the rows that did not train. Logits of these rows only.
    """
    size = -(-plan.draws * len(labels) // plan.batch_size) * plan.batch_size
    n_steps = -(-plan.draws * n_train // plan.batch_size)
    n_total = n_steps * plan.epochs
    keep = momentum(n_total)

    def epoch(carry: tuple[State, Array], number: Array) -> tuple[tuple[State, Array], Array]:
        state, _ = carry
        order_key, key_now = jax.random.split(jax.random.fold_in(key, number))
        order = draw_order(order_key, n_train, size, plan.draws)

        def step(i: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
            state, total = carry
            crop_key, drop_key = jax.random.split(jax.random.fold_in(key_now, i))
            index = lax.dynamic_slice(order, (i * plan.batch_size,), (plan.batch_size,))
            crops = draw_crops(crop_key, wide, noise, index, plan)
            rate = learning_rate(plan.schedule, plan.peak_learning_rate, state.step / n_total)
            state, metrics = _step(state, crops, labels[index], drop_key, rate, keep, plan)
            return state, total + metrics

        state, total = lax.fori_loop(0, n_steps, step, (state, jnp.zeros(2)))
        tested, logits = evaluate(state, wide, noise, labels, n_train, plan)
        return (state, logits), jnp.concatenate([total / n_steps, tested])

    zeros = jax.tree.map(jnp.zeros_like, params)
    state = State(params, _initial_moments(params), zeros, zeros, jnp.zeros((), jnp.int32))
    logits = jnp.zeros((plan.n_classes, len(labels)))
    (state, logits), curves = lax.scan(epoch, (state, logits), jnp.arange(plan.epochs))
    return state, curves, logits


def _initial_moments(params: Params) -> Moments:
    norms = {name: arrays[0] for name, arrays in params.items() if "norm" in name}
    return Moments(jax.tree.map(jnp.zeros_like, norms), jax.tree.map(jnp.ones_like, norms))


def collect(params: Params, moving: Moments) -> Weights:
    """Weights and moving moments as Keras orders them in each layer."""
    return {
        name: [*arrays, moving.mean[name], moving.variance[name]] if "norm" in name else arrays
        for name, arrays in params.items()
    }


def fit(
    wide: NDArray[np.float32],
    noise: NDArray[np.float32] | None,
    labels: NDArray[np.int64],
    n_train: int,
    plan: Plan,
    seed: tuple[int, ...],
) -> Trained:
    """Train one net from scratch; see `train` for the shapes. Same seed, same numbers."""
    rng = np.random.default_rng(seed)
    params = initial_params(plan, rng)
    key = jax.random.key(int(rng.integers(2**31)))
    state, curves, logits = jax.device_get(train(params, wide, noise, labels.astype(np.int32), n_train, key, plan))
    named = dict(zip(CURVES, curves.T, strict=True))
    return Trained(collect(state.params, state.moving), named, np.asarray(jax.nn.softmax(logits[:, n_train:], axis=0)).T)
