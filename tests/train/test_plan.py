"""How many batches an epoch has, and how far back batch normalisation looks."""

import numpy as np
import pytest

from mnflow.train.plan import momentum, passes_together, steps_of_epoch


@pytest.mark.parametrize(
    ("n_rows", "together"), [(1, 8192), (256, 32), (3072, 3), (5000, 2), (8192, 1), (30_000, 1)]
)
def test_few_spectra_are_shuffled_many_passes_together(n_rows: int, together: int) -> None:
    assert passes_together(n_rows) == together


@pytest.mark.parametrize(
    ("draws", "steps"),
    [(1, 22), (3, 64), (4, 64 + 22), (7, 2 * 64 + 22), (0, 0)],  # 3 x 2700 are 63.3 batches of 128
)
def test_the_last_batch_of_passes_that_are_shuffled_together_is_filled_up(draws: int, steps: int) -> None:
    assert steps_of_epoch(draws, 2700, 3072, 128) == steps
    assert steps_of_epoch(np.int64(draws), 2700, 3072, 128) == steps
    assert steps_of_epoch(draws, 128, 8192, 128) == draws


@pytest.mark.parametrize(
    ("n_steps", "weight"), [(1, 0.5), (20, 0.5), (40, 0.75), (500, 0.98), (1000, 0.99), (100_000, 0.99)]
)
def test_moving_moments_are_of_the_last_tenth_of_a_short_training(n_steps: int, weight: float) -> None:
    assert momentum(n_steps) == pytest.approx(weight)
    assert momentum(np.array(n_steps)) == pytest.approx(weight)
