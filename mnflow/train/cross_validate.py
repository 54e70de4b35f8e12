"""Train a network on every fold: arrays in; models, probabilities and learning curves out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mnflow.augment import pca_noise
from mnflow.augment.copies import with_copies
from mnflow.augment.energy_shift import max_shift_bins
from mnflow.errors import InputError
from mnflow.folds import Fold
from mnflow.models.architectures import Plan, design
from mnflow.runtime import parallel
from mnflow.runtime.backend import keras_backend
from mnflow.runtime.files import read_arrays
from mnflow.spectra import Edge, SpectrumSet
from mnflow.spectra.arrays import Floats32
from mnflow.train.plan import Course, FoldData
from mnflow.train.settings import TrainSettings

if TYPE_CHECKING:
    from mnflow.train.plan import Trained


ROWS = 256
"""Folds are filled up to a multiple of so many spectra: sizes that differ a little share one compilation."""


@dataclass(frozen=True)
class FoldModel:
    """A trained fold.

    Attributes
    ----------
    fold : int
        Number of the fold.
    model : bytes
        A standard .keras file; `mnflow.models.keras_nets.from_bytes` reads it.
    accuracy : float
        Accuracy on the fold's test spectra after the last epoch.
    probabilities : ndarray, shape (n_test, K)
        Of the test spectra, in the fold's order.
    curves : dict of str to ndarray, shape (epochs,)
        Loss and accuracy of training and test spectra; those of the test spectra are for the record only.
    seconds : float
        Wall time of this fold.
    """

    NUMBERS: ClassVar = "fold.npz"

    fold: int
    model: bytes
    accuracy: float
    probabilities: Floats32
    curves: dict[str, Floats32] = field(repr=False)
    seconds: float = 0.0

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write the numbers and the net into a folder; `load` has them back to the last bit."""
        numbers, net = folder / self.NUMBERS, folder / "model.keras"
        arrays: dict[str, Any] = {f"curve {k}": v for k, v in self.curves.items()}
        arrays |= {k: getattr(self, k) for k in ("fold", "accuracy", "seconds", "probabilities")}
        np.savez(numbers, **arrays)
        net.write_bytes(self.model)
        return numbers, net

    @classmethod
    def load(cls, numbers: Path, net: Path) -> "FoldModel":
        """The fold in the two files that `save` wrote."""
        z = read_arrays(numbers)
        curves = {k.removeprefix("curve "): v for k, v in z.items() if k.startswith("curve ")}
        fold, accuracy, seconds = (z[k].item() for k in ("fold", "accuracy", "seconds"))
        return cls(fold, net.read_bytes(), accuracy, z["probabilities"], curves, seconds)


def train_folds(
    spectra: SpectrumSet,
    folds: Sequence[Fold],
    settings: TrainSettings,
    workers: int | None = None,
    scheduler: str | None = None,
    on_fold: Callable[[FoldModel], Any] | None = None,
) -> list[FoldModel]:
    """Train the net of `settings` on every fold, folds in parallel, each on one thread.

    Parameters
    ----------
    spectra : SpectrumSet
        Labelled spectra on the edge's wide window.
    folds : sequence of Fold
        See `mnflow.folds.split`. Only training spectra are fitted, scaled or drawn from.
    settings : TrainSettings
    workers : int, optional
        Worker processes on this machine; None or 0 for one per core. The results do not depend on it.
    scheduler : str, optional
        Address of a Dask cluster (tcp://...) to train on instead.
    on_fold : callable, optional
        Called with each `FoldModel` as soon as it is there, in any order.

    Returns
    -------
    list of FoldModel
        In the order of `folds`.

    Raises
    ------
    InputError
        If the settings do not fit the spectra, or the cluster cannot be reached.
    """
    # What is wrong with the settings is said before any worker starts.
    make_plan(settings, spectra.edge), make_course(settings, spectra.edge)
    if spectra.intensity.shape[1] != spectra.edge.n_wide:
        raise InputError(
            f"Training needs spectra of {spectra.edge.n_wide} channels, got {spectra.intensity.shape[1]}."
        )
    models: dict[int, FoldModel] = {}

    def receive(place: int, result: tuple["Trained", float]) -> None:
        models[place] = _fold_model(spectra, folds[place], settings, *result)
        if on_fold is not None:
            on_fold(models[place])

    jobs = [(fold, settings) for fold in folds]
    parallel.run_parallel(train_fold, spectra, jobs, workers, scheduler, receive)
    return [models[i] for i in range(len(folds))]


def train_fold(spectra: SpectrumSet, job: tuple[Fold, TrainSettings]) -> tuple["Trained", float]:
    """Train one fold in this process; returns what was learned and the seconds that it took."""
    fold, settings = job
    start = time.perf_counter()
    if settings.degraded_copies:
        rng = np.random.default_rng([settings.seed, fold.number])
        spectra, (fold,) = with_copies(spectra, [fold], settings.degraded_copies, rng)
    n_train, n = len(fold.train), len(fold.train) + len(fold.test)
    index = np.resize(np.concatenate([fold.train, fold.test]), -(-n // ROWS) * ROWS)
    wide, noise = prepare(spectra, fold, settings)
    data = FoldData(wide[index], None if noise is None else noise[index], spectra.valence[index], n_train, n)
    if keras_backend() in ("jax", "numpy"):  # the numpy backend cannot train, and ours needs no Keras
        from mnflow.train.engine_jax import fit
    else:
        from mnflow.train.engine_keras import fit
    plan, course = make_plan(settings, spectra.edge), make_course(settings, spectra.edge)
    return fit(data, plan, course, (settings.seed, fold.number)), time.perf_counter() - start


def prepare(spectra: SpectrumSet, fold: Fold, settings: TrainSettings) -> tuple[Floats32, Floats32 | None]:
    """Wide spectra of one scale, (N, C); parted into signal and noise for noise augmentation."""
    wide = pca_noise.to_unit_range(spectra.intensity, spectra.edge)
    if not settings.noise_augmentation:
        return wide, None
    return pca_noise.fit_noise(wide[fold.train], settings.kept_components).split(wide)


def make_plan(settings: TrainSettings, edge: Edge) -> Plan:
    """The net of the settings; raises `InputError` if it does not fit the crop."""
    return design(settings.arch, len(edge.classes), edge.n_crop, **settings.changes)


def make_course(settings: TrainSettings, edge: Edge) -> Course:
    """How the settings train; raises `InputError` if a shift leads out of the wide window."""
    max_shift = max_shift_bins(edge, settings.max_shift_ev)
    return Course(
        crop_start=edge.crop_start,
        max_shift=max_shift if settings.augmentation else 0,
        max_noise_scale=settings.max_noise_scale,
        draws=max(round(settings.augmentation / (1 + settings.degraded_copies)), 1),
        epochs=settings.epochs,
        peak_learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        schedule=settings.schedule,
    )


def _fold_model(
    spectra: SpectrumSet, fold: Fold, settings: TrainSettings, trained: "Trained", seconds: float
) -> FoldModel:
    """Put the weights into a Keras model and save it."""
    from mnflow.models import keras_nets

    net = keras_nets.build(make_plan(settings, spectra.edge))
    accuracy = float((trained.probabilities.argmax(axis=1) == spectra.valence[fold.test]).mean())
    content = keras_nets.to_bytes(keras_nets.with_weights(net, trained.weights))
    return FoldModel(fold.number, content, accuracy, trained.probabilities, trained.curves, seconds)
