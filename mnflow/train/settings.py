"""How a net is trained."""

from dataclasses import dataclass
from typing import Any

from mnflow.augment import pca_noise
from mnflow.augment.energy_shift import MAX_SHIFT_EV
from mnflow.errors import InputError
from mnflow.models.architectures import resolve
from mnflow.train.schedule import SCHEDULES

MAX_AUGMENTATION = 100


MAX_COPIES = 20


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained; defaults were chosen on inner validation splits (docs/scaling.md).

    Attributes
    ----------
    arch : str
        Name in `mnflow.models.architectures.ARCHITECTURES`.
    augmentation : int
        0: unshifted spectra. k: k crops per training spectrum and epoch, each at a random shift,
        instead of it.
    noise_augmentation : bool
        Whether the noise of training spectra is scaled by a random factor.
    degraded_copies : int
        Copies of every training spectrum as a worse instrument and a thicker specimen would show it, which
        share the crops of an epoch with it; see `mnflow.augment.degrade`.
    epochs : int
        Passes over the training spectra (each of k crops).
    learning_rate : float
        Adam's, at its peak.
    schedule : str
        One of `mnflow.train.schedule.SCHEDULES`.
    dropout, filters, kernels, depth, l3_bin
        The net's own if None; see `mnflow.models.architectures.resolve`.
    max_shift_ev, max_noise_scale, kept_components
        See `mnflow.augment`.
    """

    arch: str = "fcn"
    augmentation: int = 10
    noise_augmentation: bool = True
    degraded_copies: int = 1
    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 0.01
    schedule: str = "one_cycle"
    seed: int = 0
    dropout: float | None = None
    filters: tuple[int, ...] | None = None
    kernels: tuple[int, ...] | None = None
    depth: int | None = None
    l3_bin: int | None = None
    max_shift_ev: float = MAX_SHIFT_EV
    max_noise_scale: float = pca_noise.MAX_NOISE_SCALE
    kept_components: int = pca_noise.KEPT_COMPONENTS

    def __post_init__(self) -> None:
        if not 0 <= self.augmentation <= MAX_AUGMENTATION:
            raise InputError(
                f"Expected an augmentation of 0 (none) ... {MAX_AUGMENTATION} crops, got {self.augmentation}."
            )
        if not 0 <= self.degraded_copies <= MAX_COPIES:
            raise InputError(f"Expected 0 ... {MAX_COPIES} degraded copies, got {self.degraded_copies}.")
        resolve(self.arch, **self.changes)
        if self.epochs < 1 or self.batch_size < 2:
            raise InputError(
                f"Expected 1 epoch and a batch of 2 or more, got {self.epochs} and {self.batch_size}."
            )
        if not self.learning_rate > 0 or self.schedule not in SCHEDULES:
            raise InputError(
                f"Expected a positive learning rate and one of the schedules {', '.join(SCHEDULES)}, "
                f"got {self.learning_rate} and {self.schedule!r}."
            )

    @property
    def changes(self) -> dict[str, Any]:
        """Values given in place of the net's own."""
        return {name: getattr(self, name) for name in ("dropout", "filters", "kernels", "depth", "l3_bin")}


def parse_augmentation(word: str) -> int:
    """`none` or `kx` as the number of crops: 0 or k; raises `InputError` for anything else."""
    number = "0x" if word == "none" else word
    if not (number.endswith("x") and number[:-1].isdecimal() and int(number[:-1]) <= MAX_AUGMENTATION):
        raise InputError(f"Expected an augmentation of none or 1x ... {MAX_AUGMENTATION}x, got {word!r}.")
    return int(number[:-1])


def augmentation_word(n_crops: int) -> str:
    """The inverse of `parse_augmentation`: `none` or `kx`."""
    return f"{n_crops}x" if n_crops else "none"
