"""What both training engines share: a training's course, data and result."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from mnflow.models.architectures import Weights
from mnflow.spectra.arrays import Floats32


@dataclass(frozen=True)
class Course:
    """How a net is trained, in the numbers that the engines need.

    Only `batch_size` and `schedule` need a new compilation where they differ.
    """

    crop_start: int
    max_shift: int
    max_noise_scale: float
    draws: int
    epochs: int
    peak_learning_rate: float
    batch_size: int
    schedule: str


class FoldData(NamedTuple):
    """The spectra of a fold.

    Attributes
    ----------
    wide : array, shape (N, C)
        Wide spectra, those that train first, then those that test; with noise augmentation only their signal.
        Rows from `n` on only fill up, so that folds of nearly one size share one compilation.
    noise : array, shape (N, C), or None
        Their residual noise, for noise augmentation.
    labels : array, shape (N,)
    n_train, n : int
        The first `n_train` rows train, those up to `n` test.
    """

    wide: Any
    noise: Any
    labels: Any
    n_train: Any
    n: Any


SHUFFLED = 8192
"""Least number of draws shuffled together: few, as sorting takes time; many, as the last batch is padded."""


def passes_together(n_rows: int) -> int:
    """How many passes over `n_rows` training spectra are shuffled together."""
    return max(1, round(SHUFFLED / n_rows))


def steps_of_epoch(draws: Any, n_train: Any, n_rows: int, batch_size: int) -> Any:
    """Batches per epoch of `draws` passes over `n_train` of `n_rows` spectra; ints or traced values."""
    together = passes_together(n_rows)
    whole, rest = draws // together, draws % together
    return whole * (-(-together * n_train // batch_size)) + (-(-rest * n_train // batch_size))


def momentum(n_steps: Any) -> Any:
    """Weight of the past in batch normalisation's moving moments, for a training of `n_steps` steps.

    Keras's 0.99, but never so much that the random start still counts after a short training: moments are
    those of the last tenth of the steps or so, where the learning rate is small.
    """
    return (
        min(0.99, 1 - 10 / max(n_steps, 20))
        if isinstance(n_steps, int)
        else (1 - 10 / n_steps.clip(20)).clip(max=0.99)
    )


CURVES = ("train/loss", "train/accuracy", "test/loss", "test/accuracy")
"""Learning curves, a value per epoch. Those of the test spectra choose nothing."""


class Trained(NamedTuple):
    """What comes out of one fold's training."""

    weights: Weights
    curves: dict[str, Floats32]
    probabilities: Floats32
