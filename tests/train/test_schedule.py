"""The learning rate during a training, for floats and for arrays."""

import numpy as np
import pytest

from mnflow.train.schedule import learning_rate


def test_one_cycle_rises_and_falls_to_nothing() -> None:
    at = (0.0, 0.05, 0.1, 0.325, 0.55, 1.0)
    rates = [float(learning_rate("one_cycle", 0.01, p)) for p in at]
    a_quarter = 0.005 * (1 + np.sqrt(0.5))
    np.testing.assert_allclose(rates, [0.0005, 0.00525, 0.01, a_quarter, 0.005, 0], atol=1e-9)
    assert learning_rate("constant", 0.01, 0.7) == 0.01


@pytest.mark.slow
def test_the_compiled_schedule_is_the_same() -> None:
    import jax.numpy as jnp

    at = np.linspace(0, 1, 41)
    for schedule in ("one_cycle", "constant"):
        rates = learning_rate(schedule, 0.01, jnp.array(at))
        assert rates.shape == (41,)
        np.testing.assert_allclose(rates, [learning_rate(schedule, 0.01, float(p)) for p in at], atol=1e-8)
