"""The models of `mnflow.models.keras_nets` as functions that JAX compiles; a test compares both.

What makes them fast on a CPU:

- The batch is innermost in memory: arrays are (energies L, channels C, batch B), and every loop runs over
  whole vectors.
- To train, a convolution is a matrix product for every segment of K - 1 energies: it gives all outputs that
  begin there from the inputs of that segment and the next, which are one piece of memory. So inputs are
  copied twice and not K times.
- Batch normalisation is linear once its moments are known, and so is average pooling: they are swapped, and
  the former goes into the next convolution's weights. Only ReLU, two sums and the pooling touch every value.
- To predict, no moments are needed: a block is one loop over memory, convolution and pooling in one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mnflow.models.architectures import POOL, Plan, Weights
from mnflow.preprocess.crops import around_l3_channels, binned, l3_channel

EPSILON = 1e-3
"""Keras's: added to the variance in batch normalisation."""

MAX_TAPS = 32
"""Most taps times channels of a convolution that becomes one loop; the paper's nets have 24 at most."""

Array = Any
Params = dict[str, list[Array]]


class Moments(NamedTuple):
    """Mean and variance (C,) of every normalised layer's input, by the layer's name."""

    mean: dict[str, Array]
    variance: dict[str, Array]


def around_l3(crops: Array, n_bin: int) -> Array:
    """`mnflow.preprocess.crops.around_l3` inside compiled code: (B, L) -> (B, L')."""
    before, length, smooth = around_l3_channels(crops.shape[1])
    start = (l3_channel(crops, smooth) - before).clip(0, crops.shape[1] - length)
    return binned(jax.vmap(lambda x, i: lax.dynamic_slice(x, (i,), (length,)))(crops, start), n_bin)


def convolve(x: Array, kernel: Array, bias: Array) -> Array:
    """Valid convolution along L: (L, C, B), (K, C, F), (F,) -> (L - K + 1, F, B).

    W segments of S = K - 1 energies; each gives S outputs from 2 S inputs by one matrix product.
    """
    n_taps, n_in, n_out = kernel.shape
    length, step = len(x) - n_taps + 1, max(n_taps - 1, 1)
    n_segments = -(-length // step)
    x = jnp.pad(x, ((0, (n_segments + 1) * step - len(x)), (0, 0), (0, 0)))
    segments = x.reshape(n_segments + 1, step * n_in, -1)
    # (W, (S + K - 1) * C, B)
    inputs = jnp.concatenate([segments[:-1], segments[1:, : (n_taps - 1) * n_in]], axis=1)
    # (S, S + K - 1, C, F)
    shifted = jnp.stack([jnp.pad(kernel, ((s, step - 1 - s), (0, 0), (0, 0))) for s in range(step)])
    matrix = shifted.transpose(0, 3, 1, 2).reshape(step * n_out, -1)
    # all the same, but so the batch stays innermost
    matrices = jnp.broadcast_to(matrix, (n_segments, *matrix.shape))
    y = jnp.einsum("wij,wjb->wib", matrices, inputs)  # (W, S * F, B)
    return y.reshape(n_segments * step, n_out, -1)[:length] + bias[:, None]


def convolve_and_pool(x: Array, kernel: Array, bias: Array, smoothing: int) -> Array:
    """`convolve`, ReLU and `average_pool` as sums of slices that compile to one loop: (L', F, B).

    That is several times faster to predict, and slower to train: moments and gradients would sum again.
    """
    n_taps, n_in, _ = kernel.shape
    length = len(x) - n_taps + 1
    taps = [kernel[k, c][:, None] * x[k : k + length, c, None] for c in range(n_in) for k in range(n_taps)]
    active = jax.nn.relu(sum(taps, bias[:, None]))
    for _ in range(smoothing):
        active = (active[1:] + active[:-1]) / 2
    even = len(active) // POOL * POOL
    return sum(active[i:even:POOL] for i in range(POOL)) / POOL


def average_pool(x: Array, smoothing: int = 0) -> Array:
    """Mean of neighbouring pairs along L: (L, C, B) -> (L // 2, C, B); a last odd one is dropped.

    Before that, neighbours are averaged `smoothing` times, each of which takes one from L.
    """
    for _ in range(smoothing):
        x = (x[1:] + x[:-1]) / 2
    length = len(x) // POOL
    return x[: length * POOL].reshape(length, POOL, *x.shape[1:]).mean(axis=1)


def _moments(x: Array, name: str, fixed: Moments | None, found: Moments) -> tuple[Array, Array]:
    """Mean and variance (C,) of x (..., C, B): the batch's, which are kept in `found`, or fixed ones."""
    if fixed is not None:
        return fixed.mean[name], fixed.variance[name]
    axes = (0, 2) if x.ndim == 3 else (1,)
    mean = x.mean(axes)
    variance = jnp.maximum((x * x).mean(axes) - mean * mean, 0)
    found.mean[name], found.variance[name] = mean, variance
    return mean, variance


def _scale_and_offset(
    x: Array, name: str, params: Params, fixed: Moments | None, found: Moments
) -> tuple[Array, Array]:
    """Batch normalisation of `x` as one factor and one offset for every channel (C,)."""
    mean, variance = _moments(x, name, fixed, found)
    gamma, beta = params[name]
    scale = gamma * lax.rsqrt(variance + EPSILON)
    return scale, beta - mean * scale


def _extract(params: Params, x: Array, plan: Plan, fixed: Moments | None, found: Moments) -> Array:
    """Blocks of [conv, ReLU, batch norm, pool]: (L, 1, B) -> (L', C, B)."""
    scale, offset = jnp.ones(1), jnp.zeros(1)
    for i in range(1, len(plan.shape.filters) + 1):
        kernel, bias = params[f"conv{i}"]
        # the block before's normalisation, taken into the weights
        bias = bias + jnp.einsum("kcf,c->f", kernel, offset)
        kernel = kernel * scale[:, None]
        if fixed is not None and kernel.shape[0] * kernel.shape[1] <= MAX_TAPS:
            active = x = convolve_and_pool(x, kernel, bias, plan.shape.smoothing)
        else:
            active = jax.nn.relu(convolve(x, kernel, bias))
            x = average_pool(active, plan.shape.smoothing)
        scale, offset = _scale_and_offset(active, f"norm{i}", params, fixed, found)
    return x * scale[:, None] + offset[:, None]


def forward(
    params: Params, crops: Array, plan: Plan, fixed: Moments | None = None, key: Array | None = None
) -> tuple[Array, Moments]:
    """Logits (K, B) of normalised crops (B, L), and the batch's moments.

    With `fixed` moments it predicts; with a `key` it trains, that is, drops out.
    """
    found = Moments({}, {})
    x = around_l3(crops, plan.shape.l3_bin) if plan.shape.l3_bin else crops
    x = x.T  # (L, B): the batch innermost from here on
    if plan.shape.filters:
        x = _extract(params, x[:, None], plan, fixed, found)  # (L', C, B)
    kernel, bias = params["logits"]
    if plan.shape.fully_convolutional:
        x = drop_out(x, plan.shape.dropout, key, 0)
        x = x.mean(axis=0)  # (C, B): the mean commutes with the 1x1 convolution
        return kernel[0].T @ x + bias[:, None], found
    if plan.shape.filters:
        x = x.reshape(-1, x.shape[-1])  # Keras flattens (L', C), too
    for i in range(1, len(plan.shape.hidden) + 1):
        weight, offset = params[f"dense{i}"]
        x = jax.nn.relu(weight.T @ x + offset[:, None])
        scale, offset = _scale_and_offset(x, f"dense_norm{i}", params, fixed, found)
        x = drop_out(x * scale[:, None] + offset[:, None], plan.shape.dropout, key, i)
    return kernel.T @ x + bias[:, None], found


def drop_out(x: Array, rate: float, key: Array | None, layer: int) -> Array:
    """Inverted dropout, while training."""
    if key is None or rate == 0:
        return x
    return jnp.where(
        jax.random.bernoulli(jax.random.fold_in(key, layer), 1 - rate, x.shape), x / (1 - rate), 0
    )


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Loss (B,) of logits (K, B) for labels (B,)."""
    hot = labels[None, :] == jnp.arange(logits.shape[0])[:, None]
    return jax.nn.logsumexp(logits, axis=0) - jnp.where(hot, logits, 0).sum(axis=0)


def collect(params: Params, moving: Moments) -> Weights:
    """Weights and moving moments as Keras orders them in each layer."""
    return {
        name: [*arrays, moving.mean[name], moving.variance[name]] if "norm" in name else arrays
        for name, arrays in params.items()
    }
