"""Dense layers with ReLU between them, fitted by cross-entropy to a stream of new samples.

In numpy: own references are fitted to with `pip install mnflow`, which brings neither Keras nor JAX.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mnflow.serve.numpy_nets import softmax
from mnflow.spectra.arrays import Floats32
from mnflow.train.schedule import ADAM_BETAS, ADAM_EPSILON, learning_rate

PEAK_LEARNING_RATE = 1e-3


Layers = tuple[list[Floats32], list[Floats32]]
"""Weights, shapes (sizes[i], sizes[i + 1]), and biases, shapes (sizes[i + 1],)."""


def new_layers(sizes: Sequence[int], rng: np.random.Generator) -> Layers:
    """Layers to begin a fit with: `sizes` are the numbers of inputs, hidden units and outputs."""
    pairs = list(pairwise(sizes))
    weights = [(np.sqrt(2 / a) * rng.standard_normal((a, b))).astype(np.float32) for a, b in pairs]
    return weights, [np.zeros(b, dtype=np.float32) for _, b in pairs]


def fit_layers(
    batches: Iterable[tuple[Floats32, Floats32]],
    n_batches: int,
    layers: Layers,
    progress: Callable[[int, float], None] = lambda step, loss: None,
    peak_learning_rate: float = PEAK_LEARNING_RATE,
    splits: Sequence[int] = (),
) -> None:
    """Fit layers, in place, to `n_batches` batches by Adam and a one-cycle learning rate.

    Parameters
    ----------
    batches : iterable of (ndarray, ndarray), shapes (B, sizes[0]) and (B, sizes[-1])
        Inputs of mean 0 and variance 1 or near it, and the probabilities that their outputs should have,
        times the weight of each distribution: where all are 0, it is not fitted.
    n_batches : int
        How many will come: the learning rate ends at zero.
    layers : tuple of list
        Weights and biases.
    progress : callable
        Gets the number of a batch and its cross-entropy.
    peak_learning_rate : float
        Where the cycle culminates.
    splits : sequence of int
        Where the outputs are divided, if they are several distributions.
    """
    weights, biases = layers
    parameters = [*weights, *biases]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    b1, b2 = ADAM_BETAS
    for step, (x, y) in enumerate(batches, start=1):
        rate = learning_rate("one_cycle", peak_learning_rate, step / n_batches)
        rate *= np.sqrt(1 - b2**step) / (1 - b1**step)
        gradient, loss = _gradient(weights, biases, x, y, splits)
        for p, m, v, g in zip(parameters, first, second, gradient, strict=True):
            m += (1 - b1) * (g - m)
            v += (1 - b2) * (g * g - v)
            p -= np.float32(rate) * m / (np.sqrt(v) + np.float32(ADAM_EPSILON))
        progress(step, loss)


def _gradient(
    weights: Sequence[Floats32],
    biases: Sequence[Floats32],
    x: Floats32,
    y: Floats32,
    splits: Sequence[int] = (),
) -> tuple[list[Any], float]:
    """Of the mean cross-entropy, by the weights and then by the biases; and its value."""
    inputs = []
    for weight, bias in zip(weights, biases, strict=True):
        inputs.append(x)
        x = np.maximum(x @ weight + bias, 0) if len(inputs) < len(weights) else x @ weight + bias
    parts = np.split(x, splits, axis=1), np.split(y, splits, axis=1)
    probabilities = [softmax(part) for part in parts[0]]
    pairs = list(zip(probabilities, parts[1], strict=True))
    loss = -sum(float((wanted * np.log(p + 1e-30)).sum(axis=1).mean()) for p, wanted in pairs)
    errors = [p * wanted.sum(axis=1, keepdims=True) - wanted for p, wanted in pairs]
    error: Any = np.concatenate(errors, axis=1) / np.float32(len(y))
    by_weight, by_bias = [], []
    for weight, x in zip(reversed(weights), reversed(inputs), strict=True):
        by_weight.append(x.T @ error)
        by_bias.append(error.sum(axis=0))
        error = (error @ weight.T) * (x > 0)  # 0 where the ReLU before was inactive
    return [*reversed(by_weight), *reversed(by_bias)], loss
