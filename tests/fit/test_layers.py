"""Layers learn given probabilities, and their gradient agrees with finite differences."""

import numpy as np

from mnflow.fit.layers import _gradient, fit_layers, new_layers
from mnflow.serve.numpy_nets import softmax


def outputs(weights: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = x @ weight + bias
        x = np.maximum(x, 0) if i < len(weights) - 1 else x
    return softmax(x)


def test_bent_probabilities_are_learnt() -> None:
    rng = np.random.default_rng(0)

    def target(x: np.ndarray) -> np.ndarray:
        return softmax(np.stack([2 * np.abs(x[:, 0]), x.max(axis=1), 0 * x[:, 0]], axis=1))

    drawn = [rng.standard_normal((100, 2)).astype(np.float32) for _ in range(800)]
    losses: list[float] = []
    weights, biases = layers = new_layers((2, 32, 16, 3), rng)
    fit_layers(((x, target(x)) for x in drawn), len(drawn), layers, lambda step, loss: losses.append(loss))
    assert [w.shape for w in weights] == [(2, 32), (32, 16), (16, 3)]
    assert len(losses) == 800
    assert np.mean(losses[-50:]) < np.mean(losses[:50])
    x = np.random.default_rng(1).standard_normal((1000, 2)).astype(np.float32)
    assert np.abs(target(x) - outputs(weights, biases, x)).mean() < 0.02


def test_the_gradient_is_that_of_the_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    weights, biases = (
        [rng.standard_normal(s) for s in ((3, 5), (5, 4), (4, 2))],
        [rng.standard_normal(n) for n in (5, 4, 2)],
    )
    x, y = rng.standard_normal((7, 3)), rng.dirichlet(np.ones(2), 7)
    found, loss = _gradient(weights, biases, x, y)

    def value() -> float:
        return float(-(y * np.log(outputs(weights, biases, x))).sum(axis=1).mean())

    assert abs(loss - value()) < 1e-9
    for parameter, gradient in zip([*weights, *biases], found, strict=True):
        assert gradient.shape == parameter.shape
        step = np.zeros_like(parameter)
        step.flat[1] = 1e-6
        values = []
        for sign in (1, -1):
            parameter += sign * step
            values.append(value())
            parameter -= sign * step
        np.testing.assert_allclose(gradient.flat[1], (values[0] - values[1]) / 2e-6, rtol=1e-4, atol=1e-9)


def test_two_distributions_are_fitted_side_by_side_and_one_without_weight_is_not() -> None:
    rng = np.random.default_rng(0)
    layers = [rng.standard_normal((3, 5))], [rng.standard_normal(5)]
    x, y = (
        rng.standard_normal((7, 3)),
        np.concatenate([rng.dirichlet(np.ones(2), 7), np.zeros((7, 3))], axis=1),
    )
    (by_weight, by_bias), _ = _gradient(*layers, x, y, [2])
    (alone, _), _ = _gradient([layers[0][0][:, :2]], [layers[1][0][:2]], x, y[:, :2])
    np.testing.assert_allclose(by_weight[:, :2], alone)
    assert not by_weight[:, 2:].any()
    assert not by_bias[2:].any()
