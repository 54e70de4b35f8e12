"""The learning-rate schedule, for floats and compiled arrays alike."""

from typing import Any

import numpy as np

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-7
"""Keras's defaults, as in the paper."""

SCHEDULES = ("one_cycle", "constant")

WARM_UP = 0.1
"""Share of the steps in which a one-cycle schedule rises."""

START = 0.05
"""Learning rate at the start of a one-cycle schedule, as a share of the peak; at the end it is zero."""


def learning_rate(schedule: str, peak: float, progress: Any) -> Any:
    """The learning rate after a share `progress` (0 ... 1) of all steps.

    `one_cycle` rises linearly to the peak and falls to zero as a cosine (https://arxiv.org/abs/1708.07120);
    `constant` is the paper's.
    """
    if schedule == "constant":
        return peak + 0 * progress
    xp = np
    if not isinstance(progress, float):
        import jax.numpy as xp  # type: ignore[no-redef]
    rising = START + (1 - START) * progress / WARM_UP
    falling = 0.5 * (1 + xp.cos(xp.pi * (progress - WARM_UP) / (1 - WARM_UP)))
    return peak * xp.where(progress < WARM_UP, rising, falling)
