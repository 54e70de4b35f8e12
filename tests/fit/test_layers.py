"""Layers are fitted to what they are shown, and their gradient is what differences say."""

import numpy as np

from mnflow.fit.regression import _gradient, fit_layers


def value(weights: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = x @ weight + bias
        x = np.maximum(x, 0) if i < len(weights) - 1 else x
    return x


def test_a_bent_surface_is_learnt() -> None:
    rng = np.random.default_rng(0)

    def target(x: np.ndarray) -> np.ndarray:
        return np.stack([np.abs(x[:, 0]), x.max(axis=1)], axis=1)

    drawn = [rng.standard_normal((100, 2)).astype(np.float32) for _ in range(800)]
    weights, biases = fit_layers(((x, target(x)) for x in drawn), len(drawn), (2, 32, 16, 2), rng)
    assert [w.shape for w in weights] == [(2, 32), (32, 16), (16, 2)]
    x = np.random.default_rng(1).standard_normal((1000, 2)).astype(np.float32)
    assert (target(x) - value(weights, biases, x)).var() < 0.01 * target(x).var()


def test_the_gradient_is_that_of_the_mean_square_error() -> None:
    rng = np.random.default_rng(0)
    weights, biases = (
        [rng.standard_normal(s) for s in ((3, 5), (5, 4), (4, 2))],
        [rng.standard_normal(n) for n in (5, 4, 2)],
    )
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    found = _gradient(weights, biases, x, y)
    parameters = [*weights, *biases]
    for parameter, gradient in zip(parameters, found, strict=True):
        assert gradient.shape == parameter.shape
        step = np.zeros_like(parameter)
        step.flat[1] = 1e-6
        errors = []
        for sign in (1, -1):
            parameter += sign * step
            errors.append(((value(weights, biases, x) - y) ** 2).mean())
            parameter -= sign * step
        np.testing.assert_allclose(gradient.flat[1], (errors[0] - errors[1]) / 2e-6, rtol=1e-4)
